"""Point values of every metric of labelled predictions."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from sklearn import metrics as oracle
from sklearn.calibration import calibration_curve

from shipway.domain.metrics import METRICS, Source, Task
from shipway.domain.objectives import Costs
from shipway.errors import UsageError
from shipway.evidence.metrics import point
from shipway.evidence.outcomes import Outcomes, regressed
from shipway.evidence.reliability import brier_parts, reliability_curve


def binary(n: int, seed: int = 0, *, digits: int = 2) -> Outcomes:
    """Scores rounded to *digits*, so that many are tied."""
    random = np.random.default_rng(seed)
    scores = random.random(n).round(digits)
    truth = (random.random(n) < scores).astype(np.int64)
    return Outcomes(
        task=Task.BINARY,
        truth=truth,
        scores=scores,
        decided=(scores >= 0.5).astype(np.int64),
        classes=(0, 1),
        costs=Costs(false_positive=1, false_negative=5),
    )


def multiclass(n: int) -> Outcomes:
    """Four classes, of which the last never occurs and is never decided."""
    random = np.random.default_rng(3)
    scores = random.dirichlet((2, 3, 4, 0.01), n)
    truth = random.integers(0, 3, n)
    return Outcomes(
        task=Task.MULTICLASS,
        truth=truth,
        scores=scores,
        decided=scores[:, :3].argmax(axis=1),
        classes=("a", "b", "c", "d"),
        costs=Costs(mistake=2.5),
    )


@pytest.mark.parametrize("digits", [1, 2, 12])
def test_binary_metrics_agree(digits: int) -> None:
    """Every binary metric equals scikit-learn's, with many ties, few, and none."""
    made = binary(3000, digits=digits)
    truth, decided, scores = made.truth, made.decided, made.probabilities()
    tn, fp, fn, tp = oracle.confusion_matrix(truth, decided).ravel()
    shares, means = calibration_curve(truth, scores, n_bins=10, strategy="quantile")
    expected = {
        "accuracy": oracle.accuracy_score(truth, decided),
        "precision": oracle.precision_score(truth, decided),
        "recall": oracle.recall_score(truth, decided),
        "specificity": oracle.recall_score(truth, decided, pos_label=0),
        "f1": oracle.f1_score(truth, decided),
        "balanced_accuracy": oracle.balanced_accuracy_score(truth, decided),
        "macro_f1": oracle.f1_score(truth, decided, average="macro"),
        "roc_auc": oracle.roc_auc_score(truth, scores),
        "average_precision": oracle.average_precision_score(truth, scores),
        "log_loss": oracle.log_loss(truth, scores),
        "brier": oracle.brier_score_loss(truth, scores),
        "cost_per_1000": 1000 * (fp + 5 * fn) / (tn + fp + fn + tp),
    }
    for name, value in expected.items():
        assert point(name, made).value == pytest.approx(value, abs=1e-9), name
    if digits == 12:
        gaps = np.abs(shares - means).mean()
        assert point("ece", made).value == pytest.approx(gaps, abs=1e-9)


def test_multiclass_metrics_agree() -> None:
    """Every multiclass metric equals scikit-learn's, with a class that does not occur."""
    made = multiclass(800)
    truth, decided, scores = made.truth, made.decided, made.probabilities()
    expected = {
        "accuracy": oracle.accuracy_score(truth, decided),
        "balanced_accuracy": oracle.balanced_accuracy_score(truth, decided),
        "macro_f1": oracle.f1_score(truth, decided, average="macro"),
        "log_loss": oracle.log_loss(truth, scores, labels=[0, 1, 2, 3]),
        "cost_per_1000": 2500 * (truth != decided).mean(),
    }
    for name, value in expected.items():
        assert point(name, made).value == pytest.approx(value, abs=1e-9), name


def test_regression_metrics_agree() -> None:
    """Every regression metric equals scikit-learn's, far from zero too."""
    random = np.random.default_rng(5)
    truth = 1e6 + random.normal(size=500)
    made = regressed(truth, truth + random.normal(0.2, 0.5, 500))
    expected = {
        "mae": oracle.mean_absolute_error(truth, made.decided),
        "mse": oracle.mean_squared_error(truth, made.decided),
        "rmse": oracle.root_mean_squared_error(truth, made.decided),
        "r2": oracle.r2_score(truth, made.decided),
    }
    for name, value in expected.items():
        assert point(name, made).value == pytest.approx(value, abs=1e-6), name


