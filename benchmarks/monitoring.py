"""One week of flights: answered, labelled, and assessed as ``shipway monitor`` does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import msgspec
import polars as pl

from benchmarks.events import flight_events
from benchmarks.figure import Figure
from benchmarks.flights import Workshop
from shipway.api.monitor import Watch
from shipway.bootstrap.predictors import predictor_of
from shipway.domain.events import Label
from shipway.examples.flights.data import TARGET, TIME
from shipway.examples.flights.story import LIVE_FROM
from shipway.monitoring.journal import Journal
from shipway.monitoring.labels import LabelLog
from shipway.monitoring.window import window_of


def run(workshop: Workshop) -> Iterator[Figure]:
    """The first week of April: taking its events and labels in, then judging it."""
    project = workshop.project
    until = LIVE_FROM + timedelta(days=7)
    rows = workshop.labelled.filter(pl.col(TIME).is_between(LIVE_FROM, until, closed="left"))
    scores = iter(_scores(workshop, rows))
    truths = iter(rows[TARGET].to_list())
    events, labels = [], []
    for event in flight_events(rows):
        given = [next(scores) for _ in range(event.rows)]
        events.append(msgspec.structs.replace(event, scores=given))
        labels += [
            Label(
                prediction_id=f"{event.request_id}:{row}",
                value=next(truths),
                observed_at_ns=event.received_at_ns,
            )
            for row in range(event.rows)
        ]
    with Journal(project.home / "events", "benchmark") as journal:
        journal.append(events)
    LabelLog(project.home / "labels").append(labels)
    note = f"{rows.height:,} rows, {len(events)} requests"
    seconds = workshop.watch.seconds(lambda: Watch(project).frame())
    yield Figure("monitoring.take_in", seconds * 1e3, "ms", note=note)
    watch, week = Watch(project), window_of(LIVE_FROM, "week")
    frame = watch.frame()
    seconds = workshop.watch.seconds(lambda: watch.assess(frame, week))
    yield Figure("monitoring.assess_week", seconds * 1e3, "ms", note=note)


def _scores(workshop: Workshop, rows: pl.DataFrame) -> list[float]:
    project = workshop.project
    predictor = predictor_of(project.registry, project.registry.version(project.model, 1))
    try:
        scores: list[float] = predictor.predict_columns(
            project.compiled.encode(rows)
        ).scores.tolist()
    finally:
        predictor.close()
    return scores
