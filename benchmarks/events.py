"""Keeping events and labels: what an append costs a worker, and reading a year of both."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from benchmarks.figure import Figure
from benchmarks.flights import Workshop, scalars
from shipway.domain.events import Label, PredictionEvent
from shipway.examples.flights.data import FEATURES, TARGET, TIME
from shipway.monitoring.journal import Journal
from shipway.monitoring.labels import LabelLog, LabelReader
from shipway.monitoring.reader import EventReader
from shipway.monitoring.segments import compact
from shipway.monitoring.window import time_columns, with_truth

_ROWS_A_REQUEST = 12
_QUICK_SHARE = 10


def run(workshop: Workshop) -> Iterator[Figure]:
    """Appends of one event, of 32 and of 1,000 labels; then the year, journal and segments."""
    year = workshop.labelled.gather_every(_QUICK_SHARE if workshop.quick else 1)
    events = flight_events(year)
    yield from _appends(workshop, events)
    folder = workshop.folder / "year"
    labels = [
        Label(prediction_id=f"{event.request_id}:{row}", value=truth, observed_at_ns=0)
        for event, part in zip(events, year.iter_slices(_ROWS_A_REQUEST), strict=True)
        for row, truth in enumerate(part[TARGET].to_list())
    ]
    with Journal(folder / "events", "worker-0") as journal:
        for event in events:
            journal.append([event])
    LabelLog(folder / "labels").append(labels)
    yield from _reading(workshop, folder, year.height)


def flight_events(rows: pl.DataFrame) -> list[PredictionEvent]:
    """*rows* as a server would have recorded them, twelve flights a request."""
    now = time.time_ns()
    return [
        PredictionEvent(
            request_id=f"{number:032x}",
            received_at_ns=now + number,
            endpoint="flight-delay",
            model="flight-delay",
            version=1,
            caller="benchmark",
            rows=part.height,
            latency_us=500,
            columns=scalars(part, (*FEATURES, TIME)),
            scores=[0.25] * part.height,
            labels=[1] * part.height,
        )
        for number, part in enumerate(rows.iter_slices(_ROWS_A_REQUEST))
    ]


def _appends(workshop: Workshop, events: Sequence[PredictionEvent]) -> Iterator[Figure]:
    lone = flight_events(workshop.test.head(1))
    with Journal(workshop.folder / "appends", "worker-0") as journal:
        seconds = workshop.watch.seconds(lambda: journal.append(lone))
        yield Figure("events.append_1", seconds * 1e6, "µs", note="one event of one row")
        seconds = workshop.watch.seconds(lambda: journal.append(events[:32]))
        yield Figure("events.append_32", seconds * 1e6, "µs", note="32 events of 12 rows")
    log = LabelLog(workshop.folder / "appends" / "labels")
    at = int(datetime(2013, 4, 1, tzinfo=UTC).timestamp()) * 10**9
    labels = [Label(prediction_id=f"r:{n}", value=1, observed_at_ns=at) for n in range(1_000)]
    seconds = workshop.watch.seconds(lambda: log.append(labels))
    yield Figure("events.labels_1000", seconds * 1e3, "ms", note="1,000 labels, fsynced")


def _reading(workshop: Workshop, folder: Path, rows: int) -> Iterator[Figure]:
    columns = time_columns(workshop.project.contract)

    def read() -> pl.DataFrame:
        return EventReader(folder / "events", time_columns=columns).refresh()

    note = f"{rows:,} rows in requests of {_ROWS_A_REQUEST}"
    seconds = workshop.watch.seconds(read)
    yield Figure("events.read_journal", rows / seconds, "rows/s", "higher", note)
    start = time.perf_counter()
    compact(folder / "events", time_columns=columns)
    yield Figure("events.compact", rows / (time.perf_counter() - start), "rows/s", "higher", note)
    seconds = workshop.watch.seconds(read)
    yield Figure("events.read_segments", rows / seconds, "rows/s", "higher", note)
    seconds = workshop.watch.seconds(lambda: LabelReader(folder / "labels").refresh())
    yield Figure("events.read_labels", rows / seconds, "rows/s", "higher", note)
    frame, truths = read(), LabelReader(folder / "labels").refresh()
    seconds = workshop.watch.seconds(lambda: with_truth(frame, truths))
    yield Figure("events.join", rows / seconds, "rows/s", "higher", note)
