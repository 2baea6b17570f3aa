"""The gate: a candidate's outcomes on a held-out table against every objective, one verdict."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from shipway.domain.objectives import Objectives
from shipway.evidence.appraise import judge_all, not_judged
from shipway.evidence.outcomes import Outcomes
from shipway.evidence.verdict import Judgement, Measurement, Verdict, overall


class GateResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a gate found: ``judgements`` in the order of the objectives, slices after the whole.

    ``notes`` say which objectives were not judged and why; ``rows`` and ``blocks`` count what the
    candidate was measured on.
    """

    verdict: Verdict
    judgements: tuple[Judgement, ...]
    notes: tuple[str, ...] = ()
    rows: int = 0
    blocks: int | None = None
    confidence: float = 0.95

    def having(self, verdict: Verdict) -> tuple[Judgement, ...]:
        """The judgements with *verdict*: the reasons to tell when the gate refuses."""
        return tuple(one for one in self.judgements if one.verdict is verdict)


def gate(
    candidate: Outcomes,
    objectives: Objectives,
    *,
    live: Outcomes | None = None,
    baseline: Outcomes | None = None,
    traffic: Mapping[str, Measurement] | None = None,
    seed: int = 0,
) -> GateResult:
    """Judge *candidate* by *objectives*: fail if any fails, else undecided if any is, else pass.

    *live* and *baseline* predict the same rows; without them ``better_than`` is noted and not
    judged. Objectives on traffic are judged only by a measurement in *traffic*. With nothing
    to judge the verdict is undecided. Equal inputs and *seed* give an equal result.
    """
    judgements = judge_all(
        candidate, objectives, live=live, baseline=baseline, traffic=traffic, seed=seed
    )
    notes = not_judged(
        objectives, live=live is not None, baseline=baseline is not None, traffic=traffic
    )
    if not judgements:
        notes = (*notes, "no objective could be judged, so nothing speaks for the candidate")
    return GateResult(
        verdict=overall(judgements),
        judgements=judgements,
        notes=notes,
        rows=candidate.n,
        blocks=candidate.block_count,
        confidence=objectives.confidence,
    )
