"""Thresholds that decide like the original's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.runtimes.trees import Arithmetic, arithmetic_of, float32_thresholds

_THRESHOLDS = st.floats(allow_nan=False, min_value=-1e30, max_value=1e30)


@given(_THRESHOLDS, st.integers(-3, 3))
def test_float32_thresholds_decide_like_float64_ones(threshold: float, steps: int) -> None:
    """For every float32 x about a threshold t, x <= t exactly if x <= the float32 taken for t."""
    (found,) = float32_thresholds(np.array([threshold]), ["BRANCH_LEQ"])
    assert np.float32(found) == found
    x = np.float32(threshold)
    for _ in range(abs(steps)):
        x = np.nextafter(x, np.float32(np.copysign(np.inf, steps)))
    assert (float(x) <= threshold) == (float(x) <= found)


def test_other_comparisons_take_the_nearest() -> None:
    """XGBoost compares with `<` and writes its float32 thresholds in decimal."""
    written = float(f"{np.float32(0.1):.9g}")
    (found,) = float32_thresholds(np.array([written]), ["BRANCH_LT"])
    assert found == np.float32(0.1)


@pytest.mark.parametrize(
    ("module", "name", "expected"),
    [
        ("lightgbm.sklearn", "LGBMClassifier", Arithmetic.DOUBLE),
        ("xgboost.sklearn", "XGBRegressor", Arithmetic.SINGLE),
        ("sklearn.ensemble._forest", "RandomForestClassifier", Arithmetic.SINGLE),
        ("sklearn.ensemble._gb", "GradientBoostingRegressor", Arithmetic.SINGLE),
        (
            "sklearn.ensemble._hist_gradient_boosting.gradient_boosting",
            "HistGradientBoostingClassifier",
            Arithmetic.DOUBLE,
        ),
        ("sklearn.tree._tree", "Tree", None),
        ("sklearn.linear_model._logistic", "LogisticRegression", None),
        ("elsewhere", "LGBMClassifier", None),
    ],
)
def test_each_library_compares_in_its_own_numbers(
    module: str, name: str, expected: Arithmetic | None
) -> None:
    """Which arithmetic a type has follows from where it comes from."""
    part = type(name, (), {"__module__": module})()
    assert arithmetic_of(part) is expected
