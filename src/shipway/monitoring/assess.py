"""One window of one model, from its events and labels to verdicts with their reasons.

Pure: a frame in, a :class:`~shipway.monitoring.findings.WindowReport` out. What is told apart:
data quality, drift of the features, drift of the answers, and the realised metrics, which alone
show that the relation between features and outcome has changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from shipway.contract.schema import Contract
from shipway.domain.events import Scalar
from shipway.domain.metrics import METRICS, Source, Task
from shipway.domain.objectives import Objectives
from shipway.evidence.appraise import judge_all
from shipway.evidence.baseline import baseline
from shipway.evidence.judge import BETTER_THAN
from shipway.evidence.measure import measure
from shipway.evidence.outcomes import Outcomes, positive_index, time_blocks
from shipway.evidence.verdict import Judgement, Measurement, Verdict, overall
from shipway.monitoring.drifting import Effects, feature_movements, score_movement
from shipway.monitoring.estimating import effect, estimated
from shipway.monitoring.explaining import explain
from shipway.monitoring.findings import Maturity, MetricFigures, Movement, WindowReport
from shipway.monitoring.maturity import maturity as matured_by
from shipway.monitoring.maturity import score_bins
from shipway.monitoring.performance import labelled, outcomes_of
from shipway.monitoring.quality import faults
from shipway.monitoring.reference import Reference
from shipway.monitoring.rows import as_text
from shipway.monitoring.traffic import measurements, traffic
from shipway.monitoring.window import Window, within

__all__ = ["WindowReport", "assess"]

_BLOCKS_NEEDED = 4
_EFFECTS_SHOWN = 5


def assess(
    frame: pl.DataFrame,
    *,
    contract: Contract,
    objectives: Objectives,
    window: Window,
    reference: Reference | None = None,
    classes: Sequence[Scalar] = (),
    threshold: float | None = None,
    min_rows: int = 200,
    drift_margin: float = 0.1,
    maturity: float = 0.8,
    seed: int = 0,
) -> WindowReport:
    """Judge the events of *frame* in *window* by *objectives*.

    *frame* holds events (``reader``), refusals among them, joined with labels (``with_truth``).
    The objectives on outcomes are judged once the share *maturity* and *min_rows* of the labels
    are in, and are undecided before; ``better_than`` live is not judged, since nothing answers
    beside the live model. *reference* is the version's own, from its gate; without it there are no
    estimates and no explanations. *classes* default to the reference's.
    """
    inside = within(frame, window).filter(pl.col("model") == contract.model)
    if "truth" not in inside.columns:
        inside = inside.with_columns(truth=pl.lit(None), observed_at=pl.lit(None))
    known = _Known.of(inside, objectives, reference, contract, classes, threshold)
    predictions = inside.filter(pl.col("row").is_not_null())
    truths = labelled(predictions, objectives.task, known.classes)
    answers = _answers(predictions, objectives.task)
    has_truth = predictions["prediction_id"].is_in(truths["prediction_id"].implode()).to_numpy()
    bins = (
        score_bins(answers, has_truth, reference.score_bins)
        if reference is not None and reference.score_bins is not None
        else ()
    )
    matured = matured_by(
        predictions, truths.height, bins, needed_share=maturity, needed_rows=min_rows
    )
    seen = traffic(inside, confidence=objectives.confidence)
    outcomes = outcomes_of(
        truths,
        objectives,
        classes=known.classes,
        positive=known.positive,
        threshold=known.threshold,
        window=window,
    )
    judgements = tuple(
        _once_matured(found, matured)
        for found in judge_all(
            outcomes,
            objectives,
            baseline=_baseline(objectives, outcomes, reference),
            traffic=measurements(seen),
            seed=seed,
        )
    )
    blocks = _drift_blocks(predictions, objectives, window)
    features = feature_movements(
        predictions,
        contract,
        blocks=blocks,
        margin=drift_margin,
        confidence=objectives.confidence,
        minimum_rows=min_rows,
        effects=_effects(predictions, objectives, reference, known),
    )
    metrics = _metrics(predictions, outcomes, judgements, objectives, reference, known, seed)
    moved = [feature.name for feature in features if feature.moved]
    return WindowReport(
        model=contract.model,
        endpoint=_most(inside["endpoint"]),
        window=window,
        versions=_versions(predictions),
        predictions=predictions.height,
        maturity=matured,
        traffic=seen,
        judgements=judgements,
        verdict=overall(judgements),
        metrics=metrics,
        explanations=tuple(explain(figures, moved) for figures in metrics)
        if matured.matured
        else (),
        features=features,
        scores=_score_movement(answers, reference, blocks, drift_margin, objectives, min_rows),
        score_bins=bins,
        quality=faults(predictions, contract, confidence=objectives.confidence),
        notes=_notes(predictions, truths.height, reference),
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """The classes, which of them is positive, and the threshold of the model assessed."""

    classes: tuple[Scalar, ...]
    positive: int
    threshold: float | None

    @classmethod
    def of(
        cls,
        frame: pl.DataFrame,
        objectives: Objectives,
        reference: Reference | None,
        contract: Contract,
        classes: Sequence[Scalar],
        threshold: float | None,
    ) -> _Known:
        if objectives.task is Task.REGRESSION:
            return cls((), 1, None)
        target = contract.target
        known = tuple(classes) or (reference.classes if reference else ())
        known = known or (target.categories if target and target.categories else ())
        if not known:
            both = pl.concat([as_text(frame["truth"]), as_text(frame["label"])])
            known = tuple(both.drop_nulls().unique().sort().to_list())
        cut = threshold if threshold is not None else reference.threshold if reference else None
        if objectives.task is not Task.BINARY:
            return cls(known, 0, None)
        cut = objectives.decision_threshold() if cut is None else cut
        positive = positive_index(known, objectives.positive) if len(known) > 1 else 0
        return cls(known, positive, cut)


def _once_matured(found: Judgement, matured: Maturity) -> Judgement:
    """*found*, or undecided while too few labels are in."""
    if matured.matured or METRICS[found.objective.metric].source is Source.TRAFFIC:
        return found
    return msgspec.structs.replace(found, verdict=Verdict.UNDECIDED, reason=matured.note)


def _baseline(
    objectives: Objectives, outcomes: Outcomes, reference: Reference | None
) -> Outcomes | None:
    if objectives.baseline is None or reference is None or reference.trained is None:
        return None
    if objectives.task is not Task.REGRESSION and len(reference.trained.shares) != len(
        outcomes.classes
    ):
        return None
    return baseline(objectives.baseline, outcomes, reference.trained)


def _metrics(
    predictions: pl.DataFrame,
    outcomes: Outcomes,
    judgements: tuple[Judgement, ...],
    objectives: Objectives,
    reference: Reference | None,
    known: _Known,
    seed: int,
) -> tuple[MetricFigures, ...]:
    """Each metric of the objectives: realised on what is labelled, estimated on all."""
    names = dict.fromkeys(
        objective.metric
        for objective in objectives.objectives
        if objective.definition.source is Source.OUTCOMES
    )
    realised: dict[str, Measurement] = {
        found.objective.metric: found.measurement
        for found in judgements
        if not found.measurement.of and found.bound != BETTER_THAN
    }
    calibration = reference.calibration if reference else None
    scores = predictions["score"].drop_nulls().to_numpy()
    figures = []
    for name in names:
        one = realised.get(name) or measure(
            name, outcomes, confidence=objectives.confidence, seed=seed
        )
        foreseen = None
        if calibration is not None:
            foreseen = estimated(
                name,
                scores,
                calibration,
                threshold=known.threshold,
                costs=objectives.costs,
                confidence=objectives.confidence,
                seed=seed,
            )
        figures.append(
            MetricFigures(
                metric=name,
                realised=one,
                estimated=foreseen,
                reference=reference.metrics.get(name) if reference else None,
                reference_estimated=reference.estimates.get(name) if reference else None,
            )
        )
    return tuple(figures)


def _effects(
    predictions: pl.DataFrame,
    objectives: Objectives,
    reference: Reference | None,
    known: _Known,
) -> Effects | None:
    """What one moved feature does to the estimate of each metric, or None without calibration."""
    if reference is None or reference.calibration is None or predictions["score"].null_count():
        return None
    calibration, scores = reference.calibration, predictions["score"].to_numpy()
    left = [_EFFECTS_SHOWN]

    def ask(slots: NDArray[np.int64], before: NDArray[np.float64]) -> dict[str, float]:
        left[0] -= 1
        if left[0] < 0:
            return {}
        found = {
            name: effect(
                name,
                scores,
                slots,
                before,
                calibration,
                threshold=known.threshold,
                costs=objectives.costs,
            )
            for name in reference.estimates
        }
        return {name: value for name, value in found.items() if value is not None}

    return ask


def _score_movement(
    answers: NDArray[np.generic],
    reference: Reference | None,
    blocks: NDArray[np.int64] | None,
    margin: float,
    objectives: Objectives,
    min_rows: int,
) -> Movement | None:
    if reference is None or reference.score_bins is None or not len(answers):
        return None
    return score_movement(
        answers,
        reference.score_bins,
        blocks=blocks,
        margin=margin,
        confidence=objectives.confidence,
        minimum_rows=min_rows,
    )


def _answers(predictions: pl.DataFrame, task: Task) -> NDArray[np.generic]:
    """What was answered, as the reference's score bins count it."""
    if task is Task.MULTICLASS:
        return np.array(as_text(predictions["label"]).to_list(), dtype=object)
    column = "score" if task is Task.BINARY else "label"
    numbers = predictions[column].cast(pl.Float64, strict=False)
    return numbers.fill_null(float("nan")).to_numpy()


