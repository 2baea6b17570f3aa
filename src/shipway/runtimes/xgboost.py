"""XGBoost models, kept as the UBJSON that XGBoost itself writes (``Booster.save_raw``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shipway.domain.events import Scalar
from shipway.domain.model import ModelSpec
from shipway.errors import MissingPackage, ModelFileError, ModelMismatch
from shipway.runtimes.answers import checked, foreign, matrix, rows_of
from shipway.runtimes.port import DEFAULT_LIMITS, Columns, Facts, Model, ProcessLimits
from shipway.runtimes.ubjson import is_whole_ubjson
from shipway.runtimes.values import plain_parameters
from shipway.runtimes.versions import check_version

MAIN_FILE = "model.xgboost.ubj"


class XgboostModel:
    """A booster behind the port. ``options["missing"]`` is a number that stands for missing."""

    def __init__(self, spec: ModelSpec, booster: Any, *, threads: int = 1) -> None:
        self.spec = spec
        self._booster = booster
        booster.set_param({"nthread": threads})
        self._missing = float(str(spec.options.get("missing", "nan")))
        self._categorical = categorical(booster, spec)

    def predict(self, columns: Columns) -> NDArray[np.float64]:
        """Class probabilities of shape (n, classes), or values of shape (n,)."""
        spec = self.spec
        rows = rows_of(spec, columns)
        with foreign(spec):
            if self._categorical:
                raw = self._booster.predict(self._categories(columns), validate_features=False)
            else:
                raw = self._booster.inplace_predict(
                    matrix(spec, columns, rows), missing=self._missing, validate_features=False
                )
        return checked(spec, raw, rows)

    def _categories(self, columns: Columns) -> Any:
        """The rows with pandas categories, which XGBoost codes by the ones it was trained with."""
        import pandas as pd
        from xgboost import DMatrix

        frame = pd.DataFrame(
            {
                one.name: pd.Categorical(columns[one.name])
                if one.name in self._categorical
                else columns[one.name]
                for one in self.spec.inputs
            }
        )
        return DMatrix(frame, missing=self._missing, enable_categorical=True)

    def close(self) -> None:
        """Free the booster."""
        self._booster = None


def preload() -> None:
    """Import the library ahead of the first model."""
    import xgboost  # noqa: F401


def load(
    spec: ModelSpec,
    files: Mapping[str, Path],
    *,
    threads: int = 1,
    limits: ProcessLimits = DEFAULT_LIMITS,
) -> Model:
    """The model in the UBJSON file that *spec* names."""
    check_version(spec, "xgboost", "xgboost")
    return wrap(read(files[spec.main_file].read_bytes()), spec, threads=threads)


def read(data: bytes) -> Any:
    """The booster in *data*, UBJSON or JSON.

    Raises :class:`~shipway.errors.ModelFileError` if it is damaged.
    """
    try:
        from xgboost import Booster
        from xgboost.core import XGBoostError
    except ModuleNotFoundError as error:
        raise MissingPackage.for_extra("xgboost", "xgboost", "run an XGBoost model") from error
    damaged = ModelFileError(
        "the XGBoost file is damaged or cut off", next_step="copy it again, or save it again"
    )
    if not (is_whole_ubjson(data) or _is_json(data)):
        raise damaged
    booster = Booster()
    try:
        booster.load_model(bytearray(data))
        booster.num_features()
    except (XGBoostError, ValueError) as error:
        raise damaged from error
    return booster


def _is_json(data: bytes) -> bool:
    try:
        msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return False
    return True


def wrap(model: Any, spec: ModelSpec, *, threads: int = 1) -> Model:
    """A booster, or the booster of a fitted scikit-learn wrapper, behind the port."""
    return XgboostModel(spec, booster_of(model), threads=threads)


def booster_of(model: Any) -> Any:
    """The booster that *model* answers with: early stopping leaves the best iterations only."""
    if not hasattr(model, "get_booster"):
        return model
    booster = model.get_booster()
    best = getattr(booster, "best_iteration", None)
    rounds = booster.num_boosted_rounds()
    return booster[: best + 1] if best is not None and best + 1 < rounds else booster


def describe(model: Any) -> Facts:
    """What a bare booster says about itself.

    Raises :class:`~shipway.errors.ModelMismatch` for an objective that gives no probabilities.
    """
    learner = msgspec.json.decode(model.save_config())["learner"]
    objective = str(learner["objective"]["name"])
    count = int(learner["learner_model_param"]["num_class"])
    classes: tuple[Scalar, ...] = ()
    if objective in ("binary:logistic", "reg:logistic"):
        classes = (0, 1)
    elif objective == "multi:softprob":
        classes = tuple(range(count))
    elif objective.startswith(("multi:", "binary:")):
        raise ModelMismatch(
            f"the booster's objective {objective} gives no probabilities",
            next_step="train with binary:logistic or multi:softprob",
        )
    return Facts(
        type="xgboost.Booster",
        names=column_names(model),
        width=int(model.num_features()),
        classes=classes,
        numbered=bool(classes),
        parameters=plain_parameters({"objective": objective}),
        libraries=("xgboost",),
    )


def column_names(model: Any) -> tuple[str, ...] | None:
    """The column names that a model was trained with, if any."""
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    return tuple(booster.feature_names) if booster.feature_names else None


def categorical(model: Any, spec: ModelSpec) -> list[str]:
    """The inputs that were pandas categories in training."""
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    kinds = booster.feature_types or []
    return [one.name for one, kind in zip(spec.inputs, kinds, strict=False) if kind == "c"]


def options(model: Any, spec: ModelSpec) -> dict[str, Scalar]:
    """The number that stands for a missing value, unless that is NaN."""
    missing = float(getattr(model, "missing", np.nan))
    return {} if np.isnan(missing) else {"missing": missing}


def save(model: Any) -> tuple[str, bytes]:
    """The model as XGBoost's UBJSON."""
    return MAIN_FILE, bytes(booster_of(model).save_raw(raw_format="ubj"))


def as_estimator(model: Any) -> Any:
    """A booster, or a wrapper's best iterations, as the wrapper that the converters ask for."""
    from xgboost import XGBClassifier, XGBRegressor

    classifier = hasattr(model, "classes_") or bool(describe(booster_of(model)).classes)
    estimator = (XGBClassifier if classifier else XGBRegressor)()
    estimator.load_model(bytearray(booster_of(model).save_raw(raw_format="ubj")))
    # The converter knows columns by number only, and a dump with types leaves thresholds out.
    estimator.get_booster().feature_names = None
    estimator.get_booster().feature_types = None
    return estimator
