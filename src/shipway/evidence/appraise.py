"""All objectives against one set of outcomes: the whole, and within slices.

Across objectives nothing is widened: a pass needs every one of them to pass, and an "all pass"
of tests at level alpha is itself one at level alpha (Berger 1982). Within one objective the
values of its slicing columns are a family: each gets its own verdict, so their intervals are
widened step by step after Holm, and the plain interval is kept beside as ``raw``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from shipway.domain.metrics import Source
from shipway.domain.objectives import Objective, Objectives, Reference
from shipway.errors import DataError
from shipway.evidence.judge import BETTER_THAN, bounds_of, judge
from shipway.evidence.measure import Evidence, difference_evidence, evidence
from shipway.evidence.multiplicity import holm
from shipway.evidence.outcomes import Labels, Outcomes, codes_of
from shipway.evidence.verdict import Judgement, Measurement, Verdict


def judge_all(
    outcomes: Outcomes,
    objectives: Objectives,
    *,
    live: Outcomes | None = None,
    baseline: Outcomes | None = None,
    traffic: Mapping[str, Measurement] | None = None,
    seed: int = 0,
) -> tuple[Judgement, ...]:
    """Every bound of every objective that can be judged with what is given, in their order.

    *live* and *baseline* are on the same rows as *outcomes*; *traffic* holds measurements of
    latency and errors by metric. What cannot be judged without them is left out:
    :func:`not_judged` says which. Raises :class:`~shipway.errors.DataError` when a slicing
    column is not among the outcomes.
    """
    references = {Reference.LIVE: live, Reference.BASELINE: baseline}
    judged: list[Judgement] = []
    for objective in objectives.objectives:
        if objective.definition.source is Source.TRAFFIC:
            judged += _of_traffic(objective, traffic or {})
            continue
        for bound, target in bounds_of(objective):
            other = references[objective.better_than] if objective.better_than else None
            if bound == BETTER_THAN and other is None:
                continue
            question = _Question(objective, bound, target, objectives.confidence, seed)
            against = other if bound == BETTER_THAN else None
            judged.append(question.of_whole(outcomes, against))
            judged += question.of_slices(outcomes, against)
    return tuple(judged)


def not_judged(
    objectives: Objectives,
    *,
    live: bool = False,
    baseline: bool = False,
    traffic: Mapping[str, Measurement] | None = None,
) -> tuple[str, ...]:
    """In words, what :func:`judge_all` leaves out because there is nothing to judge it by."""
    notes = []
    for objective in objectives.objectives:
        name = objective.metric
        if objective.definition.source is Source.TRAFFIC:
            if name not in (traffic or {}):
                notes.append(f"{name}: is measured on traffic, there is none here")
            elif objective.better_than is not None:
                notes.append(f"{name}: better_than does not apply to traffic yet")
        elif objective.better_than is Reference.LIVE and not live:
            notes.append(f"{name}: nothing is live yet, better_than live does not apply")
        elif objective.better_than is Reference.BASELINE and not baseline:
            notes.append(f"{name}: no baseline is given, better_than baseline does not apply")
    return tuple(notes)


class _Question(msgspec.Struct, frozen=True):
    """One bound of one objective, to be asked of the whole and of its slices."""

    objective: Objective
    bound: str
    target: float
    confidence: float
    seed: int

    def gather(self, outcomes: Outcomes, against: Outcomes | None, of: str = "") -> Evidence:
        metric = self.objective.metric
        if against is None:
            return evidence(metric, outcomes, seed=self.seed, of=of)
        return difference_evidence(metric, outcomes, against, seed=self.seed, of=of)

    def answer(self, found: Evidence, level: float) -> Judgement:
        return judge(self.objective, self.bound, self.target, found.at(level))

    def of_whole(self, outcomes: Outcomes, against: Outcomes | None) -> Judgement:
        return self.answer(self.gather(outcomes, against), self.confidence)

    def of_slices(self, outcomes: Outcomes, against: Outcomes | None) -> list[Judgement]:
        found = []
        for column in self.objective.slices:
            codes, names = codes_of(_slicing(outcomes, column))
            for code, name in enumerate(names):
                rows = codes == code
                other = None if against is None else against.where(rows)
                found.append(self.gather(outcomes.where(rows), other, f"{column}={name}"))
        known = [index for index, one in enumerate(found) if one.interval is not None]
        asked = [_asker(self, found[index]) for index in known]
        adjusted = holm(asked, lambda one: one.verdict is not Verdict.UNDECIDED, self.confidence)
        answers = dict(zip(known, adjusted, strict=True))
        return [
            msgspec.structs.replace(answers[index], raw=one.at(self.confidence))
            if index in answers
            else self.answer(one, self.confidence)
            for index, one in enumerate(found)
        ]


def _asker(question: _Question, found: Evidence) -> Callable[[float], Judgement]:
    return lambda level: question.answer(found, level)


def _slicing(outcomes: Outcomes, column: str) -> Labels:
    if column in outcomes.slices:
        return outcomes.slices[column]
    known = ", ".join(sorted(outcomes.slices)) or "none"
    raise DataError(
        f"the column {column!r} to slice by is not in the table (slices given: {known})",
        next_step="name a column of the table in slices, or add it to the table",
    )


def _of_traffic(objective: Objective, traffic: Mapping[str, Measurement]) -> list[Judgement]:
    measurement = traffic.get(objective.metric)
    if measurement is None:
        return []
    return [
        judge(objective, bound, target, measurement)
        for bound, target in bounds_of(objective)
        if bound != BETTER_THAN
    ]
