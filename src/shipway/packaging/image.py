"""An image of one version: everything that a container tool needs, and nothing to fetch.

The folder made here holds a Dockerfile, the wheels with a hash-locked requirements file, the
settings, and a store with exactly this version in place. It leaves to the caller how that store
is made, and to pip where wheels come from.
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path, PurePosixPath

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from shipway.domain.model import ModelSpec
from shipway.domain.names import check_name
from shipway.durable import storing
from shipway.errors import EnvironmentFailure, UsageError
from shipway.packaging.folders import replacing, size_of, write_file
from shipway.packaging.locking import (
    Pin,
    Run,
    fetch_wheels,
    installed_closure,
    locked_requirements,
    run_program,
)
from shipway.packaging.own_wheel import write_wheel
from shipway.packaging.references import check_base_image, check_tag
from shipway.packaging.rendering import render
from shipway.registry.records import Version
from shipway.runtimes.requirements import check_installed

USER = "10001:10001"
"""Numeric, so that Kubernetes' runAsNonRoot can see that it is not root."""

_OUR_FIRST_WORDS = "# Made by `shipway image` for "
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_WRITTEN_BY_SERVER = ("events", "labels", "run", "cache", "reports")
_LIBRARIES = {
    "onnx": "onnxruntime",
    "sklearn": "sklearn",
    "lightgbm": "lightgbm",
    "xgboost": "xgboost",
    "python": "shipway.runtimes.python",
}
_NEED_OPENMP = ("lightgbm", "xgboost", "xgboost-cpu")
_TOOLS: Mapping[str, tuple[str, ...]] = {
    "docker": ("docker", "build"),
    "podman": ("podman", "build"),
    "buildah": ("buildah", "bud"),
}
_REPORTED_LINES = 15


@dataclass(frozen=True, slots=True)
class ImageContext:
    """A folder from which an image can be built, the base that it names, and what goes in."""

    folder: Path
    base: str
    packages: tuple[Pin, ...]
    size_bytes: int


def default_base() -> str:
    """The official slim image of the Python that is running."""
    return f"python:{_python()}-slim"


def build_context(
    out: Path,
    *,
    version: Version,
    app: Mapping[str, bytes],
    export_home: Callable[[Path], None],
    extras: Sequence[str] = (),
    base: str | None = None,
    wheelhouse: Path | None = None,
    port: int = 8080,
    force: bool = False,
    run: Run = run_program,
    shipway: Distribution | None = None,
) -> ImageContext:
    """Make the build context of *version* in the folder *out*, whole or not at all.

    *app* are the files of the working folder (``shipway.toml``). *export_home* fills a given,
    existing folder with a store in which *version* is published and live. *extras* are installed
    beside those that serving the model needs. *wheelhouse* is a folder of wheels to use instead
    of the network. Files are sorted and dated alike, so equal inputs give equal bytes, but for
    what *export_home* writes.

    Raises :class:`~shipway.errors.UsageError` for a base image or a file name that is not
    allowed, :class:`~shipway.errors.ConflictError` when *out* holds something else, and
    :class:`~shipway.errors.EnvironmentFailure` when wheels are missing.
    """
    base = check_base_image(default_base() if base is None else base)
    values = _checked_values(version, base, port)
    for name in app:
        _check_path(name)
    shipway = distribution("shipway") if shipway is None else shipway
    spec_format = version.manifest.spec.format
    offered = frozenset(shipway.metadata.get_all("Provides-Extra") or ())
    wanted = ["serve", *({spec_format} & offered), *extras]
    ours = _OUR_FIRST_WORDS.encode()
    with storing(out), replacing(out, marker="Dockerfile", begins=ours, force=force) as folder:
        pins = _pins(version.manifest.spec, wanted)
        wheels = folder / "wheels"
        wheels.mkdir()
        fetch_wheels(pins, wheels, wheelhouse=wheelhouse, run=run)
        write_wheel(shipway, Path(__file__).parents[1], wheels)
        write_file(folder, "requirements.txt", locked_requirements(wheels).encode())
        write_file(folder, "Dockerfile", render("Dockerfile.j2", **values).encode())
        write_file(folder, "README.md", render("image-readme.md.j2", **values).encode())
        (folder / "app").mkdir()
        for name, data in sorted(app.items()):
            write_file(folder / "app", name, data)
        _fill_home(folder / "home", export_home)
        size_bytes = size_of(folder)
    return ImageContext(folder=out, base=base, packages=pins, size_bytes=size_bytes)


def build(context: Path, *, tool: str, tag: str, run: Run = run_program) -> str:
    """Build the image *tag* from *context* with docker, podman or buildah; gives *tag* back.

    No step of the build has a network; only the tool itself may fetch the base image.

    Raises :class:`~shipway.errors.EnvironmentFailure` with the tool's last lines if it fails.
    """
    if tool not in _TOOLS:
        raise UsageError(
            f"{tool!r} is not a tool that builds images",
            next_step=f"use one of {', '.join(_TOOLS)}",
        )
    done = run(
        [*_TOOLS[tool], "--network", "none", "--tag", check_tag(tag), str(context.resolve())]
    )
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()[-_REPORTED_LINES:]
        raise EnvironmentFailure(
            f"{tool} could not build {tag}: " + " | ".join(lines),
            next_step=f"mend what {tool} says; the build context in {context} stays as it is",
        )
    return tag


def _pins(spec: ModelSpec, extras: Sequence[str]) -> tuple[Pin, ...]:
    """What the server needs, and what the model's own code does, with all that these need."""
    pins = set(installed_closure("shipway", extras))
    if spec.format == "python":
        check_installed(spec.library)
        for needed in map(Requirement, spec.library):
            pins.add(Pin(canonicalize_name(needed.name), distribution(needed.name).version))
            pins.update(installed_closure(needed.name, sorted(needed.extras)))
    return tuple(sorted(pins))


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _checked_values(version: Version, base: str, port: int) -> dict[str, object]:
    """What enters the templates; every string of it is of a grammar without a space in it."""
    if not _DIGEST.fullmatch(version.digest):
        raise UsageError(
            f"{version.digest[:100]!r} is not the digest of a version",
            next_step="take the version from the registry",
        )
    if not 1024 <= port <= 65535:
        raise UsageError(
            f"a server that is not root cannot listen on port {port}",
            next_step="choose a port from 1024 to 65535",
        )
    spec_format = version.manifest.spec.format
    if spec_format not in _LIBRARIES:
        raise UsageError(
            f"images are not made for models of the format {spec_format[:100]!r}",
            next_step=f"pack the model as one of {', '.join(_LIBRARIES)}",
        )
    libraries = {spec_format, *version.manifest.spec.library}
    model = check_name(version.model, what="model name")
    return {
        "base": base,
        "digest": version.digest,
        "library": _LIBRARIES[spec_format],
        "model": model,
        "needs_openmp": next((one for one in _NEED_OPENMP if one in libraries), ""),
        "number": int(version.number),
        "platform": f"{platform.system()} {platform.machine()}",
        "port": int(port),
        "python": _python(),
        "ref": f"{model}@{int(version.number)}",
        "user": USER,
    }


def _check_path(name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in name or "\0" in name:
        raise UsageError(
            f"{name[:200]!r} cannot be the name of a file in an image",
            next_step="use a relative path without '..'",
        )


def _fill_home(home: Path, export_home: Callable[[Path], None]) -> None:
    """Make the store, and the folders the server writes to, whose owner volumes inherit."""
    home.mkdir()
    export_home(home)
    for name in _WRITTEN_BY_SERVER:
        (home / name).mkdir(exist_ok=True)
