"""What goes on between the requests of a server."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shipway.bootstrap.housekeeping import Housekeeping
from shipway.domain.events import PredictionEvent
from shipway.monitoring.journal import Journal
from shipway.monitoring.reader import EventReader
from shipway.monitoring.segments import segments

DEPARTS = "2013-04-01T12:00:00Z"


def event(number: int) -> PredictionEvent:
    """One answered row that names its time in the column ``departs``."""
    return PredictionEvent(
        request_id=f"r{number}",
        received_at_ns=time.time_ns(),
        endpoint="m",
        model="m",
        version=1,
        caller="",
        rows=1,
        latency_us=10,
        columns={"departs": [DEPARTS]},
        scores=[0.5],
        labels=[1],
    )


def journal_of(events: Path, *numbers: int) -> None:
    """A journal whose worker is done with it."""
    with Journal(events, "worker-0") as journal:
        journal.append([event(number) for number in numbers])


def eventually(reached: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not reached():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.01)


def test_event_times_are_those_of_what_is_live_now(tmp_path: Path) -> None:
    """A time column that a version brought along after the start counts in the next segment."""
    known: dict[str, str] = {}
    with Housekeeping(tmp_path, lambda: known, sync_every_s=0.01, compact_every_s=0.01):
        journal_of(tmp_path, 1)
        eventually(lambda: len(segments(tmp_path)) == 1)
        known["m"] = "departs"
        journal_of(tmp_path, 2)
        eventually(lambda: len(segments(tmp_path)) == 2)
    frame = EventReader(tmp_path).refresh().sort("request_id")
    assert frame["event_time"][1] == datetime(2013, 4, 1, 12, tzinfo=UTC)


def test_a_fault_does_not_end_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong once is logged, and the next round does its work."""
    asked: list[int] = []

    def columns() -> Mapping[str, str]:
        asked.append(1)
        if len(asked) == 1:
            raise RuntimeError("a fault of ours")
        return {}

    with Housekeeping(tmp_path, columns, sync_every_s=0.01, compact_every_s=0.01):
        journal_of(tmp_path, 1)
        eventually(lambda: len(segments(tmp_path)) == 1)
    assert "housekeeping failed" in caplog.text
