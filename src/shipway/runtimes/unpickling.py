"""The only place where a pickle is opened.

Opening a pickle runs whatever code its author put into it. So it happens here alone, only in
the packer, only in the hands of the person who made the file and says so (``trust_pickle``).
The server never gets this far: what is published is ONNX, skops, LightGBM text or XGBoost ubj,
none of which runs code when opened.
"""

from __future__ import annotations

import io
import pickle
import warnings
import zlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from shipway.errors import MissingPackage, ModelFileError, PickleRefused

_EXTRAS: Mapping[str, str] = MappingProxyType(
    {"sklearn": "sklearn", "pandas": "sklearn", "lightgbm": "lightgbm", "xgboost": "xgboost"}
)
_DISTRIBUTIONS: Mapping[str, str] = MappingProxyType(
    {
        "category_encoders": "category-encoders",
        "feature_engine": "feature-engine",
        "imblearn": "imbalanced-learn",
        "sklearn": "scikit-learn",
    }
)


def unpickle(data: bytes, name: str, *, trusted: bool) -> tuple[Any, tuple[str, ...]]:
    """The object pickled (by pickle or joblib, compressed or not) in *data*, and warnings met.

    Raises :class:`~shipway.errors.PickleRefused` unless *trusted*,
    :class:`~shipway.errors.MissingPackage` if a class of it is in a package that is not there,
    and :class:`~shipway.errors.ModelFileError` if it does not open.
    """
    if not trusted:
        raise PickleRefused(
            f"{name!r} is a pickle: opening it runs whatever code its author put into it",
            next_step="add --trust-pickle if you made the file yourself or trust who did; it is"
            " opened once, here, and what is published contains no pickle. Or save the model with"
            " skops or as ONNX, which run no code",
        )
    try:
        import joblib
    except ModuleNotFoundError as error:
        raise MissingPackage.for_extra("joblib", "sklearn", "open the model file") from error
    with warnings.catch_warnings(record=True) as met:
        warnings.simplefilter("always")
        try:
            model = joblib.load(io.BytesIO(data))
        except ModuleNotFoundError as error:
            raise _missing(error, name) from error
        except AttributeError as error:
            raise _class_gone(error, name) from error
        except (pickle.UnpicklingError, EOFError, zlib.error, OSError) as error:
            raise ModelFileError(
                f"{name!r} is damaged: {str(error) or type(error).__name__}",
                next_step="copy the file again, or save the model again",
            ) from error
        except Exception as error:  # a pickle runs foreign code, which may raise anything
            raise ModelFileError(
                f"{name!r} does not open: {type(error).__name__}: {error}",
                next_step="open it with the package versions that it was saved with",
            ) from error
    notes = dict.fromkeys(_one_line(warning) for warning in met)
    return model, tuple(note for note in notes if note)


def _one_line(warning: warnings.WarningMessage) -> str:
    """What a warning says, if it is the user's business: another version saved the model."""
    if warning.category.__name__ != "InconsistentVersionWarning":
        return ""
    message = warning.message
    saved = getattr(message, "original_sklearn_version", "another version")
    here = getattr(message, "current_sklearn_version", "this one")
    return f"the model was saved with scikit-learn {saved} and opened with {here}"


def _missing(error: ModuleNotFoundError, name: str) -> MissingPackage:
    module = (error.name or "").split(".", 1)[0] or "an unnamed module"
    if module in _EXTRAS:
        distribution = _DISTRIBUTIONS.get(module, module)
        return MissingPackage.for_extra(distribution, _EXTRAS[module], f"open {name!r}")
    distribution = _DISTRIBUTIONS.get(module, module)
    return MissingPackage(
        f"the package {module!r} is not installed and is needed to open {name!r}",
        next_step=f"pip install {distribution}; if {module!r} is your own code, put its folder on"
        " PYTHONPATH",
    )


def _class_gone(error: AttributeError, name: str) -> ModelFileError:
    text = str(error)
    if "__main__" in text:
        return ModelFileError(
            f"{name!r} was saved from a script or notebook that defined a class of its own: {text}",
            next_step="move the class into a module, import it from there, and save it again",
        )
    return ModelFileError(
        f"{name!r} does not fit the packages installed: {text}",
        next_step="open it with the package versions that it was saved with, or save it again",
    )
