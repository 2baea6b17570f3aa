"""What a skops file may hold: our own list, never the file's.

skops builds objects without running code of the file, but it does build whatever types the
reader trusts. It trusts the public estimators of scikit-learn, numpy's dtypes and ufuncs; the
list below adds, one by one, what fitted models hold besides. Trees carry raw node numbers that
scikit-learn follows without looking, so those are checked after loading.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from shipway.errors import ModelFileError

TRUSTED: frozenset[str] = frozenset(
    {
        "collections.OrderedDict",
        "collections.defaultdict",
        "functools.partial",
        "lightgbm.basic.Booster",
        "lightgbm.sklearn.LGBMClassifier",
        "lightgbm.sklearn.LGBMRegressor",
        "numpy.dtype",
        "numpy.mean",
        "scipy._lib.array_api_compat.numpy._aliases.asarray",
        "scipy.interpolate._bsplines.BSpline",
        "scipy.sparse._csr.csr_matrix",
        "sklearn._loss.loss.HalfTweedieLoss",
        "sklearn._loss.loss.HalfTweedieLossIdentity",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.calibration._TemperatureScaling",
        "sklearn.compose._column_transformer._RemainderColsList",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.feature_selection._univariate_selection.f_regression",
        "sklearn.feature_selection._univariate_selection.chi2",
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        "sklearn.gaussian_process.kernels.ConstantKernel",
        "sklearn.gaussian_process.kernels.Product",
        "sklearn.gaussian_process.kernels.RBF",
        "sklearn.gaussian_process.kernels.Sum",
        "sklearn.gaussian_process.kernels.WhiteKernel",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
        "sklearn.utils.validation.check_array",
        "xgboost.core.Booster",
        "xgboost.sklearn.XGBClassifier",
        "xgboost.sklearn.XGBRFClassifier",
        "xgboost.sklearn.XGBRFRegressor",
        "xgboost.sklearn.XGBRegressor",
    }
)


def trusted_types(found: Iterable[str]) -> list[str]:
    """*found*, the types that skops itself does not trust, if every one is in :data:`TRUSTED`.

    Raises :class:`~shipway.errors.ModelFileError` that names the others.
    """
    types = sorted(found)
    unknown = [name for name in types if name not in TRUSTED]
    if unknown:
        raise ModelFileError(
            f"it holds types that are not opened from a file: {', '.join(unknown)}",
            next_step="build the model from scikit-learn's own steps, or export it to ONNX",
        )
    return types


def check_trees(parts: Iterable[Any]) -> None:
    """Refuse a tree whose nodes point outside of it or back up: it would crash or never end.

    Both builders of scikit-learn write children after their parent.
    """
    for part in parts:
        kind = type(part).__name__
        if kind == "Tree" and hasattr(part, "children_left"):
            inner = np.flatnonzero(part.children_left != -1)
            _check_nodes(
                inner,
                (part.children_left, part.children_right),
                part.feature,
                nodes=part.node_count,
                features=part.n_features,
            )
        elif kind == "TreePredictor":
            nodes = part.nodes
            inner = np.flatnonzero(nodes["is_leaf"] == 0)
            _check_nodes(
                inner, (nodes["left"], nodes["right"]), nodes["feature_idx"], nodes=len(nodes)
            )
            split = inner[nodes["is_categorical"][inner] != 0]
            if (nodes["bitset_idx"][split] >= len(part.raw_left_cat_bitsets)).any():
                raise _broken_tree()


def _check_nodes(
    inner: np.ndarray[Any, Any],
    children: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]],
    feature: np.ndarray[Any, Any],
    *,
    nodes: int,
    features: int | None = None,
) -> None:
    for side in children:
        target = side[inner].astype(np.int64)
        if (target <= inner).any() or (target >= nodes).any():
            raise _broken_tree()
    used = feature[inner].astype(np.int64)
    if (used < 0).any() or (features is not None and (used >= features).any()):
        raise _broken_tree()


def _broken_tree() -> ModelFileError:
    return ModelFileError(
        "a decision tree in it points outside of itself",
        next_step="do not use this file; save the model again from a trusted place",
    )
