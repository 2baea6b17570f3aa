"""LightGBM models, kept as the text that LightGBM itself writes (``Booster.save_model``)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shipway.domain.events import Scalar
from shipway.domain.model import ModelSpec
from shipway.errors import MissingPackage, ModelFileError
from shipway.runtimes.answers import checked, codes, foreign, rows_of
from shipway.runtimes.port import DEFAULT_LIMITS, Columns, Facts, Model, ProcessLimits
from shipway.runtimes.values import plain_parameters
from shipway.runtimes.versions import check_version

MAIN_FILE = "model.lightgbm.txt"
_UNNAMED = re.compile(r"Column_\d+")


class LightgbmModel:
    """A booster behind the port; strings become the category codes that it was trained with."""

    def __init__(self, spec: ModelSpec, booster: Any, *, threads: int = 1) -> None:
        self.spec = spec
        self._booster = booster
        self._threads = threads
        named = msgspec.json.decode(str(spec.options.get("categorical", "[]")), type=list[str])
        known = [tuple(values) for values in booster.pandas_categorical or []]
        if len(named) != len(known):
            raise ModelFileError(
                f"the LightGBM text has categories for {len(known)} columns, and the manifest"
                f" names {len(named)}",
                next_step="publish the model again; this file is not the one that was packed",
            )
        self._categories: dict[str, tuple[Any, ...]] = dict(zip(named, known, strict=True))

    def predict(self, columns: Columns) -> NDArray[np.float64]:
        """Class probabilities of shape (n, classes), or values of shape (n,)."""
        spec = self.spec
        rows = rows_of(spec, columns)
        with foreign(spec):
            features = np.empty((rows, len(spec.inputs)), dtype=np.float64)
            for position, one in enumerate(spec.inputs):
                values = columns[one.name]
                known = self._categories.get(one.name)
                features[:, position] = values if known is None else codes(values, known)
            raw = self._booster.predict(features, num_threads=self._threads)
        return checked(spec, raw, rows)

    def close(self) -> None:
        """Free the booster."""
        self._booster = None


def preload() -> None:
    """Import the library ahead of the first model."""
    import lightgbm  # noqa: F401


def load(
    spec: ModelSpec,
    files: Mapping[str, Path],
    *,
    threads: int = 1,
    limits: ProcessLimits = DEFAULT_LIMITS,
) -> Model:
    """The model in the text file that *spec* names."""
    check_version(spec, "lightgbm", "lightgbm")
    return wrap(read(files[spec.main_file].read_bytes()), spec, threads=threads)


def read(data: bytes) -> Any:
    """The booster in the text *data*.

    Raises :class:`~shipway.errors.ModelFileError` if it is damaged; a cut-off text is found
    here, because LightGBM may read past its end.
    """
    try:
        from lightgbm import Booster
        from lightgbm.basic import LightGBMError
    except ModuleNotFoundError as error:
        raise MissingPackage.for_extra("lightgbm", "lightgbm", "run a LightGBM model") from error
    damaged = ModelFileError(
        "the LightGBM text is damaged or cut off", next_step="copy it again, or save it again"
    )
    if not _is_whole(data):
        raise damaged
    try:
        return Booster(model_str=data.decode())
    except (LightGBMError, UnicodeDecodeError, ValueError) as error:
        raise damaged from error


def _is_whole(data: bytes) -> bool:
    """Whether every tree that the header counts is there, and the file was written to its end.

    Python's LightGBM ends the file with the categories, other languages' with the parameters.
    """
    header, _, _ = data.partition(b"\n\nTree=")
    sizes = re.search(rb"^tree_sizes=([\d ]+)$", header, re.MULTILINE)
    if not data.startswith(b"tree\n") or sizes is None:
        return False
    trees = len(header) + 2 + sum(int(size) for size in sizes[1].split())
    rest = data[trees:].strip()
    if not rest.startswith(b"end of trees"):
        return False
    before, line, categories = rest.rpartition(b"pandas_categorical:")
    try:
        msgspec.json.decode(categories if line else b"null")
    except msgspec.DecodeError:
        return False
    return (before if line else rest).strip().endswith((b"end of parameters", b"end of trees"))


def wrap(model: Any, spec: ModelSpec, *, threads: int = 1) -> Model:
    """A booster, or the booster of a fitted scikit-learn wrapper, behind the port."""
    return LightgbmModel(spec, booster_of(model), threads=threads)


def booster_of(model: Any) -> Any:
    """The booster of *model*, which may be one already."""
    return getattr(model, "booster_", model)


def describe(model: Any) -> Facts:
    """What a bare booster says about itself."""
    names = tuple(model.feature_name())
    structure = model.dump_model(num_iteration=1)
    objective = str(structure.get("objective", ""))
    count = int(structure.get("num_class", 1))
    classes: tuple[Scalar, ...] = ()
    if objective.startswith(("binary", "cross_entropy")):
        classes = (0, 1)
    elif objective.startswith("multiclass"):
        classes = tuple(range(count))
    return Facts(
        type="lightgbm.Booster",
        names=column_names(model),
        width=len(names),
        classes=classes,
        numbered=bool(classes),
        parameters=plain_parameters({"objective": objective, **(model.params or {})}),
        libraries=("lightgbm",),
    )


def column_names(model: Any) -> tuple[str, ...] | None:
    """The column names that a model was trained with, None if LightGBM made them up."""
    names = tuple(str(name) for name in booster_of(model).feature_name())
    return None if all(_UNNAMED.fullmatch(name) for name in names) else names


def options(model: Any, spec: ModelSpec) -> dict[str, Scalar]:
    """Which inputs are categories that LightGBM codes itself."""
    named = categorical(model, spec)
    return {"categorical": msgspec.json.encode(named).decode()} if named else {}


def categorical(model: Any, spec: ModelSpec) -> list[str]:
    """The inputs that were pandas categories in training, in the model's order.

    ``feature_infos`` in the text of the model gives ``[low:high]`` for a number and ``0:1:2`` for
    categories; a column of one value is ``none`` and is told by its kind in the contract.
    """
    booster = booster_of(model)
    if not booster.pandas_categorical:
        return []
    text = booster.model_to_string(num_iteration=1)
    infos = re.search(r"^feature_infos=(.*)$", text, re.MULTILINE)
    kinds = infos[1].split(" ") if infos else []
    named = [
        one.name
        for one, info in zip(spec.inputs, kinds, strict=False)
        if not info.startswith("[") and (info != "none" or one.kind == "string")
    ]
    if len(named) != len(booster.pandas_categorical):
        raise ModelFileError(
            f"the model has {len(booster.pandas_categorical)} categorical columns, but only"
            f" {', '.join(named) or 'none'} can be told apart",
            next_step="leave columns with a single category out of the training",
        )
    return named


def save(model: Any) -> tuple[str, bytes]:
    """The model as LightGBM's text, up to its best iteration."""
    return MAIN_FILE, booster_of(model).model_to_string().encode()


def as_estimator(booster: Any) -> Any:
    """A bare booster with as much of scikit-learn's interface as the converters ask for."""
    from onnxmltools.convert.lightgbm._parse import WrappedBooster
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

    kind = ClassifierMixin if describe(booster).classes else RegressorMixin
    bases = (WrappedBooster, kind, BaseEstimator)
    return type("LGBMBooster", bases, {"__module__": "lightgbm.booster"})(booster)
