"""From verified files to a model: the runtime is found by its entry point."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import cast

from shipway.domain.model import ModelSpec
from shipway.errors import MissingPackage, ModelFileError
from shipway.runtimes.detection import Format, check_declared
from shipway.runtimes.port import DEFAULT_LIMITS, Loader, Model, ProcessLimits

ENTRY_POINTS = "shipway.runtimes"
_DECLARED: Mapping[str, Format] = MappingProxyType(
    {
        "onnx": Format.ONNX,
        "sklearn": Format.SKOPS,
        "lightgbm": Format.LIGHTGBM,
        "xgboost": Format.XGBOOST,
    }
)
"""What the file of a format must be; the loader of another one would have its own rule."""


def load_model(
    spec: ModelSpec,
    files: Mapping[str, Path],
    *,
    threads: int = 1,
    limits: ProcessLimits = DEFAULT_LIMITS,
) -> Model:
    """The model that *spec* describes, from *files* whose digests were verified.

    ``threads`` is how many one prediction may use; 1 suits a server, whose workers share the
    cores. ``limits`` hold for a model that runs in a process of its own. Raises
    :class:`~shipway.errors.ModelFileError`, also for a file that is not of the format that *spec*
    declares, and :class:`~shipway.errors.MissingPackage`.
    """
    if spec.main_file not in files:
        raise ModelFileError(
            f"the model's file {spec.main_file!r} is not among those given:"
            f" {', '.join(sorted(files)) or 'none'}",
            next_step="open the version through the registry, which gives all of them",
        )
    try:
        if spec.format in _DECLARED:
            check_declared(files[spec.main_file], _DECLARED[spec.format])
        return _loader(spec.format)(spec, files, threads=threads, limits=limits)
    except OSError as error:
        raise ModelFileError(
            f"{spec.main_file!r} cannot be read: {error.strerror or error}",
            next_step="check that the file is there and readable",
        ) from error


def preload(name: str) -> None:
    """Have the library of *name* models imported, and open nothing.

    It is what a runtime's module calls ``preload``, if it has that. Raises
    :class:`~shipway.errors.MissingPackage`, and ImportError for the library.
    """
    prepare = getattr(sys.modules[_loader(name).__module__], "preload", None)
    if prepare is not None:
        prepare()


def _loader(name: str) -> Loader:
    found = metadata.entry_points(group=ENTRY_POINTS, name=name)
    if not found:
        known = sorted(one.name for one in metadata.entry_points(group=ENTRY_POINTS))
        raise MissingPackage(
            f"no runtime for {name!r} models is installed (there are {', '.join(known) or 'none'})",
            next_step=f"install the package that brings the entry point {ENTRY_POINTS}:{name}",
        )
    (entry_point,) = list(found)[:1]
    return cast("Loader", entry_point.load())