def _drift_blocks(
    predictions: pl.DataFrame, objectives: Objectives, window: Window
) -> NDArray[np.int64] | None:
    """Days, or hours in a window of few days; None when rows are said to be independent."""
    if objectives.block == "row" or not predictions.height:
        return None
    length = "day" if (window.until - window.since).days >= _BLOCKS_NEEDED else "hour"
    times = predictions["event_time"].dt.replace_time_zone(None).to_numpy()
    return time_blocks(times.astype("datetime64[us]"), length)


def _versions(predictions: pl.DataFrame) -> dict[str, int]:
    counts = predictions["version"].value_counts().sort("version")
    return {str(version): n for version, n in counts.iter_rows()}


def _most(names: pl.Series) -> str:
    return str(names.mode().sort().first() or "") if len(names) else ""


def _notes(
    predictions: pl.DataFrame, labelled_rows: int, reference: Reference | None
) -> tuple[str, ...]:
    notes = []
    versions = _versions(predictions)
    if len(versions) > 1:
        notes.append(f"versions {' and '.join(versions)} answered in this window; judged together")
    if reference is None:
        notes.append("no figures from a gate: nothing is estimated and no change is explained")
    unusable = predictions["truth"].count() - labelled_rows
    if unusable:
        notes.append(f"{unusable:,} labels are no value that the model knows, and do not count")
    return tuple(notes)
