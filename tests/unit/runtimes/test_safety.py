"""What a skops file may hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from shipway.errors import ModelFileError
from shipway.runtimes import sklearn as runtime
from shipway.runtimes.safety import check_trees, trusted_types

X = np.random.default_rng(0).random((80, 3))
Y = (X[:, 0] > 0.5).astype(int)


def _saved(model: Any) -> bytes:
    import skops.io

    data: bytes = skops.io.dumps(model)
    return data


def test_unknown_types_are_refused_by_name() -> None:
    """Types outside of the policy are refused, each by its name, known ones pass."""
    assert trusted_types(["sklearn.tree._tree.Tree"]) == ["sklearn.tree._tree.Tree"]
    with pytest.raises(ModelFileError, match=r"os\.system, subprocess\.Popen"):
        trusted_types(["subprocess.Popen", "numpy.dtype", "os.system"])


def test_a_file_with_a_foreign_function_is_refused() -> None:
    """A skops file that names a function of its own choice does not open."""
    from sklearn.preprocessing import FunctionTransformer

    step = FunctionTransformer(func=np.loadtxt)
    with pytest.raises(ModelFileError, match="loadtxt"):
        runtime.read(_saved(step))


@pytest.mark.parametrize("target", [0, 10_000, -5])
def test_a_tree_that_points_out_of_itself_or_back_is_refused(target: int) -> None:
    """Node numbers are followed blindly by scikit-learn, so a crafted one must not get through."""
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(3, max_depth=3, random_state=0).fit(X, Y)
    check_trees(runtime.parts(model))
    tree = model.estimators_[1].tree_
    tree.children_left[tree.children_left.argmax()] = 1
    broken = np.flatnonzero(tree.children_left > 0)[-1]
    tree.children_left[broken] = target
    with pytest.raises(ModelFileError, match="points outside"):
        check_trees(runtime.parts(model))


def test_a_histogram_tree_is_checked_too() -> None:
    """HistGradientBoosting keeps its nodes in a structure of its own."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(max_iter=2, max_depth=3, min_samples_leaf=5).fit(X, Y)
    check_trees(runtime.parts(model))
    nodes = model._predictors[0][0].nodes
    nodes["right"][0] = 9_999
    with pytest.raises(ModelFileError, match="points outside"):
        runtime.read(_saved(model))


def test_a_feature_that_is_not_there_is_refused() -> None:
    """A split on a column past the last would read other memory."""
    from sklearn.tree import DecisionTreeRegressor

    model = DecisionTreeRegressor(max_depth=2).fit(X, X[:, 0])
    model.tree_.feature[0] = 3
    with pytest.raises(ModelFileError, match="points outside"):
        check_trees(runtime.parts(model))
