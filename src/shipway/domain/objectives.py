"""What *good* means for one model: said once by the user, judged everywhere by one rule."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from shipway.domain.metrics import METRICS, Metric, Task

NotNegative = Annotated[float, Meta(ge=0)]


class Reference(StrEnum):
    """What a candidate may have to be better than."""

    LIVE = "live"
    BASELINE = "baseline"


class Objective(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One measurable target; at least one of the three bounds is set.

    ``better_than`` compares on the same rows: the candidate may be worse than the reference by
    at most ``margin`` (in the metric's unit, 0 by default). ``slices`` names columns within
    each of whose values the bounds must hold as well.
    """

    metric: Annotated[str, Meta(description="what is measured, by its name in the catalogue")]
    at_least: Annotated[float | None, Meta(description="the smallest value that is good")] = None
    at_most: Annotated[float | None, Meta(description="the largest value that is good")] = None
    better_than: Annotated[
        Reference | None, Meta(description="what must be beaten on the same rows")
    ] = None
    margin: Annotated[
        NotNegative, Meta(description="how much worse than better_than is still accepted")
    ] = 0.0
    slices: Annotated[
        tuple[str, ...], Meta(description="columns within each of whose values it must hold too")
    ] = ()

    @property
    def definition(self) -> Metric:
        """The catalogue entry of the metric."""
        return METRICS[self.metric]

    def describe(self) -> str:
        """The target in words: ``roc_auc at least 0.7, better than live``."""
        parts = [f"at least {self.at_least:g}"] if self.at_least is not None else []
        parts += [f"at most {self.at_most:g}"] if self.at_most is not None else []
        if self.better_than is not None:
            slack = f" (margin {self.margin:g})" if self.margin else ""
            parts.append(f"better than {self.better_than}{slack}")
        within = f" within each {' and '.join(self.slices)}" if self.slices else ""
        return f"{self.metric} {', '.join(parts)}{within}"


class Costs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a mistake costs the business, in any one unit; a right decision costs nothing.

    Multiclass models use ``mistake`` for every wrong class.
    """

    false_positive: Annotated[
        NotNegative, Meta(description="cost of deciding for the positive class wrongly")
    ] = 1.0
    false_negative: Annotated[NotNegative, Meta(description="cost of missing a positive")] = 1.0
    mistake: Annotated[
        NotNegative, Meta(description="cost of any wrong class of a multiclass model")
    ] = 1.0


class BaselineKind(StrEnum):
    """A rule that needs no model, for a model to beat."""

    ALWAYS_POSITIVE = "always-positive"
    ALWAYS_NEGATIVE = "always-negative"
    MAJORITY = "majority"
    MEAN = "mean"
    BEST_CONSTANT = "best-constant"


class TrainingTarget(msgspec.Struct, frozen=True, kw_only=True):
    """The target as training saw it: the ``shares`` of the classes, or the ``mean``.

    A baseline must know no more than the model did, so it is made from these and never from
    the rows it is measured on.
    """

    shares: tuple[float, ...] = ()
    mean: float = 0.0


class Objectives(msgspec.Struct, frozen=True, kw_only=True):
    """All that is said about good for one model.

    ``threshold`` is the score from which a binary model decides for the positive class; when it
    is None it follows from the costs: ``fp / (fp + fn)`` (Elkan 2001, eq. 2), 0.5 without costs.
    ``block`` is the length of the blocks that are resampled whole because rows within one are
    not independent: ``day``, ``week``, ``hour``, ``row``, or the name of a column.
    """

    task: Task
    objectives: tuple[Objective, ...]
    positive: str | None = None
    costs: Costs | None = None
    baseline: BaselineKind | None = None
    threshold: float | None = None
    block: str = "row"
    confidence: float = 0.95

    def decision_threshold(self) -> float:
        """The score from which the positive class is decided."""
        if self.threshold is not None:
            return self.threshold
        if self.costs is None:
            return 0.5
        return self.costs.false_positive / (self.costs.false_positive + self.costs.false_negative)
