"""Whether what moved explains a metric's change, in words.

The estimate from calibrated scores (CBPE) follows every change of the features that the model
takes note of, and no change of the relation between features and outcome. So the share of a
realised change that the estimate foresaw is the share that moved features explain; the rest is
the relation's.
"""

from __future__ import annotations

from collections.abc import Sequence

from shipway.domain.metrics import METRICS, Better
from shipway.evidence.explain import explained_share
from shipway.monitoring.findings import Explanation, MetricFigures

_ALL, _NOTHING = 0.8, 0.2
_NAMED = 3


def explain(figures: MetricFigures, moved: Sequence[str]) -> Explanation:
    """Why *figures* differ from those at the gate; *moved* names what moved, farthest first."""
    metric = figures.metric
    now, before = figures.realised, figures.reference
    if before is None or before.value is None:
        return Explanation(metric=metric, change=None, explained=None, words=_UNKNOWN)
    if now.value is None:
        words = f"{metric} was not measured: {now.note or 'there is too little data'}"
        return Explanation(metric=metric, change=None, explained=None, words=words)
    change = now.value - before.value
    span = f"(from {before.value:.4g} at the gate to {now.value:.4g})"
    better = change > 0 if METRICS[metric].better is Better.HIGHER else change < 0
    in_chance = _within(now.low, before.value, now.high)
    if better or not change or in_chance:
        how = "is within chance of" if in_chance else "is better than"
        words = f"{metric} {how} what it was at the gate {span}"
        return Explanation(metric=metric, change=change, explained=None, words=words)
    what = f"the {'rise' if change > 0 else 'fall'} in {metric} {span}"
    share = _foreseen(figures)
    if share is None:
        words = f"How much of {what} moved features explain cannot be estimated for this metric."
        return Explanation(metric=metric, change=change, explained=None, words=words)
    return Explanation(
        metric=metric, change=change, explained=share, words=_words(share, what, moved)
    )


def _foreseen(figures: MetricFigures) -> float | None:
    """The share of the realised change that was estimated without labels, from 0 to 1.

    The change of the estimate is taken from the estimate on the gate's rows, so that a bias that
    the estimate always has does not pass for a change.
    """
    before, after = figures.reference_estimated, figures.estimated
    reference, realised = figures.reference, figures.realised.value
    if before is None or after is None or after.value is None:
        return None
    if reference is None or reference.value is None or realised is None:
        return None
    foreseen = reference.value + after.value - before
    return explained_share(reference.value, foreseen, realised).share


def _words(share: float, what: str, moved: Sequence[str]) -> str:
    names = ", ".join(moved[:_NAMED]) + (" and more" if len(moved) > _NAMED else "")
    which = f"The moved features ({names})" if moved else "Small movements of the features"
    if share >= _ALL:
        return (
            f"{which} explain about {share:.0%} of {what}: the model meets other rows than at the"
            " gate, and is on them as good as its scores say."
        )
    if share <= _NOTHING and not moved:
        return (
            f"No feature moved past the margin, and the scores foresee {share:.0%} of {what}: the"
            " relation between features and outcome has changed."
        )
    return (
        f"{which} explain {share:.0%} of {what}; the rest is a changed relation between features"
        " and outcome."
    )


def _within(low: float | None, value: float, high: float | None) -> bool:
    return (low is None or low <= value) and (high is None or value <= high)


_UNKNOWN = "There is no figure from the gate to compare with."