@pytest.mark.parametrize("task", list(Task))
def test_catalogue_is_computed(task: Task) -> None:
    """Every metric of the catalogue that is of outcomes has a value for each of its tasks."""
    regression = regressed([1.0, 2.0, 4.0], [1.0, 2.0, 3.0])
    made = {Task.BINARY: binary(60), Task.MULTICLASS: multiclass(60), Task.REGRESSION: regression}
    for name, metric in METRICS.items():
        if metric.source is Source.OUTCOMES and task in metric.tasks:
            low, high = metric.bounds
            value = point(name, made[task]).value
            assert value is not None
            assert low <= value <= high, name


@pytest.mark.parametrize(
    ("metric", "truth", "decided", "note"),
    [
        ("precision", [0, 1, 1], [0, 0, 0], "never decided"),
        ("recall", [0, 0, 0], [0, 1, 0], "no positive"),
        ("specificity", [1, 1, 1], [0, 1, 0], "no negative"),
        ("f1", [0, 0, 0], [0, 0, 0], "no positive"),
        ("balanced_accuracy", [1, 1, 1], [0, 1, 1], "one class"),
        ("roc_auc", [1, 1, 1], [0, 1, 1], "one class"),
        ("average_precision", [0, 0, 0], [0, 1, 1], "no positive"),
    ],
)
def test_undefined_has_reason(metric: str, truth: list[int], decided: list[int], note: str) -> None:
    """Where a metric is not defined there is no value, and a note says why."""
    made = replace(
        binary(3),
        truth=np.array(truth),
        decided=np.array(decided),
        scores=np.array([0.1, 0.5, 0.9]),
    )
    found = point(metric, made)
    assert found.value is None
    assert note in found.note


def test_constant_target_has_no_r2() -> None:
    """R2 of a target that does not vary is not defined."""
    found = point("r2", regressed([3.3, 3.3, 3.3], [3.0, 3.1, 3.2]))
    assert found.value is None
    assert "vary" in found.note


def test_no_rows_has_no_value() -> None:
    """A window without rows has a note instead of a value, for every metric."""
    empty = binary(5).where(np.zeros(5, dtype=np.bool_))
    for name in ("accuracy", "roc_auc", "average_precision", "ece", "log_loss"):
        assert point(name, empty).note == "there are no rows"


def test_decisions_alone_have_no_auc() -> None:
    """A rule without scores has decisions measured, and a note where scores are needed."""
    made = replace(binary(50), scores=None)
    assert point("accuracy", made).value is not None
    assert "no scores" in point("roc_auc", made).note


def test_wrong_task_is_refused() -> None:
    """A metric of another task, of traffic, or of no task is refused with what there is."""
    for name in ("mae", "error_rate", "roc_acu"):
        with pytest.raises(UsageError, match=name):
            point(name, binary(10))


def test_certain_mistake_costs_finite_nats() -> None:
    """A probability of 0 for what came true costs 36 nats, not infinity."""
    made = replace(binary(1), truth=np.array([1]), scores=np.array([0.0]), decided=np.array([0]))
    assert point("log_loss", made).value == pytest.approx(36.04, abs=0.01)


def test_brier_parts_add_up() -> None:
    """The parts of the Brier score add up to it, and are exact when a bin holds one score."""
    made = binary(2000, digits=1)
    parts = brier_parts(made.probabilities(), made.positives(), bins=200)
    assert parts.brier == pytest.approx(
        parts.reliability - parts.resolution + parts.uncertainty + parts.within
    )
    assert parts.within == pytest.approx(0, abs=1e-12)


def test_reliability_keeps_ties_together() -> None:
    """Equal scores share a bin, and the bins hold every row once."""
    made = binary(500, digits=1)
    curve = reliability_curve(made.probabilities(), made.positives())
    assert sum(part.n for part in curve) == 500
    assert all(first.high < second.low for first, second in pairwise(curve))
