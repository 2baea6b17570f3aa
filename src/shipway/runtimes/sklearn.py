"""scikit-learn estimators and pipelines, kept in the skops format, which runs no code.

Anything with scikit-learn's ``predict`` and ``get_params`` is handled here while it is in memory,
the wrappers of LightGBM and XGBoost too: this is how the original answers when parity is proved.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shipway.domain.events import Scalar
from shipway.domain.model import Kind, ModelSpec
from shipway.errors import MissingPackage, ModelFileError, ModelMismatch
from shipway.runtimes import lightgbm, xgboost
from shipway.runtimes.answers import checked, foreign, rows_of
from shipway.runtimes.archives import canonical_archive
from shipway.runtimes.port import DEFAULT_LIMITS, Columns, Facts, Model, ProcessLimits
from shipway.runtimes.safety import check_trees, trusted_types
from shipway.runtimes.values import plain_parameters, plain_scalar
from shipway.runtimes.versions import check_version

MAIN_FILE = "model.skops"
_LIBRARIES = {"sklearn": "scikit-learn", "lightgbm": "lightgbm", "xgboost": "xgboost"}


class SklearnModel:
    """An estimator behind the port, fed with the frame or the matrix that it was trained on."""

    def __init__(self, spec: ModelSpec, estimator: Any, *, threads: int = 1) -> None:
        self.spec = spec
        limit_threads(estimator, threads)
        self._answer = estimator.predict_proba if spec.classes else estimator.predict
        self._frame = spec.options.get("layout") == "frame"
        self._none = spec.options.get("missing_string") == "none"
        named = msgspec.json.decode(str(spec.options.get("categorical", "[]")), type=list[str])
        self._categorical = frozenset(named)

    def predict(self, columns: Columns) -> NDArray[np.float64]:
        """Class probabilities of shape (n, classes), or values of shape (n,)."""
        spec = self.spec
        rows = rows_of(spec, columns)
        with foreign(spec), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = self._as_frame(columns) if self._frame else self._as_matrix(columns)
            raw = self._answer(table)
        return checked(spec, raw, rows)

    def close(self) -> None:
        """Free the estimator."""
        self._answer = _closed

    def _as_matrix(self, columns: Columns) -> NDArray[Any]:
        return np.column_stack([columns[one.name] for one in self.spec.inputs])

    def _as_frame(self, columns: Columns) -> Any:
        import pandas as pd

        frame = {}
        for one in self.spec.inputs:
            values = columns[one.name]
            if one.name in self._categorical:
                frame[one.name] = pd.Series(pd.Categorical(values))
            elif one.kind is Kind.STRING:
                frame[one.name] = self._strings(values)
            else:
                frame[one.name] = pd.Series(values)
        return pd.DataFrame(frame)

    def _strings(self, values: NDArray[Any]) -> Any:
        """A missing string is NaN, as pandas reads it, unless an encoder learned None."""
        import pandas as pd

        if self._none:
            return pd.Series(values, dtype=object)
        if int(pd.__version__.split(".", 1)[0]) >= 3:
            return pd.Series(values, dtype="str")
        return pd.Series([np.nan if value is None else value for value in values], dtype=object)


def _closed(_: Any) -> Any:
    raise RuntimeError("the model is closed")


def preload() -> None:
    """Import the library ahead of the first model."""
    import skops.io  # noqa: F401


def load(
    spec: ModelSpec,
    files: Mapping[str, Path],
    *,
    threads: int = 1,
    limits: ProcessLimits = DEFAULT_LIMITS,
) -> Model:
    """The estimator in the skops file that *spec* names."""
    for library in spec.library:
        check_version(spec, library, "sklearn" if library == "scikit-learn" else library)
    return wrap(read(files[spec.main_file].read_bytes()), spec, threads=threads)


def read(data: bytes) -> Any:
    """The estimator in the skops archive *data*, if it holds nothing but types of the policy.

    Raises :class:`~shipway.errors.ModelFileError` for a damaged archive or a type that is not in
    :mod:`shipway.runtimes.safety`, whatever the file itself says about trust.
    """
    try:
        import skops.io
    except ModuleNotFoundError as error:
        raise MissingPackage.for_extra("skops", "sklearn", "open a skops model") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = skops.io.get_untrusted_types(data=data)
            model = skops.io.loads(data, trusted=trusted_types(found))
    except ModelFileError:
        raise
    except ModuleNotFoundError as error:
        raise MissingPackage(
            f"the skops file holds a model of {error.name!r}, which is not installed",
            next_step=f"pip install {error.name}",
        ) from error
    except Exception as error:  # a damaged archive fails anywhere inside skops
        raise ModelFileError(
            f"the skops file is damaged: {type(error).__name__}: {error}",
            next_step="copy it again, or save the model again",
        ) from error
    check_trees(parts(model))
    return model


def wrap(model: Any, spec: ModelSpec, *, threads: int = 1) -> Model:
    """An estimator in memory behind the port."""
    return SklearnModel(spec, model, threads=threads)


def save(model: Any) -> tuple[str, bytes]:
    """The estimator as a skops archive.

    Raises :class:`~shipway.errors.ModelFileError` if it holds anything that a loader would refuse.
    """
    import skops.io

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data: bytes = skops.io.dumps(model)
            trusted_types(skops.io.get_untrusted_types(data=data))
    except ModelFileError:
        raise
    except Exception as error:  # skops raises what the objects inside raise
        raise ModelFileError(
            f"skops cannot save it: {type(error).__name__}: {error}",
            next_step="export the model to ONNX",
        ) from error
    return MAIN_FILE, canonical_archive(data)


def is_estimator(model: Any) -> bool:
    """Whether *model* is fitted and has scikit-learn's interface."""
    return hasattr(model, "predict") and hasattr(model, "get_params")


