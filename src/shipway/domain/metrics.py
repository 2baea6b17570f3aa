"""The catalogue of metrics: what each is called, for which task, and which way is better.

``config`` checks names against it, ``evidence`` computes what it lists, and the reference
page is made from it, so a metric has one name in all three.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Task(StrEnum):
    """What a model predicts."""

    BINARY = "binary-classification"
    MULTICLASS = "multiclass-classification"
    REGRESSION = "regression"


class Better(StrEnum):
    """Which direction of a metric is good."""

    HIGHER = "higher"
    LOWER = "lower"


class Source(StrEnum):
    """Where a metric is measured: on labelled predictions, or on the traffic itself."""

    OUTCOMES = "outcomes"
    TRAFFIC = "traffic"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: ``unit`` is for people, ``bounds`` are its possible values."""

    name: str
    tasks: tuple[Task, ...]
    better: Better
    meaning: str
    unit: str = ""
    bounds: tuple[float, float] = (0.0, 1.0)
    source: Source = Source.OUTCOMES


_INFINITY = float("inf")
_CLASSES = (Task.BINARY, Task.MULTICLASS)
_ALL = (Task.BINARY, Task.MULTICLASS, Task.REGRESSION)
_UNBOUNDED = (0.0, _INFINITY)


def _catalogue() -> Mapping[str, Metric]:
    higher, lower = Better.HIGHER, Better.LOWER
    binary, regression = (Task.BINARY,), (Task.REGRESSION,)
    metrics = [
        Metric("accuracy", _CLASSES, higher, "share of predictions that are right"),
        Metric("precision", binary, higher, "share of positive predictions that are right"),
        Metric("recall", binary, higher, "share of positives that are found"),
        Metric("specificity", binary, higher, "share of negatives that are left alone"),
        Metric("f1", binary, higher, "harmonic mean of precision and recall"),
        Metric("balanced_accuracy", _CLASSES, higher, "mean over classes of the recall"),
        Metric("macro_f1", _CLASSES, higher, "mean over classes of the F1 score"),
        Metric("roc_auc", binary, higher, "chance that a positive scores above a negative"),
        Metric("average_precision", binary, higher, "area under the precision-recall curve"),
        Metric("log_loss", _CLASSES, lower, "mean negative log likelihood", "nats", _UNBOUNDED),
        Metric("brier", binary, lower, "mean squared error of the probability"),
        Metric("ece", binary, lower, "expected calibration error over 10 equal-mass bins"),
        Metric(
            "cost_per_1000",
            _CLASSES,
            lower,
            "what the mistakes in 1,000 decisions cost, from [costs]",
            "cost",
            _UNBOUNDED,
        ),
        Metric("mae", regression, lower, "mean absolute error", "target", _UNBOUNDED),
        Metric("rmse", regression, lower, "root mean squared error", "target", _UNBOUNDED),
        Metric("mse", regression, lower, "mean squared error", "target squared", _UNBOUNDED),
        Metric("r2", regression, higher, "share of variance explained", bounds=(-_INFINITY, 1.0)),
        Metric(
            "latency_p50_ms",
            _ALL,
            lower,
            "median time from a whole request to its answer",
            "ms",
            _UNBOUNDED,
            Source.TRAFFIC,
        ),
        Metric(
            "latency_p99_ms",
            _ALL,
            lower,
            "time within which 99 % of requests are answered",
            "ms",
            _UNBOUNDED,
            Source.TRAFFIC,
        ),
        Metric(
            "error_rate",
            _ALL,
            lower,
            "share of requests that failed through no fault of the caller",
            source=Source.TRAFFIC,
        ),
    ]
    return MappingProxyType({metric.name: metric for metric in metrics})


METRICS: Mapping[str, Metric] = _catalogue()
