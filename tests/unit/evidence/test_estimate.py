"""Performance before labels come."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from shipway.domain.metrics import Task
from shipway.domain.objectives import Costs
from shipway.errors import DataError, NotEnoughData, UsageError
from shipway.evidence.estimate import ESTIMABLE, Calibration, calibrate, estimate
from shipway.evidence.metrics import point
from shipway.evidence.outcomes import FloatArray, Outcomes

COSTS = Costs(false_positive=1, false_negative=4)


def world(random: np.random.Generator, n: int, a: float = 2, b: float = 5) -> Outcomes:
    """A model whose scores rank well and are badly calibrated: the true chance is their root."""
    chance = random.beta(a, b, n)
    truth = (random.random(n) < chance).astype(np.int64)
    scores = chance**2
    return Outcomes(
        task=Task.BINARY,
        truth=truth,
        scores=scores,
        decided=(scores >= 0.1).astype(np.int64),
        classes=(0, 1),
        costs=COSTS,
    )


def fitted(random: np.random.Generator) -> Calibration:
    held_out = world(random, 30_000)
    return calibrate(held_out.probabilities(), held_out.positives())


def test_calibration_finds_the_chance() -> None:
    """A calibrated score is close to the true chance, rises with the score, and keeps as JSON."""
    found = fitted(np.random.default_rng(0))
    grid = np.linspace(0.01, 0.5, 40)
    assert np.abs(found.probabilities(grid) - np.sqrt(grid)).max() < 0.04
    assert (np.diff(found.probabilities(np.linspace(0, 1, 200))) >= 0).all()
    assert msgspec.json.decode(msgspec.json.encode(found), type=Calibration) == found


@pytest.mark.parametrize("metric", sorted(ESTIMABLE))
def test_shifted_rows_are_foretold(metric: str) -> None:
    """When rows move and a score means what it meant, the estimate foretells the realised value."""
    random = np.random.default_rng(1)
    calibration = fitted(random)
    moved = world(random, 40_000, 3, 3)
    realised = point(metric, moved).value
    found = estimate(metric, moved.probabilities(), calibration, threshold=0.1, costs=COSTS)
    assert found.value == pytest.approx(realised, rel=0.03)
    assert "estimated" in found.method
    assert "not realised" in found.note


def test_interval_covers_realised_value() -> None:
    """Labels drawn with the calibrated chance realise inside the interval at 91 % or more."""
    random = np.random.default_rng(2)
    calibration = Calibration(scores=(0.0, 1.0), shares=(0.0, 1.0), n=1000)
    names = ("roc_auc", "f1", "cost_per_1000", "brier")
    hits = dict.fromkeys(names, 0)
    runs = 120
    for _ in range(runs):
        scores: FloatArray = random.beta(2, 5, 300)
        made = Outcomes(
            task=Task.BINARY,
            truth=(random.random(300) < scores).astype(np.int64),
            scores=scores,
            decided=(scores >= 0.2).astype(np.int64),
            classes=(0, 1),
            costs=COSTS,
        )
        for name in names:
            found = estimate(name, scores, calibration, threshold=0.2, costs=COSTS)
            value = point(name, made).value
            assert found.low is not None and found.high is not None and value is not None  # noqa: PT018
            hits[name] += found.low <= value <= found.high
    assert min(hits.values()) / runs >= 0.91


def test_expected_auc_is_exact() -> None:
    """The expected AUC of few rows is expected wins over expected pairs, ties half."""
    scores = np.array([0.1, 0.4, 0.4, 0.9])
    calibration = Calibration(scores=(0.0, 1.0), shares=(0.1, 0.8), n=100)
    p = calibration.probabilities(scores)
    wins = pairs = 0.0
    for i in range(4):
        for j in range(4):
            if i != j:
                chance = p[i] * (1 - p[j])
                pairs += chance
                wins += chance * ((scores[i] > scores[j]) + (scores[i] == scores[j]) / 2)
    assert estimate("roc_auc", scores, calibration).value == pytest.approx(wins / pairs)


def test_concept_drift_is_not_seen() -> None:
    """When the relation turns around, the estimate does not notice: it is no realised value."""
    random = np.random.default_rng(3)
    calibration = fitted(random)
    made = world(random, 5000)
    found = estimate("roc_auc", made.probabilities(), calibration)
    assert found.value is not None
    assert found.value > 0.65


def test_nothing_to_estimate_is_said() -> None:
    """No rows, or no positive decision to be precise about, give no value."""
    calibration = Calibration(scores=(0.0, 1.0), shares=(0.0, 1.0), n=1000)
    assert estimate("accuracy", np.zeros(0), calibration).value is None
    assert estimate("precision", np.full(50, 0.1), calibration).value is None


def test_wrong_input_is_refused() -> None:
    """A metric that needs labels, NaN scores, and a calibration of few rows are refused."""
    calibration = Calibration(scores=(0.0, 1.0), shares=(0.0, 1.0), n=1000)
    with pytest.raises(UsageError, match="mae"):
        estimate("mae", np.zeros(3), calibration)
    with pytest.raises(DataError, match="NaN"):
        estimate("accuracy", np.array([np.nan]), calibration)
    with pytest.raises(NotEnoughData, match="20 rows"):
        calibrate(np.zeros(20), np.zeros(20, dtype=np.bool_))
    with pytest.raises(DataError, match="NaN"):
        calibrate(np.full(60, np.nan), np.zeros(60, dtype=np.bool_))


def test_equal_scores_are_one_knot() -> None:
    """A model that says one score has one knot: the base rate."""
    truth = np.arange(100) < 30
    assert calibrate(np.full(100, 0.5), truth).shares == (0.3,)