def describe(model: Any) -> Facts:
    """What an estimator says about itself.

    Raises :class:`~shipway.errors.ModelMismatch` for one that is not fitted, gives no
    probabilities though it is a classifier, or has several targets.
    """
    last = final_step(model)
    root = type(last).__module__.split(".", 1)[0]
    kind = f"{type(model).__module__.split('.', 1)[0]}.{type(model).__name__}"
    classes = _classes(model, kind)
    libraries = {"scikit-learn"} | {
        _LIBRARIES[module]
        for part in parts(model)
        if (module := type(part).__module__.split(".", 1)[0]) in _LIBRARIES
    }
    shown = _column_names(model)
    names = _used_columns(model, shown)
    width = getattr(model, "n_features_in_", None)
    return Facts(
        type=kind if model is last else f"{kind} ending in {root}.{type(last).__name__}",
        names=names,
        width=None if width is None else int(width),
        classes=classes,
        numbered=root == "xgboost" and bool(classes),
        parameters=plain_parameters(model.get_params(deep=True)),
        libraries=tuple(sorted(libraries)),
        unused=tuple(name for name in shown or () if name not in (names or ())),
    )


def _column_names(model: Any) -> tuple[str, ...] | None:
    root = type(model).__module__.split(".", 1)[0]
    if root == "lightgbm":
        return lightgbm.column_names(model)
    if root == "xgboost":
        return xgboost.column_names(model)
    names = getattr(model, "feature_names_in_", None)
    return None if names is None else tuple(str(name) for name in names)


