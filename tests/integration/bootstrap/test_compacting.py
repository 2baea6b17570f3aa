"""The process that makes journals small: it stands back for the others, and says how it ended."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from shipway.bootstrap.compacting import Compacting, waiting_bytes
from shipway.domain.events import PredictionEvent
from shipway.errors import StoreError
from shipway.monitoring.journal import JOURNALS, Journal, journals
from shipway.monitoring.segments import awaiting, segments


def journal_of(events: Path, rows: int) -> None:
    """A journal of one event, whose worker is done with it."""
    with Journal(events, "worker-0") as journal:
        journal.append(
            [
                PredictionEvent(
                    request_id="r",
                    received_at_ns=1_364_774_400_000_000_000,
                    endpoint="m",
                    model="m",
                    version=1,
                    caller="",
                    rows=rows,
                    latency_us=10,
                    columns={"x": [1.0] * rows},
                    scores=[0.5] * rows,
                    labels=[1] * rows,
                )
            ]
        )


def until_ended(process: Compacting) -> None:
    """Wait for it; raises what it ends in."""
    until = time.monotonic() + 30
    while not process.ended():
        assert time.monotonic() < until, "it never ended"
        time.sleep(0.01)


def test_ended_journals_become_segments(tmp_path: Path) -> None:
    """Whatever awaits it is a segment when it has ended, and nothing awaits it then."""
    journal_of(tmp_path, 3)
    assert awaiting(tmp_path)
    with closing(Compacting(tmp_path, {})) as process:
        until_ended(process)
    assert [len(segments(tmp_path)), len(journals(tmp_path))] == [1, 0]
    assert not awaiting(tmp_path)


def test_a_failure_is_told_and_loses_nothing(tmp_path: Path) -> None:
    """Its error is a StoreError with its own words, and the journal is still there."""
    journal_of(tmp_path, 3)
    (tmp_path / "segments").write_text("no folder")
    with closing(Compacting(tmp_path, {})) as process, pytest.raises(StoreError) as caught:
        until_ended(process)
    assert "segments" in caught.value.message
    assert len(journals(tmp_path)) == 1


def test_one_that_was_killed_is_done_again(tmp_path: Path) -> None:
    """Closing it in the middle leaves what the next one needs."""
    for _ in range(4):
        journal_of(tmp_path, 2000)
    Compacting(tmp_path, {}).close()
    with closing(Compacting(tmp_path, {})) as process:
        until_ended(process)
    assert [len(segments(tmp_path)), len(journals(tmp_path))] == [4, 0]


@pytest.mark.skipif(sys.platform != "linux", reason="the policy is Linux's")
@pytest.mark.parametrize("urgent", [False, True])
def test_it_stands_back(urgent: bool) -> None:
    """It runs when nobody else wants to; when much waits, as what is least important."""
    command = (
        "import os; from shipway.bootstrap.compacting import stand_back;"
        f"stand_back(urgent={urgent}); print(os.sched_getscheduler(0), os.nice(0))"
    )
    said = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True
    ).stdout.split()
    assert said == [str(os.SCHED_OTHER if urgent else os.SCHED_IDLE), "19"]


def test_what_waits_is_summed(tmp_path: Path) -> None:
    """Every journal counts with its size on the disk."""
    for rows in (1, 5):
        journal_of(tmp_path, rows)
    sizes = [path.stat().st_size for path in (tmp_path / JOURNALS).iterdir()]
    assert waiting_bytes(tmp_path) == sum(sizes)
