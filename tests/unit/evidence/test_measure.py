"""Measurements: the right method for the rows at hand, and intervals that cover."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.domain.metrics import METRICS, Source, Task
from shipway.domain.objectives import Costs
from shipway.errors import DataError
from shipway.evidence.measure import evidence, measure, measure_difference
from shipway.evidence.metrics import point
from shipway.evidence.outcomes import Outcomes, regressed

World = Callable[..., tuple[Outcomes, Outcomes]]
BINARY = [
    name
    for name, metric in METRICS.items()
    if Task.BINARY in metric.tasks and metric.source is Source.OUTCOMES
]
HELD = ["accuracy", "recall", "f1", "cost_per_1000", "log_loss", "roc_auc", "average_precision"]


def covered(value: float, low: float | None, high: float | None) -> bool:
    assert low is not None
    assert high is not None
    return low <= value <= high


@pytest.mark.parametrize("count", [5, 17])
def test_days_are_covered(days: World, count: int) -> None:
    """With 5 or 17 days that differ, metrics and paired differences are covered at 91 % or more."""
    random = np.random.default_rng(count)
    better, worse = days(random, 8000)
    names = [*HELD, "ece"]
    truth = {name: point(name, better).value or 0.0 for name in names}
    gap = {name: truth[name] - (point(name, worse).value or 0.0) for name in names}
    runs = 150
    hits = {(name, paired): 0 for name in names for paired in (False, True)}
    for _ in range(runs):
        ours, theirs = days(random, count)
        for name in names:
            one = measure(name, ours)
            both = measure_difference(name, ours, theirs)
            hits[name, False] += covered(truth[name], one.low, one.high)
            hits[name, True] += covered(gap[name], both.low, both.high)
    assert {key: share for key, hit in hits.items() if (share := hit / runs) < 0.91} == {}


def test_rows_for_days_would_mislead(days: World) -> None:
    """Taking the rows of 17 days as independent covers the log loss far less than it says."""
    random = np.random.default_rng(1)
    truth = point("log_loss", days(random, 8000)[0]).value or 0.0
    hits = 0
    for _ in range(20):
        found = measure("log_loss", replace(days(random, 17, rows=300)[0], blocks=None))
        hits += covered(truth, found.low, found.high)
    assert hits / 20 < 0.7


@pytest.mark.parametrize("metric", ["mae", "rmse", "r2"])
def test_regression_rows_are_covered(metric: str) -> None:
    """Regression metrics on 120 independent rows with skewed errors are covered at 91 % or more."""
    random = np.random.default_rng(2)

    def world(n: int) -> Outcomes:
        truth = random.normal(size=n)
        return regressed(truth, truth + random.gamma(2, 0.3, n) - 0.5)

    truth = point(metric, world(1_000_000)).value or 0.0
    hits = 0
    for _ in range(150):
        found = measure(metric, world(120))
        hits += covered(truth, found.low, found.high)
    assert hits / 150 >= 0.91


def test_dealt_rows_are_covered(days: World) -> None:
    """More rows than groups are dealt into groups, and log loss is still covered."""
    random = np.random.default_rng(33)
    truth = point("log_loss", days(random, 8000, effect=0.0)[0]).value or 0.0
    hits = 0
    for _ in range(60):
        found = measure("log_loss", replace(days(random, 15, effect=0.0)[0], blocks=None))
        assert "500 groups" in found.method
        hits += covered(truth, found.low, found.high)
    assert hits / 60 >= 0.9


@pytest.mark.parametrize(
    ("metric", "blocked", "alone", "paired"),
    [
        ("accuracy", False, "Wilson", "McNemar"),
        ("precision", False, "Wilson", "BCa"),
        ("roc_auc", False, "DeLong", "paired DeLong"),
        ("log_loss", False, "BCa", "BCa"),
        ("accuracy", True, "of 20 blocks", "20 paired blocks"),
        ("roc_auc", True, "jackknife", "jackknife"),
        ("ece", True, "bias-stretched", "MOVER"),
    ],
)
def test_method_is_named(days: World, metric: str, blocked: bool, alone: str, paired: str) -> None:
    """Each measurement names the method that fits the metric and the rows."""
    ours, theirs = days(np.random.default_rng(4), 20)
    if not blocked:
        ours, theirs = replace(ours, blocks=None), replace(theirs, blocks=None)
    one = measure(metric, ours)
    assert alone in one.method
    assert paired in measure_difference(metric, ours, theirs).method
    assert one.blocks == (20 if blocked else None)


@pytest.mark.parametrize("metric", BINARY)
@pytest.mark.parametrize("count", [8, 60])
def test_interval_holds_value(days: World, metric: str, count: int) -> None:
    """Every binary metric has an interval around its value, within its bounds, twice the same."""
    ours, theirs = days(np.random.default_rng(5), count)
    low_end, high_end = METRICS[metric].bounds
    for made in (ours, replace(ours, blocks=None)):
        found = measure(metric, made, seed=3)
        assert found == measure(metric, made, seed=3)
        assert found.value is not None and found.low is not None and found.high is not None  # noqa: PT018
        assert low_end <= found.low <= found.value <= found.high <= high_end
        assert found.low < found.high
        wide = measure(metric, made, confidence=0.999, seed=3)
        assert wide.low is not None and wide.high is not None  # noqa: PT018
        assert wide.low <= found.low
        assert wide.high >= found.high
    gap = measure_difference(metric, ours, theirs)
    assert gap.value == pytest.approx(
        (point(metric, ours).value or 0) - (point(metric, theirs).value or 0)
    )


@pytest.mark.parametrize(
    ("rows", "blocks", "note"),
    [(12, None, "12 rows, 30 needed"), (300, 3, "3 blocks, 4 needed"), (1, None, "1 rows")],
)
def test_too_little_data_has_no_interval(
    days: World, rows: int, blocks: int | None, note: str
) -> None:
    """Too few rows or blocks give a value, no interval, and a note with what is needed."""
    made = days(np.random.default_rng(6), 20)[0]
    labels = None if blocks is None else np.arange(made.n) % blocks
    made = replace(made, blocks=labels).where(np.arange(made.n) < rows)
    found = measure("accuracy", made)
    assert found.value is not None
    assert found.low is None
    assert found.high is None
    assert note in found.note


def test_rare_class_has_no_auc_interval(days: World) -> None:
    """Three positives among a hundred rows are too few for an interval of the AUC."""
    made = replace(days(np.random.default_rng(7), 20)[0], blocks=None)
    keep = ~made.positives()
    keep[np.flatnonzero(made.positives())[:3]] = True
    assert "rarer class" in measure("roc_auc", made.where(keep)).note


def test_one_class_has_a_note(days: World) -> None:
    """A window of one class has no AUC, alone or in a difference, and says so."""
    ours, theirs = days(np.random.default_rng(8), 20)
    keep = ours.positives()
    assert "one class" in measure("roc_auc", ours.where(keep)).note
    gap = measure_difference("roc_auc", ours.where(keep), theirs.where(keep))
    assert gap.value is None
    assert "one class" in gap.note


def test_all_positives_in_one_block_is_said(days: World) -> None:
    """When one block holds every positive, the recall has no interval, and the note says why."""
    made = days(np.random.default_rng(9), 20)[0]
    keep = ~made.positives() | (np.asarray(made.blocks) == 0)
    found = measure("recall", made.where(keep))
    assert found.low is None
    assert "one block" in found.note


@pytest.mark.parametrize("blocked", [True, False])
@pytest.mark.parametrize("metric", ["accuracy", "f1", "roc_auc", "cost_per_1000", "recall"])
def test_perfection_is_not_certain(metric: str, blocked: bool) -> None:
    """A model without a mistake on 200 rows still has an interval with width."""
    truth = np.arange(200) % 4 == 0
    made = Outcomes(
        task=Task.BINARY,
        truth=truth.astype(np.int64),
        scores=np.where(truth, 0.9, 0.1),
        decided=truth.astype(np.int64),
        classes=(0, 1),
        costs=Costs(),
        blocks=np.arange(200) // 20 if blocked else None,
    )
    found = measure(metric, made)
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low > 0.01


def test_identical_models_differ_by_nothing(days: World) -> None:
    """A model compared with itself differs by exactly nothing; equal decisions alone do not."""
    made = days(np.random.default_rng(10), 20)[0]
    same = measure_difference("cost_per_1000", made, made)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    nudged = replace(made, scores=made.probabilities() * 0.999)
    alike = measure_difference("accuracy", made, nudged)
    assert alike.low is not None
    assert alike.high is not None
    assert alike.low < 0 < alike.high


def test_other_rows_are_refused(days: World) -> None:
    """Two models measured on different rows cannot be compared."""
    ours, theirs = days(np.random.default_rng(11), 20)
    with pytest.raises(DataError, match="same rows"):
        measure_difference("accuracy", ours, theirs.where(np.arange(theirs.n) > 0))


def test_pairing_is_worth_it(days: World) -> None:
    """A paired interval of a difference is shorter than one of unpaired models would be."""
    ours, theirs = days(np.random.default_rng(12), 17)
    gap = measure_difference("log_loss", ours, theirs)
    one, other = measure("log_loss", ours), measure("log_loss", theirs)
    widths = [
        found.high - found.low
        for found in (gap, one, other)
        if found.low is not None and found.high is not None
    ]
    assert widths[0] < 0.5 * float(np.hypot(widths[1], widths[2]))


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 90), st.integers(1, 12), st.integers(1, 4))
def test_small_and_odd_data_never_raise(seed: int, n: int, blocks: int, levels: int) -> None:
    """Any few rows in any blocks with any ties are measured without an error or a warning."""
    random = np.random.default_rng(seed)
    truth = (random.random(n) < random.random()).astype(np.int64)
    labels = random.integers(0, blocks, n) if blocks > 1 else None

    def model() -> Outcomes:
        scores = random.integers(0, levels + 1, n) / levels
        return Outcomes(
            task=Task.BINARY,
            truth=truth,
            scores=scores,
            decided=(scores >= random.random()).astype(np.int64),
            classes=(0, 1),
            costs=Costs(),
            blocks=labels,
        )

    ours, theirs = model(), model()
    for metric in BINARY:
        for found in (measure(metric, ours), measure_difference(metric, ours, theirs)):
            if found.low is not None and found.high is not None and found.value is not None:
                assert found.low <= found.value <= found.high
            else:
                assert found.note


def test_evidence_is_asked_at_any_level(days: World) -> None:
    """One evidence answers at several levels what separate measurements would."""
    made = days(np.random.default_rng(13), 40)[0]
    found = evidence("f1", made, seed=2, of="carrier=AA")
    assert found.at(0.9).of == "carrier=AA"
    assert found.at(0.9).low == measure("f1", made, confidence=0.9, seed=2).low
