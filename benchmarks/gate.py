"""Every metric of a binary model with its interval, whole days resampled."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import polars as pl

from benchmarks.figure import Figure
from benchmarks.flights import Workshop
from shipway.bootstrap.predictors import predictor_of
from shipway.domain.metrics import METRICS, Metric, Source, Task
from shipway.domain.objectives import Objective, Objectives
from shipway.evidence.measure import measure
from shipway.evidence.outcomes import Outcomes, classified, time_blocks
from shipway.examples.flights.data import TARGET, TIME
from shipway.examples.flights.story import LIVE_FROM
from shipway.rollout.gate import gate

_DAYS = 17


def run(workshop: Workshop) -> Iterator[Figure]:
    """Each metric by itself, then a gate with an objective on every one of them."""
    outcomes, objectives = _judged(workshop)
    note = f"{outcomes.n:,} rows in {outcomes.block_count} days"
    for metric in _metrics():
        seconds = workshop.watch.seconds(lambda: measure(metric.name, outcomes))  # noqa: B023
        yield Figure(f"gate.{metric.name}", seconds * 1e3, "ms", note=note)
    seconds = workshop.watch.seconds(lambda: gate(outcomes, objectives))
    yield Figure("gate.all", seconds, "s", note=note)


def _metrics() -> list[Metric]:
    return [
        metric
        for metric in METRICS.values()
        if Task.BINARY in metric.tasks and metric.source is Source.OUTCOMES
    ]


def _judged(workshop: Workshop) -> tuple[Outcomes, Objectives]:
    project = workshop.project
    rows = workshop.test.filter(pl.col(TIME) >= LIVE_FROM - timedelta(days=_DAYS))
    objectives = Objectives(
        task=Task.BINARY,
        objectives=tuple(Objective(metric=one.name, at_least=0.0) for one in _metrics()),
        costs=project.settings.objectives.costs,
        positive=project.settings.objectives.positive,
    )
    version = project.registry.version(project.model, 1)
    predictor = predictor_of(project.registry, version)
    scores = predictor.predict_columns(project.compiled.encode(rows)).scores
    predictor.close()
    moments = rows[TIME].dt.replace_time_zone(None).to_numpy()
    return classified(
        objectives,
        rows[TARGET].to_numpy(),
        scores,
        classes=version.manifest.spec.classes,
        blocks=time_blocks(moments, "day"),
    ), objectives
