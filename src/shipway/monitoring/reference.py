"""What a version was like when it was gated: what its windows are held against.

Made once, from the labelled rows of the gate, and kept with the gate's evidence as JSON. The
distribution of the features is not in it: that is the contract's, from the training data.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np

from shipway.contract.bins import make_bins
from shipway.contract.schema import Bins
from shipway.domain.events import Scalar
from shipway.domain.metrics import METRICS, Source, Task
from shipway.domain.model import Kind
from shipway.domain.objectives import Costs, TrainingTarget
from shipway.domain.text import text_of
from shipway.errors import NotEnoughData
from shipway.evidence.baseline import training_target
from shipway.evidence.estimate import Calibration, calibrate
from shipway.evidence.measure import measure
from shipway.evidence.outcomes import Outcomes
from shipway.evidence.verdict import Judgement, Measurement
from shipway.monitoring.estimating import estimated


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """One version on its gate's rows.

    ``classes`` and ``positive`` are as in :class:`~shipway.evidence.outcomes.Outcomes`.
    ``trained`` is the target as training saw it, for the baseline. ``estimates`` holds what the
    calibration says of each metric on these very rows.
    """

    task: Task
    rows: int
    classes: tuple[Scalar, ...] = ()
    positive: int = 1
    threshold: float | None = None
    costs: Costs | None = None
    trained: TrainingTarget | None = None
    calibration: Calibration | None = None
    score_bins: Bins | None = None
    metrics: dict[str, Measurement] = {}
    estimates: dict[str, float] = {}


def make_reference(
    outcomes: Outcomes,
    judgements: Iterable[Judgement] = (),
    *,
    metrics: Iterable[str] = (),
    trained: TrainingTarget | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> Reference:
    """The reference of the version that made *outcomes*, for the metrics judged and *metrics*.

    *trained* is by default made from the truth of *outcomes*.
    """
    names = dict.fromkeys([*(found.objective.metric for found in judgements), *metrics])
    wanted = [
        name
        for name in names
        if METRICS[name].source is Source.OUTCOMES and outcomes.task in METRICS[name].tasks
    ]
    measured = {name: measure(name, outcomes, confidence=confidence, seed=seed) for name in wanted}
    calibration = _calibration(outcomes)
    return Reference(
        task=outcomes.task,
        rows=outcomes.n,
        classes=outcomes.classes,
        positive=outcomes.positive,
        threshold=outcomes.threshold,
        costs=outcomes.costs,
        trained=trained or _target(outcomes),
        calibration=calibration,
        score_bins=_score_bins(outcomes),
        metrics=measured,
        estimates={} if calibration is None else _estimates(outcomes, calibration, wanted),
    )


def _estimates(
    outcomes: Outcomes, calibration: Calibration, metrics: Iterable[str]
) -> dict[str, float]:
    found = {
        name: estimated(
            name,
            outcomes.probabilities(),
            calibration,
            threshold=outcomes.threshold,
            costs=outcomes.costs,
        )
        for name in metrics
    }
    return {name: m.value for name, m in found.items() if m is not None and m.value is not None}


def _target(outcomes: Outcomes) -> TrainingTarget | None:
    if not outcomes.n:
        return None
    truth = outcomes.truth.astype(np.float64)
    return training_target(outcomes.task, truth, len(outcomes.classes))


def _calibration(outcomes: Outcomes) -> Calibration | None:
    if outcomes.task is not Task.BINARY or outcomes.scores is None or not outcomes.n:
        return None
    positives = outcomes.positives()
    if positives.all() or not positives.any():
        return None
    try:
        return calibrate(outcomes.scores, positives)
    except NotEnoughData:
        return None


def _score_bins(outcomes: Outcomes) -> Bins | None:
    """The bins of what was predicted: scores, values, or decided classes of several."""
    if not outcomes.n:
        return None
    if outcomes.task is Task.MULTICLASS:
        texts = np.array([text_of(value) for value in outcomes.classes], dtype=object)
        return make_bins(texts[outcomes.decided], Kind.STRING)
    values = outcomes.decided if outcomes.scores is None else outcomes.scores
    return make_bins(np.asarray(values, dtype=np.float64), Kind.NUMBER)