def _used_columns(model: Any, shown: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The columns that a column transformer in front takes; it does not miss those it drops."""
    if shown is None or not selects_columns(model):
        return shown
    first = first_step(model)
    positions = getattr(first, "_transformer_to_input_indices", None)
    if positions is None:
        return shown
    taken = {
        int(position)
        for name, step, _ in first.transformers_
        if not (isinstance(step, str) and step == "drop")
        for position in positions[name]
    }
    return tuple(name for position, name in enumerate(shown) if position in taken)


def _classes(model: Any, kind: str) -> tuple[Scalar, ...]:
    try:
        from sklearn.base import is_classifier
        from sklearn.exceptions import NotFittedError
        from sklearn.utils.validation import check_is_fitted
    except ModuleNotFoundError as error:
        raise MissingPackage.for_extra("scikit-learn", "sklearn", "read the model") from error
    try:
        check_is_fitted(model)
    except NotFittedError as error:
        raise ModelMismatch(
            f"the {kind} was never fitted", next_step="call fit, and save it after that"
        ) from error
    except TypeError as error:
        raise ModelMismatch(
            f"the {kind} is not a model that predicts", next_step="save the fitted estimator"
        ) from error
    if not is_classifier(model):
        return ()
    if not hasattr(model, "predict_proba"):
        raise ModelMismatch(
            f"the {kind} gives no probabilities, and decisions and monitoring rest on them",
            next_step="wrap it in sklearn.calibration.CalibratedClassifierCV and fit that",
        )
    classes = model.classes_
    if isinstance(classes, list) or np.ndim(classes) != 1:
        raise ModelMismatch(
            f"the {kind} has several targets", next_step="pack one model for each target"
        )
    return tuple(plain_scalar(value) for value in classes)


def options(model: Any, spec: ModelSpec) -> dict[str, Scalar]:
    """How to build the table that the estimator was trained on."""
    if _column_names(model) is None:
        return {"layout": "matrix"}
    chosen: dict[str, Scalar] = {"layout": "frame"}
    if any(_learned_none(part) for part in parts(model)):
        chosen["missing_string"] = "none"
    named = _categorical(model, spec)
    if named:
        chosen["categorical"] = msgspec.json.encode(named).decode()
    return chosen


def _learned_none(part: Any) -> bool:
    categories = getattr(part, "categories_", ())
    return getattr(part, "missing_values", np.nan) is None or any(
        value is None for values in categories for value in np.asarray(values, dtype=object)
    )


def _categorical(model: Any, spec: ModelSpec) -> list[str]:
    """The inputs that were pandas categories when a bare model was trained on a frame."""
    root = type(model).__module__.split(".", 1)[0]
    if root == "lightgbm":
        return lightgbm.categorical(model, spec)
    if root == "xgboost":
        return xgboost.categorical(model, spec)
    mask = getattr(model, "is_categorical_", None)
    if mask is None or getattr(model, "categorical_features", None) != "from_dtype":
        return []
    return [one.name for one, is_category in zip(spec.inputs, mask, strict=True) if is_category]


def selects_columns(model: Any) -> bool:
    """Whether the first step picks its columns by name, so that each is an input of its own."""
    first = first_step(model)
    return type(first).__name__ == "ColumnTransformer" and hasattr(first, "feature_names_in_")


def first_step(model: Any) -> Any:
    """The first step of a (nested) pipeline, or the model itself."""
    while hasattr(model, "steps"):
        model = model.steps[0][1]
    return model


def final_step(model: Any) -> Any:
    """The last step of a (nested) pipeline, or the model itself."""
    while hasattr(model, "steps"):
        model = model.steps[-1][1]
    return model


def parts(model: Any) -> Iterator[Any]:
    """*model* and every object inside it that a prediction may run through, each once."""
    seen: set[int] = set()
    waiting = [model]
    while waiting:
        part = waiting.pop()
        if id(part) in seen or isinstance(part, str | bytes | int | float | bool | type | None):
            continue
        seen.add(id(part))
        if isinstance(part, list | tuple | set | frozenset):
            waiting.extend(part)
        elif isinstance(part, dict):
            waiting.extend(part.values())
        elif isinstance(part, np.ndarray):
            waiting.extend(part.ravel().tolist() if part.dtype == object else [])
        else:
            yield part
            waiting.extend(getattr(part, "__dict__", {}).values())


def limit_threads(model: Any, threads: int) -> None:
    """Let every step use *threads*: what suited the training machine stalls a server."""
    for part in parts(model):
        if "n_jobs" in getattr(part, "__dict__", {}):
            part.n_jobs = threads
