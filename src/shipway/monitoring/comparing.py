"""Each metric three times: as it came true, as the scores foresaw it, as it was at the gate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shipway.domain.metrics import Source
from shipway.evidence.judge import BETTER_THAN
from shipway.evidence.measure import measure
from shipway.evidence.outcomes import Outcomes
from shipway.evidence.verdict import Judgement, Measurement
from shipway.monitoring.case import Case
from shipway.monitoring.drifting import Effects
from shipway.monitoring.estimating import effect, estimated
from shipway.monitoring.findings import MetricFigures

_EFFECTS_SHOWN = 5


def metric_figures(
    case: Case, outcomes: Outcomes, judgements: tuple[Judgement, ...], *, seed: int
) -> tuple[MetricFigures, ...]:
    """Each metric of the objectives: realised on what is labelled, estimated on all."""
    names = dict.fromkeys(
        objective.metric
        for objective in case.objectives.objectives
        if objective.definition.source is Source.OUTCOMES
    )
    measured = {
        found.objective.metric: found.measurement
        for found in judgements
        if not found.measurement.of and found.bound != BETTER_THAN
    }
    reference = case.reference
    return tuple(
        MetricFigures(
            metric=name,
            realised=measured.get(name)
            or measure(name, outcomes, confidence=case.confidence, seed=seed),
            estimated=_estimate(case, name, seed),
            reference=reference.metrics.get(name) if reference else None,
            reference_estimated=reference.estimates.get(name) if reference else None,
        )
        for name in names
    )


def effects_of(case: Case) -> Effects | None:
    """What one moved feature does to the estimate of each metric, or None without calibration.

    It is asked farthest moved first, and answers for the first five: each costs two estimates.
    """
    reference = case.reference
    if reference is None or reference.calibration is None:
        return None
    if case.predictions["score"].null_count():
        return None
    calibration, scores = reference.calibration, case.predictions["score"].to_numpy()
    metrics = [name for name in reference.estimates if name in _asked(case)]
    places = iter(range(_EFFECTS_SHOWN))

    def ask(slots: NDArray[np.int64], before: NDArray[np.float64]) -> dict[str, float]:
        if next(places, None) is None:
            return {}
        found = {
            name: effect(
                name,
                scores,
                slots,
                before,
                calibration,
                threshold=case.threshold,
                costs=case.objectives.costs,
            )
            for name in metrics
        }
        return {name: value for name, value in found.items() if value is not None}

    return ask


def _asked(case: Case) -> set[str]:
    return {objective.metric for objective in case.objectives.objectives}


def _estimate(case: Case, metric: str, seed: int) -> Measurement | None:
    calibration = case.reference.calibration if case.reference else None
    if calibration is None:
        return None
    return estimated(
        metric,
        case.predictions["score"].drop_nulls().to_numpy(),
        calibration,
        threshold=case.threshold,
        costs=case.objectives.costs,
        confidence=case.confidence,
        seed=seed,
    )
