"""Point values: what a metric is on the rows given, or why it is not defined there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from shipway.domain.metrics import METRICS, Source
from shipway.errors import UsageError
from shipway.evidence.outcomes import Outcomes
from shipway.evidence.ranking import average_precision, roc_auc
from shipway.evidence.sums import SUM_METRICS

_UNDEFINED: Mapping[str, str] = MappingProxyType(
    {
        "precision": "the model never decided for the positive class",
        "recall": "there is no positive among the rows",
        "specificity": "there is no negative among the rows",
        "f1": "there is no positive, in the truth or among the decisions",
        "balanced_accuracy": "the rows are all of one class",
        "roc_auc": "the rows are all of one class",
        "average_precision": "there is no positive among the rows",
        "r2": "the target does not vary among the rows",
    }
)
NEEDS_SCORES = frozenset({"roc_auc", "average_precision", "log_loss", "brier", "ece"})


@dataclass(frozen=True, slots=True)
class Point:
    """A metric's value on some rows, or None and the reason in ``note``."""

    value: float | None
    note: str = ""


def point(metric: str, outcomes: Outcomes) -> Point:
    """The value of *metric* on *outcomes*, None with a note where it is not defined.

    Raises :class:`~shipway.errors.UsageError` for a metric that is not one of labelled
    predictions of this task.
    """
    check_metric(metric, outcomes)
    if outcomes.n == 0:
        return Point(None, "there are no rows")
    if metric in NEEDS_SCORES and outcomes.scores is None:
        return Point(None, "there are decisions only, no scores")
    if metric == "roc_auc":
        value = roc_auc(outcomes.probabilities(), outcomes.positives())
    elif metric == "average_precision":
        value = average_precision(outcomes.probabilities(), outcomes.positives())
    else:
        definition = SUM_METRICS[metric]
        everything = np.zeros(outcomes.n, dtype=np.int64)
        totals = definition.sums(outcomes, everything, 1)
        value = float(definition.value(outcomes, totals)[0])
    if np.isnan(value):
        return Point(None, _UNDEFINED[metric])
    return Point(value)


def check_metric(metric: str, outcomes: Outcomes) -> None:
    """Raise :class:`~shipway.errors.UsageError` if *metric* cannot be asked of *outcomes*."""
    known = METRICS.get(metric)
    fitting = [
        name
        for name, definition in METRICS.items()
        if outcomes.task in definition.tasks and definition.source is Source.OUTCOMES
    ]
    if known is None or metric not in fitting:
        raise UsageError(
            f"{metric!r} is not a metric of labelled {outcomes.task} predictions",
            next_step=f"choose one of {', '.join(fitting)}",
        )
