"""Journals become segments, and a reader of both sees each event once."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from tests.events import event

from shipway.contract.schema import Column, Contract, Role
from shipway.domain.metrics import Task
from shipway.domain.model import Kind
from shipway.errors import StoreError
from shipway.monitoring import reader as reader_module
from shipway.monitoring import segments
from shipway.monitoring.journal import JOURNALS, Journal, read_journal
from shipway.monitoring.reader import EventReader
from shipway.monitoring.rows import inputs
from shipway.monitoring.window import predictions


def ids(frame: pl.DataFrame) -> list[str]:
    """The prediction ids of *frame*, sorted."""
    return sorted(frame["prediction_id"].to_list())


def test_compaction_leaves_a_living_journal_alone(tmp_path: Path) -> None:
    """And takes it as soon as its worker is gone."""
    journal = Journal(tmp_path, "w0")
    journal.append([event("a")])
    assert segments.compact(tmp_path).segments == 0
    journal.close()
    done = segments.compact(tmp_path)
    assert (done.segments, done.rows) == (1, 1)
    assert not list(tmp_path.glob("journals/*"))
    assert ids(EventReader(tmp_path).refresh()) == ["a:0"]


def test_a_kill_between_segment_and_delete_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers pass over the journal that has its segment; the next compaction deletes it."""
    with Journal(tmp_path, "w0") as journal:
        journal.append([event("a", 2), event("b", status=422, code="contract.violated", labels=[])])

    def killed(self: Path, missing_ok: bool = False) -> None:
        if self.suffix == ".journal":
            raise KeyboardInterrupt
        unlink(self, missing_ok)

    unlink = Path.unlink
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            segments.compact(tmp_path)
    assert list(tmp_path.glob("journals/*"))
    assert EventReader(tmp_path).refresh().height == 3
    segments.compact(tmp_path)
    assert not list(tmp_path.glob("journals/*"))
    assert EventReader(tmp_path).refresh().height == 3


def test_a_full_disk_in_compaction_leaves_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No half segment, nothing lost, a clear error."""
    with Journal(tmp_path, "w0") as journal:
        journal.append([event("a")])

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(StoreError, match="is full"):
            segments.compact(tmp_path)
    assert not list(tmp_path.glob("segments/*"))
    assert not list(tmp_path.glob("segments/.*"))
    assert EventReader(tmp_path).refresh().height == 1


def test_what_a_killed_compaction_left_half_written_is_cleared_away(tmp_path: Path) -> None:
    """The next one begins clean."""
    rubbish = tmp_path / "segments" / ".x.parquet.1.tmp"
    rubbish.parent.mkdir()
    rubbish.write_bytes(b"half")
    segments.compact(tmp_path)
    assert not rubbish.exists()


def test_a_compaction_between_two_listings_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that looks while the journal becomes a segment sees every event."""
    with Journal(tmp_path, "w0") as journal:
        journal.append([event("a")])
    for name in ("journals", "segments"):
        listed = getattr(reader_module, name)

        def compacting(folder: Path, listed: Any = listed) -> Any:
            found = listed(folder)
            segments.compact(tmp_path)
            return found

        with monkeypatch.context() as patch:
            patch.setattr(reader_module, name, compacting)
            assert ids(EventReader(tmp_path).refresh()) == ["a:0"]


def test_one_compactor_works_at_a_time(tmp_path: Path) -> None:
    """The second does nothing and says so."""
    with (tmp_path / "compact.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert segments.compact(tmp_path).busy


def test_a_damaged_frame_is_counted_and_its_journal_kept(tmp_path: Path) -> None:
    """Bit rot costs one frame; the file stays for whoever wants to look."""
    with Journal(tmp_path, "w0") as journal:
        for name in "abc":
            journal.append([event(name)])
    (path,) = (tmp_path / JOURNALS).iterdir()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert segments.compact(tmp_path).damaged == 1
    assert ids(EventReader(tmp_path).refresh()) == ["a:0", "c:0"]
    assert [p.suffix for p in (tmp_path / JOURNALS).iterdir()] == [".damaged"]


def test_a_torn_tail_is_counted_in_bytes(tmp_path: Path) -> None:
    """It was never acknowledged, so it is not a loss."""
    with Journal(tmp_path, "w0") as journal:
        journal.append([event("a")])
    (path,) = (tmp_path / JOURNALS).iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:20])
    assert read_journal(path).tail_bytes == 20
    assert segments.compact(tmp_path).torn_bytes == 20


