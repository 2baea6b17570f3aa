"""Many questions at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from shipway.evidence.multiplicity import benjamini_hochberg, benjamini_yekutieli, holm

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=30)


def asked(p: float, levels: list[float]) -> Callable[[float], bool]:
    """A question that is decided at a confidence when its p-value is small enough."""

    def ask(confidence: float) -> bool:
        levels.append(1 - confidence)
        return p <= 1 - confidence

    return ask


@given(p_values)
def test_holm_is_holms_procedure(values: list[float]) -> None:
    """The stepwise questions decide what Holm's sorted p-values reject."""
    found = holm([asked(p, []) for p in values], bool, 0.95)
    order, alpha = np.argsort(values), 1 - 0.95
    expected = [False] * len(values)
    for step, index in enumerate(order):
        if values[index] > 1 - (1 - alpha / (len(values) - step)):
            break
        expected[index] = True
    assert found == expected


def test_holm_asks_strictly_first() -> None:
    """Four questions are first asked at a quarter of alpha, what is left at a third."""
    levels: list[float] = []
    holm([asked(p, levels) for p in (0.001, 0.5, 0.5, 0.5)], bool, 0.95)
    assert levels == pytest.approx([0.0125] * 4 + [0.05 / 3] * 3)


def test_holm_without_questions() -> None:
    """No questions have no answers."""
    assert holm([], bool, 0.95) == []


@given(p_values)
def test_false_discovery_agrees(values: list[float]) -> None:
    """Both adjustments equal SciPy's."""
    p = np.array(values)
    assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p, method="bh"))
    assert benjamini_yekutieli(p) == pytest.approx(stats.false_discovery_control(p, method="by"))
