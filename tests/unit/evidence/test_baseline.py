"""Rules that need no model."""

from __future__ import annotations

import numpy as np
import pytest

from shipway.domain.metrics import Task
from shipway.domain.objectives import BaselineKind, Costs, TrainingTarget
from shipway.errors import UsageError
from shipway.evidence.baseline import baseline, training_target
from shipway.evidence.metrics import point
from shipway.evidence.outcomes import Outcomes, regressed

TRAINED = TrainingTarget(shares=(0.7, 0.3))


def on_rows(costs: Costs | None = None, positive: int = 1) -> Outcomes:
    truth = np.array([0] * 40 + [1] * 60)
    return Outcomes(
        task=Task.BINARY,
        truth=truth,
        scores=np.linspace(0, 1, 100),
        decided=truth,
        classes=(0, 1),
        positive=positive,
        costs=costs,
    )


@pytest.mark.parametrize(
    ("kind", "costs", "decision"),
    [
        (BaselineKind.ALWAYS_POSITIVE, None, 1),
        (BaselineKind.ALWAYS_NEGATIVE, None, 0),
        (BaselineKind.MAJORITY, None, 0),
        (BaselineKind.BEST_CONSTANT, Costs(false_positive=1, false_negative=5), 1),
        (BaselineKind.BEST_CONSTANT, Costs(false_positive=1, false_negative=2), 0),
    ],
)
def test_binary_rules(kind: BaselineKind, costs: Costs | None, decision: int) -> None:
    """Each rule decides always the same, by what training knew and what mistakes cost."""
    made = baseline(kind, on_rows(costs), TRAINED)
    assert set(made.decided.tolist()) == {decision}
    assert set(made.probabilities().tolist()) == {0.3}
    assert point("roc_auc", made).value == 0.5


def test_majority_is_of_training() -> None:
    """The majority is that of training even where the test rows have another."""
    assert point("accuracy", baseline(BaselineKind.MAJORITY, on_rows(), TRAINED)).value == 0.4


def test_positive_may_be_first_class() -> None:
    """When the first class is the positive one, always-positive decides for it."""
    made = baseline(BaselineKind.ALWAYS_POSITIVE, on_rows(positive=0), TRAINED)
    assert set(made.decided.tolist()) == {0}
    assert made.probabilities()[0] == 0.7


def test_regression_says_the_mean() -> None:
    """In regression the baseline says the mean of training."""
    made = baseline(BaselineKind.MEAN, regressed([1, 2], [0, 0]), TrainingTarget(mean=1.5))
    assert made.decided.tolist() == [1.5, 1.5]


def test_multiclass_takes_most_frequent() -> None:
    """Of several classes the most frequent in training is decided, with its shares as scores."""
    like = Outcomes(
        task=Task.MULTICLASS,
        truth=np.array([0, 1, 2]),
        scores=np.eye(3),
        decided=np.array([0, 1, 2]),
        classes=("a", "b", "c"),
    )
    made = baseline(BaselineKind.BEST_CONSTANT, like, TrainingTarget(shares=(0.2, 0.5, 0.3)))
    assert made.decided.tolist() == [1, 1, 1]
    assert made.probabilities().shape == (3, 3)


def test_training_target_sums_up() -> None:
    """Training targets become class shares, or a mean."""
    assert training_target(Task.BINARY, np.array([0.0, 1, 1, 1]), 2).shares == (0.25, 0.75)
    assert training_target(Task.REGRESSION, np.array([1.0, 3.0])).mean == 2.0


@pytest.mark.parametrize("kind", [BaselineKind.MEAN, BaselineKind.ALWAYS_POSITIVE])
def test_unfit_rule_is_refused(kind: BaselineKind) -> None:
    """A rule for another task is refused with those that fit."""
    like = on_rows() if kind is BaselineKind.MEAN else regressed([1.0], [1.0])
    with pytest.raises(UsageError, match=kind.value):
        baseline(kind, like, TRAINED)
