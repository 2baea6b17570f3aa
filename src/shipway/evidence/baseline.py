"""Rules that need no model, decided on the same rows: what a model has to beat to be worth it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from shipway.domain.metrics import Task
from shipway.domain.objectives import BaselineKind, Costs, TrainingTarget
from shipway.errors import UsageError
from shipway.evidence.outcomes import FloatArray, Outcomes


def training_target(task: Task, values: FloatArray, classes: int = 0) -> TrainingTarget:
    """Sum up the training target: values, or indices of *classes* classes, of shape (n,)."""
    if task is Task.REGRESSION:
        return TrainingTarget(mean=float(values.mean()))
    counts = np.bincount(values.astype(np.int64), minlength=classes)
    return TrainingTarget(shares=tuple(float(count) for count in counts / counts.sum()))


def baseline(kind: BaselineKind, like: Outcomes, trained: TrainingTarget) -> Outcomes:
    """The constant rule *kind* on the rows of *like*.

    Scores are the class shares of training, so that log loss and Brier have a meaning.
    ``best-constant`` decides always the same: for a binary model what is cheaper under the
    costs at the training base rate, else the most frequent class, in regression the mean. Raises
    :class:`~shipway.errors.UsageError` when the kind does not fit the task.
    """
    _check_fits(kind, like.task)
    if like.task is Task.REGRESSION:
        return replace(like, decided=np.full(like.n, trained.mean), scores=None)
    shares = np.asarray(trained.shares)
    choice = _choice(kind, like, trained.shares)
    decided = np.full(like.n, choice, dtype=np.int64)
    if like.task is Task.MULTICLASS:
        return replace(like, decided=decided, scores=np.tile(shares, (like.n, 1)))
    return replace(like, decided=decided, scores=np.full(like.n, shares[like.positive]))


def _choice(kind: BaselineKind, like: Outcomes, shares: Sequence[float]) -> int:
    positive = like.positive
    if kind is BaselineKind.ALWAYS_POSITIVE:
        return positive
    if kind is BaselineKind.ALWAYS_NEGATIVE:
        return 1 - positive
    if kind is BaselineKind.BEST_CONSTANT and like.task is Task.BINARY:
        costs = like.costs or Costs()
        of_always = shares[1 - positive] * costs.false_positive
        of_never = shares[positive] * costs.false_negative
        return positive if of_always < of_never else 1 - positive
    return int(np.argmax(shares))


def _check_fits(kind: BaselineKind, task: Task) -> None:
    fitting = {
        Task.BINARY: set(BaselineKind) - {BaselineKind.MEAN},
        Task.MULTICLASS: {BaselineKind.MAJORITY, BaselineKind.BEST_CONSTANT},
        Task.REGRESSION: {BaselineKind.MEAN, BaselineKind.BEST_CONSTANT},
    }[task]
    if kind not in fitting:
        raise UsageError(
            f"the baseline {kind.value!r} does not fit {task.value}",
            next_step=f"set [baseline] kind to one of {', '.join(sorted(fitting))}",
        )
