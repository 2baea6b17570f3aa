"""What a skops file may hold: our own list, never the file's.

skops builds objects without running code of the file, but it does build whatever types the
reader trusts. It trusts the public estimators of scikit-learn, numpy's dtypes and ufuncs; the
policy below adds, one by one and by the versions of each library, what fitted models hold
besides. Trees carry raw node numbers that scikit-learn follows without looking, so those are
checked after loading.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from packaging.specifiers import SpecifierSet

from shipway.errors import ModelFileError
from shipway.runtimes.versions import installed


@dataclass(frozen=True, slots=True)
class Rule:
    """The ``types`` that are opened in ``versions`` of a distribution; "" stands for Python."""

    library: str
    versions: str
    types: frozenset[str]


POLICY: tuple[Rule, ...] = (
    Rule(
        "",
        "",
        frozenset(
            {
                "collections.OrderedDict",
                "collections.defaultdict",
                "functools.partial",
            }
        ),
    ),
    Rule(
        "lightgbm",
        ">=4.6,<5",
        frozenset(
            {
                "lightgbm.basic.Booster",
                "lightgbm.sklearn.LGBMClassifier",
                "lightgbm.sklearn.LGBMRegressor",
            }
        ),
    ),
    Rule(
        "numpy",
        ">=2,<3",
        frozenset(
            {
                "numpy.dtype",
                "numpy.mean",
            }
        ),
    ),
    Rule(
        "scipy",
        ">=1.15,<2",
        frozenset(
            {
                "scipy._lib.array_api_compat.numpy._aliases.asarray",
                "scipy.interpolate._bsplines.BSpline",
                "scipy.sparse._csr.csr_matrix",
            }
        ),
    ),
    Rule(
        "scikit-learn",
        ">=1.7,<1.10",
        frozenset(
            {
                "sklearn._loss.loss.HalfTweedieLoss",
                "sklearn._loss.loss.HalfTweedieLossIdentity",
                "sklearn.calibration._CalibratedClassifier",
                "sklearn.calibration._SigmoidCalibration",
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
            }
        ),
    ),
    Rule(
        "xgboost",
        ">=3.1,<4",
        frozenset(
            {
                "xgboost.core.Booster",
                "xgboost.sklearn.XGBClassifier",
                "xgboost.sklearn.XGBRFClassifier",
                "xgboost.sklearn.XGBRFRegressor",
                "xgboost.sklearn.XGBRegressor",
            }
        ),
    ),
    Rule(
        "scikit-learn",
        ">=1.8,<1.10",
        frozenset(
            {
                "sklearn.calibration._TemperatureScaling",
            }
        ),
    ),
)
"""A version outside of every rule was not looked at yet: what it means by a name may be another."""

READER = "skops"
READER_VERSIONS = ">=0.13,<1"
"""Earlier ones could be led to build what was not trusted (CVE-2025-54412, -54413, -54886)."""


def trusted_types(found: Iterable[str], versions: Mapping[str, str] | None = None) -> list[str]:
    """*found*, the types that skops itself does not trust, if :data:`POLICY` has every one.

    *versions* are those of the libraries, by default of what is installed. Raises
    :class:`~shipway.errors.ModelFileError` that names the others.
    """
    if versions is None:
        versions = installed((READER, *{rule.library for rule in POLICY if rule.library}))
    if not _within(READER, READER_VERSIONS, versions):
        raise ModelFileError(
            f"skops {versions.get(READER, '')} is installed, and files are opened with"
            f" {READER_VERSIONS} alone",
            next_step='pip install "shipway[sklearn]"',
        )
    types = sorted(found)
    rules = [rule for rule in POLICY if _within(rule.library, rule.versions, versions)]
    unknown = [name for name in types if not any(name in rule.types for rule in rules)]
    if unknown:
        others = [rule for rule in POLICY if not rule.types.isdisjoint(unknown)]
        of = "".join(
            f" (the policy knows them of {rule.library} {rule.versions}, and"
            f" {versions.get(rule.library, 'none')} is installed)"
            for rule in others
        )
        raise ModelFileError(
            f"it holds types that are not opened from a file: {', '.join(unknown)}{of}",
            next_step="build the model from scikit-learn's own steps, or export it to ONNX",
        )
    return types


def _within(library: str, specifier: str, versions: Mapping[str, str]) -> bool:
    if not library:
        return True
    return library in versions and SpecifierSet(specifier).contains(
        versions[library], prereleases=True
    )


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
