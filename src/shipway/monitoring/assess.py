"""One window of one model, from its events and labels to verdicts with their reasons.

Pure: a frame in, a :class:`~shipway.monitoring.findings.WindowReport` out. What is told apart:
data quality, drift of the features, drift of the answers, and the realised metrics, which alone
show that the relation between features and outcome has changed.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import polars as pl

from shipway.contract.schema import Contract
from shipway.domain.events import Scalar
from shipway.domain.metrics import METRICS, Source, Task
from shipway.domain.objectives import Objectives
from shipway.evidence.appraise import judge_all
from shipway.evidence.baseline import baseline
from shipway.evidence.outcomes import Outcomes
from shipway.evidence.verdict import Judgement, Verdict, overall
from shipway.monitoring.case import Case, case_of
from shipway.monitoring.comparing import effects_of, metric_figures
from shipway.monitoring.drifting import feature_movements, score_movement
from shipway.monitoring.explaining import explain
from shipway.monitoring.findings import Maturity, Movement, ScoreBin, Traffic, WindowReport
from shipway.monitoring.maturity import maturity as matured_by
from shipway.monitoring.maturity import score_bins
from shipway.monitoring.quality import faults
from shipway.monitoring.reference import Reference
from shipway.monitoring.traffic import measurements, traffic
from shipway.monitoring.window import Window

__all__ = ["WindowReport", "assess"]


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
    estimates, no explanations and no baseline. *classes* default to the reference's.
    """
    case = case_of(
        frame,
        contract,
        objectives,
        window,
        reference=reference,
        classes=classes,
        threshold=threshold,
    )
    bins = _score_bins(case)
    matured = matured_by(
        case.predictions, case.truths.height, bins, needed_share=maturity, needed_rows=min_rows
    )
    seen = traffic(case.events, confidence=case.confidence)
    outcomes = case.outcomes()
    judgements = _judged(case, outcomes, seen, matured, seed)
    features, scores = _movements(case, drift_margin, min_rows)
    metrics = metric_figures(case, outcomes, judgements, seed=seed)
    moved = [feature.name for feature in features if feature.moved]
    return WindowReport(
        model=contract.model,
        endpoint=case.endpoint(),
        window=window,
        versions=case.versions(),
        predictions=case.predictions.height,
        maturity=matured,
        traffic=seen,
        judgements=judgements,
        verdict=overall(judgements),
        metrics=metrics,
        explanations=tuple(explain(one, moved) for one in metrics) if matured.matured else (),
        features=features,
        scores=scores,
        score_bins=bins,
        quality=faults(case.predictions, contract, confidence=case.confidence),
        notes=_notes(case),
    )


def _judged(
    case: Case, outcomes: Outcomes, seen: Traffic, matured: Maturity, seed: int
) -> tuple[Judgement, ...]:
    """Every bound of every objective; those on outcomes undecided while too few labels are in."""
    judgements = judge_all(
        outcomes,
        case.objectives,
        baseline=_baseline(case, outcomes),
        traffic=measurements(seen),
        seed=seed,
    )
    if matured.matured:
        return judgements
    return tuple(
        found
        if METRICS[found.objective.metric].source is Source.TRAFFIC
        else msgspec.structs.replace(found, verdict=Verdict.UNDECIDED, reason=matured.note)
        for found in judgements
    )


def _baseline(case: Case, outcomes: Outcomes) -> Outcomes | None:
    """The rule without a model, which knows no more than training did."""
    trained = case.reference.trained if case.reference else None
    if case.objectives.baseline is None or trained is None:
        return None
    known = case.objectives.task is Task.REGRESSION or len(trained.shares) == len(case.classes)
    return baseline(case.objectives.baseline, outcomes, trained) if known else None


def _movements(
    case: Case, margin: float, min_rows: int
) -> tuple[tuple[Movement, ...], Movement | None]:
    """How far each feature moved, and how far the answers did."""
    blocks = case.blocks()
    features = feature_movements(
        case.predictions,
        case.contract,
        blocks=blocks,
        margin=margin,
        confidence=case.confidence,
        minimum_rows=min_rows,
        effects=effects_of(case),
    )
    bins = case.reference.score_bins if case.reference else None
    if bins is None or not case.predictions.height:
        return features, None
    scores = score_movement(
        case.answers(),
        bins,
        blocks=blocks,
        margin=margin,
        confidence=case.confidence,
        minimum_rows=min_rows,
    )
    return features, scores


def _score_bins(case: Case) -> tuple[ScoreBin, ...]:
    bins = case.reference.score_bins if case.reference else None
    return () if bins is None else score_bins(case.answers(), case.with_truth(), bins)


def _notes(case: Case) -> tuple[str, ...]:
    notes = []
    versions = case.versions()
    if len(versions) > 1:
        notes.append(f"versions {' and '.join(versions)} answered in this window; judged together")
    if case.reference is None:
        notes.append("no figures from a gate: nothing is estimated and no change is explained")
    unusable = case.predictions["truth"].count() - case.truths.height
    if unusable:
        notes.append(f"{unusable:,} labels are no value that the model knows, and do not count")
    return tuple(notes)
