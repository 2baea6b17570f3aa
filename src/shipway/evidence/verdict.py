"""The words in which everything measured is judged."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from shipway.domain.objectives import Objective


class Verdict(StrEnum):
    """What an interval says about a target."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    UNDECIDED = "undecided"


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """A value with its interval at ``confidence``, from ``n`` rows in ``blocks`` blocks.

    ``method`` names how the interval was made. ``value`` is None when nothing could be measured,
    and then ``note`` says why. ``low`` and ``high`` are both None when there is too little data
    for an interval (``note`` says so too); one alone is None when the truth may lie anywhere on
    that side. ``of`` is "" for the whole and ``column=value`` for a slice.
    """

    metric: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    method: str
    confidence: float = 0.95
    blocks: int | None = None
    of: str = ""
    note: str = ""


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """One bound of one objective against one measurement.

    ``bound`` is ``at_least``, ``at_most`` or ``better_than``; for the last, ``measurement`` is of
    the *difference* (candidate minus reference, in the metric's unit) and ``target`` what it is
    held against. ``n_needed`` is the estimated total n that would decide, when undecided. ``raw``
    is the measurement of a slice at the plain confidence, where ``measurement`` is widened because
    many slices are judged at once.
    """

    objective: Objective
    bound: str
    target: float
    measurement: Measurement
    verdict: Verdict
    reason: str
    n_needed: int | None = None
    raw: Measurement | None = None


def overall(judgements: tuple[Judgement, ...]) -> Verdict:
    """Fail if any fails, else undecided if any is undecided or there are none, else pass."""
    verdicts = {judgement.verdict for judgement in judgements}
    if Verdict.FAIL in verdicts:
        return Verdict.FAIL
    if Verdict.UNDECIDED in verdicts or not verdicts:
        return Verdict.UNDECIDED
    return Verdict.PASS
