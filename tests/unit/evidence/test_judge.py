"""The one rule from interval to verdict."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.domain.objectives import Objective, Reference
from shipway.errors import UsageError
from shipway.evidence.judge import bounds_of, judge, n_needed
from shipway.evidence.verdict import Judgement, Measurement, Verdict, overall

PASS, FAIL, UNDECIDED = Verdict.PASS, Verdict.FAIL, Verdict.UNDECIDED
WORSE = {PASS: 2, UNDECIDED: 1, FAIL: 0}


def measured(
    value: float | None, low: float | None, high: float | None, *, n: int = 1000
) -> Measurement:
    return Measurement(metric="roc_auc", value=value, low=low, high=high, n=n, method="Wilson")


@pytest.mark.parametrize(
    ("bound", "target", "low", "high", "verdict"),
    [
        ("at_least", 0.7, 0.71, 0.75, PASS),
        ("at_least", 0.7, 0.70, 0.75, PASS),
        ("at_least", 0.7, 0.69, 0.75, UNDECIDED),
        ("at_least", 0.7, 0.60, 0.70, UNDECIDED),
        ("at_least", 0.7, 0.60, 0.69, FAIL),
        ("at_most", 0.7, 0.60, 0.70, PASS),
        ("at_most", 0.7, 0.60, 0.71, UNDECIDED),
        ("at_most", 0.7, 0.71, 0.75, FAIL),
        ("at_most", 0.7, 0.71, None, FAIL),
        ("at_most", 0.7, 0.60, None, UNDECIDED),
        ("at_least", 0.7, 0.71, None, PASS),
        ("at_least", 0.7, None, 0.69, FAIL),
        ("at_least", 0.7, None, None, UNDECIDED),
    ],
)
def test_interval_decides(
    bound: str, target: float, low: float | None, high: float | None, verdict: Verdict
) -> None:
    """An interval wholly on the good side passes, wholly on the bad side fails, else undecided."""
    objective = Objective(metric="roc_auc", at_least=0.7)
    value = next((end for end in (low, high) if end is not None), 0.5)
    assert judge(objective, bound, target, measured(value, low, high)).verdict is verdict


@pytest.mark.parametrize(
    ("metric", "margin", "low", "high", "verdict"),
    [
        ("roc_auc", 0.0, 0.001, 0.02, PASS),
        ("roc_auc", 0.0, 0.0, 0.0, PASS),
        ("roc_auc", 0.0, -0.01, 0.02, UNDECIDED),
        ("roc_auc", 0.01, -0.01, 0.02, PASS),
        ("roc_auc", 0.0, -0.02, -0.001, FAIL),
        ("cost_per_1000", 0.0, -9.0, -1.0, PASS),
        ("cost_per_1000", 0.0, 1.0, 9.0, FAIL),
        ("cost_per_1000", 10.0, 1.0, 9.0, PASS),
        ("cost_per_1000", 5.0, 1.0, 9.0, UNDECIDED),
    ],
)
def test_better_than_knows_direction(
    metric: str, margin: float, low: float, high: float, verdict: Verdict
) -> None:
    """A candidate may be worse by the margin, in the direction that is worse for the metric."""
    objective = Objective(metric=metric, better_than=Reference.LIVE, margin=margin)
    ((bound, target),) = bounds_of(objective)
    found = judge(objective, bound, target, measured((low + high) / 2, low, high))
    assert found.verdict is verdict


def test_all_bounds_are_listed() -> None:
    """An objective with three bounds is judged three times."""
    objective = Objective(metric="mae", at_least=1, at_most=9, better_than=Reference.BASELINE)
    assert [bound for bound, _ in bounds_of(objective)] == ["at_least", "at_most", "better_than"]


def test_undecided_says_how_much_is_missing() -> None:
    """The n needed is that at which the interval would end on the target: 4 times for half."""
    objective = Objective(metric="roc_auc", at_least=0.7)
    found = judge(objective, "at_least", 0.7, measured(0.72, 0.68, 0.76))
    assert found.n_needed == pytest.approx(4000, abs=1)
    assert "4,000 rows" in found.reason
    assert judge(objective, "at_least", 0.7, measured(0.75, 0.71, 0.78)).n_needed is None


def test_value_on_target_needs_nobody_knows() -> None:
    """When the value lies on the target no number of rows is promised."""
    assert n_needed(measured(0.7, 0.6, 0.8), 0.7) is None
    assert n_needed(measured(0.5, 0.2, None), 0.7) is None


def test_reason_of_missing_interval_is_the_note() -> None:
    """Without an interval the reason is why there is none."""
    objective = Objective(metric="roc_auc", at_least=0.7)
    bare = Measurement(
        metric="roc_auc", value=None, low=None, high=None, n=3, method="none", note="one class"
    )
    found = judge(objective, "at_least", 0.7, bare)
    assert (found.verdict, found.reason) == (UNDECIDED, "one class")


def test_unknown_bound_is_refused() -> None:
    """A bound that does not exist is refused."""
    with pytest.raises(UsageError, match="at_best"):
        judge(Objective(metric="mae", at_most=1), "at_best", 1.0, measured(1, 0, 2))


numbers = st.floats(-1e6, 1e6, allow_nan=False)


@given(
    numbers,
    st.floats(0, 1e3),
    st.floats(0, 1e3),
    st.floats(0, 1e3),
    numbers,
    st.sampled_from(["at_least", "at_most", "better_than"]),
    st.sampled_from(["roc_auc", "cost_per_1000"]),
)
def test_better_is_never_judged_worse(
    value: float, below: float, above: float, gain: float, target: float, bound: str, metric: str
) -> None:
    """Moving a whole interval towards good never worsens the verdict."""
    objective = Objective(metric=metric, better_than=Reference.LIVE)
    up = bound == "at_least" or (bound == "better_than" and metric == "roc_auc")
    step = gain if up else -gain
    before, after = (
        judge(
            objective,
            bound,
            target,
            measured(value + move, value + move - below, value + move + above),
        )
        for move in (0.0, step)
    )
    assert WORSE[after.verdict] >= WORSE[before.verdict]


@given(numbers, st.floats(0, 1e3), st.floats(0, 1e3), st.floats(0, 1), numbers)
def test_narrower_never_turns_a_verdict(
    value: float, below: float, above: float, factor: float, target: float
) -> None:
    """More certainty around the same value may decide, but never reverses a decision."""
    objective = Objective(metric="mae", at_most=target)
    wide = judge(objective, "at_most", target, measured(value, value - below, value + above))
    narrow = judge(
        objective,
        "at_most",
        target,
        measured(value, value - below * factor, value + above * factor),
    )
    assert wide.verdict in {UNDECIDED, narrow.verdict}


@given(
    st.floats(-1e3, 1e3),
    st.floats(0.1, 1e3),
    st.floats(0.1, 1e3),
    st.floats(0.01, 0.99),
    st.booleans(),
    st.integers(30, 10**6),
)
def test_n_needed_would_decide(
    value: float, below: float, above: float, place: float, over: bool, n: int
) -> None:
    """With the n needed, at the same value, the interval is decided."""
    target = value + place * above if over else value - place * below
    objective = Objective(metric="mae", at_most=target)
    found = judge(objective, "at_most", target, measured(value, value - below, value + above, n=n))
    assert found.verdict is UNDECIDED
    assert found.n_needed is not None
    shrink = (n / found.n_needed) ** 0.5 * (1 - 1e-6)
    after = measured(value, value - below * shrink, value + above * shrink)
    assert judge(objective, "at_most", target, after).verdict is not UNDECIDED


def test_overall_is_the_worst() -> None:
    """One failure fails all, one undecided leaves all undecided, nothing judged is undecided."""

    def judged(verdict: Verdict) -> Judgement:
        return Judgement(
            objective=Objective(metric="mae", at_most=1),
            bound="at_most",
            target=1.0,
            measurement=measured(1, 0, 2),
            verdict=verdict,
            reason="",
        )

    assert overall((judged(PASS), judged(UNDECIDED), judged(FAIL))) is FAIL
    assert overall((judged(PASS), judged(UNDECIDED))) is UNDECIDED
    assert overall((judged(PASS),)) is PASS
    assert overall(()) is UNDECIDED