def test_segments_outside_of_the_range_are_not_opened(tmp_path: Path) -> None:
    """Their names say what is in them."""
    for number, day in enumerate((1, 10)):
        with Journal(tmp_path, f"w{number}") as journal:
            times = {"t": [f"2013-04-{day:02d}T12:00:00Z"]}
            journal.append([event(f"day{day}", columns=times)])
    segments.compact(tmp_path, time_columns={"m": "t"})
    first = next(
        iter(sorted((tmp_path / "segments").iterdir(), key=lambda p: p.name.split(".")[1]))
    )
    first.write_bytes(b"damaged")
    late = EventReader(tmp_path, since=datetime(2013, 4, 5, tzinfo=UTC))
    assert ids(late.refresh()) == ["day10:0"]
    with pytest.raises(StoreError, match="restore"):
        EventReader(tmp_path).refresh()


def test_the_first_event_of_a_prediction_id_counts(tmp_path: Path) -> None:
    """A retry of a request is left out, whichever worker answered it and in whatever order."""
    reader = EventReader(tmp_path)
    with Journal(tmp_path, "w0") as one, Journal(tmp_path, "w1") as two:
        two.append([event("a", at_s=200, version=2)])
        assert reader.refresh()["version"].to_list() == [2]
        one.append([event("a", at_s=100, version=1), event("a", at_s=100, version=9)])
        assert reader.refresh()["version"].to_list() == [1]
    assert EventReader(tmp_path).refresh()["version"].to_list() == [1]


class Events(RuleBasedStateMachine):
    """A journal that is appended to, rotated, compacted and read in any order."""

    folders: Iterator[Path]

    @initialize()
    def begin(self) -> None:
        """Start with an empty folder."""
        self.folder = next(self.folders)
        self.journal = Journal(self.folder, "w0")
        self.reader = EventReader(self.folder)
        self.written: list[str] = []

    @rule(rows=st.integers(1, 3))
    def append(self, rows: int) -> None:
        """One more request."""
        name = f"r{len(self.written)}"
        self.journal.append([event(name, rows)])
        self.written += [f"{name}:{row}" for row in range(rows)]

    @rule()
    def rotate(self) -> None:
        """End the file."""
        self.journal.rotate()

    @rule()
    def compact(self) -> None:
        """Make segments of what is finished."""
        segments.compact(self.folder)

    @rule()
    def read(self) -> None:
        """A reader that has read before knows all, each once."""
        assert ids(self.reader.refresh()) == sorted(self.written)

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        """A reader that begins now knows all, each once."""
        if hasattr(self, "folder"):
            assert ids(EventReader(self.folder).refresh()) == sorted(self.written)

    def teardown(self) -> None:
        """Close the file."""
        if hasattr(self, "journal"):
            self.journal.close()


def test_no_event_is_lost_or_doubled_in_any_order_of_steps(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Append, rotate, compact and read as one likes."""

    def folders() -> Iterator[Path]:
        while True:
            yield tmp_path_factory.mktemp("events")

    class OnDisk(Events):
        pass

    OnDisk.folders = folders()
    quick = settings(
        max_examples=15,
        stateful_step_count=15,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    run_state_machine_as_test(OnDisk, settings=quick)


def test_predictions_of_one_model_come_by_event_time(tmp_path: Path) -> None:
    """Refusals and other models are left out, the ends are since and until."""
    contract = Contract(
        model="m",
        task=Task.REGRESSION,
        columns=(Column(name="t", kind=Kind.TIMESTAMP, role=Role.TIME),),
    )
    with Journal(tmp_path, "w0") as journal:
        for day in (1, 2, 3, 4):
            journal.append([event(f"d{day}", columns={"t": [f"2013-04-0{day}T00:00:00Z"]})])
        journal.append([event("other", model="n")])
        journal.append([event("refused", status=422, code="contract.violated", labels=[])])
    found = predictions(
        tmp_path, contract, datetime(2013, 4, 2, tzinfo=UTC), datetime(2013, 4, 4, tzinfo=UTC)
    )
    assert ids(found) == ["d2:0", "d3:0"]
    assert inputs(found, ["t", "never"])["never"].to_list() == [None, None]
