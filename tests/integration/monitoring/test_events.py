"""Journals, segments and labels on a real disk."""

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

from shipway.contract.schema import Column, Contract, Role
from shipway.domain.events import Label, PredictionEvent
from shipway.domain.metrics import Task
from shipway.domain.model import Kind
from shipway.errors import DataError, NotEnoughData, StoreError
from shipway.monitoring import durable, segments
from shipway.monitoring.alerts import AlertState, load_state, save_state
from shipway.monitoring.journal import JOURNALS, Journal, read_events, read_journal
from shipway.monitoring.labels import LabelLog, LabelReader, label_files
from shipway.monitoring.reader import EventReader
from shipway.monitoring.report import write_report
from shipway.monitoring.rows import inputs
from shipway.monitoring.window import predictions

NS = 1_000_000_000


def event(
    request_id: str, rows: int = 1, at_s: int = 1_364_774_400, **changes: Any
) -> PredictionEvent:
    """An answered request."""
    given: dict[str, Any] = {
        "request_id": request_id,
        "received_at_ns": at_s * NS,
        "endpoint": "m",
        "model": "m",
        "version": 1,
        "caller": "",
        "rows": rows,
        "latency_us": 9,
        "columns": {"x": [1.5] * rows},
        "scores": [0.5] * rows,
        "labels": [1] * rows,
    }
    return PredictionEvent(**{**given, **changes})


def ids(frame: pl.DataFrame) -> list[str]:
    """The prediction ids of *frame*, sorted."""
    return sorted(frame["prediction_id"].to_list())


def label(prediction_id: str, value: Any, at_s: int) -> Label:
    """A label observed *at_s* seconds after 1970."""
    return Label(prediction_id=prediction_id, value=value, observed_at_ns=at_s * NS)


def test_what_was_appended_is_read_back_while_the_journal_grows(tmp_path: Path) -> None:
    """A reader needs no lock, no rotation and no end of the writer."""
    with Journal(tmp_path, "w0") as journal:
        journal.append([event("a", 2), event("b")])
        journal.append([event("c")])
        assert [e.request_id for e in read_events(tmp_path)] == ["a", "b", "c"]
        journal.sync()
    assert journal.status.events == 3


def test_events_are_read_by_time_of_receipt(tmp_path: Path) -> None:
    """From since on, before until."""
    with Journal(tmp_path, "w0") as journal:
        journal.append([event(str(day), at_s=day * 86_400) for day in range(5)])
    found = read_events(
        tmp_path, since=datetime(1970, 1, 2, tzinfo=UTC), until=datetime(1970, 1, 4, tzinfo=UTC)
    )
    assert [e.request_id for e in found] == ["1", "2"]


def test_a_journal_rotates_by_size_and_by_age(tmp_path: Path) -> None:
    """A full or an old file ends, the next append begins another."""
    now = [0.0]
    journal = Journal(tmp_path, "w0", max_bytes=300, max_age_s=60, monotonic=lambda: now[0])
    for number in range(6):
        journal.append([event(str(number))])
    by_size = journal.status.files
    now[0] = 100.0
    journal.append([event("late")])
    journal.append([event("later")])
    journal.close()
    assert by_size > 1
    assert journal.status.files > by_size
    assert len(list(read_events(tmp_path))) == 8


def test_a_full_disk_costs_the_event_and_not_the_answer(tmp_path: Path) -> None:
    """The append returns, the loss is counted, and the next one is kept when there is room."""
    journal = Journal(tmp_path, "w0")
    journal.append([event("kept")])
    os.close(journal._descriptor)
    journal._descriptor = os.open("/dev/full", os.O_WRONLY)
    journal.append([event("lost", 3)])
    status = journal.status
    assert (status.lost_events, status.lost_rows, status.healthy) == (1, 3, False)
    assert "No space left" in status.last_error
    journal.append([event("kept too")])
    journal.close()
    assert journal.status.healthy
    assert [e.request_id for e in read_events(tmp_path)] == ["kept", "kept too"]


def test_a_strict_journal_raises_when_an_event_cannot_be_kept(tmp_path: Path) -> None:
    """For those who would rather not answer than not remember."""
    journal = Journal(tmp_path, "w0", strict=True)
    os.close(journal._descriptor)
    journal._descriptor = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(StoreError, match="No space left"):
        journal.append([event("lost")])


def test_a_half_written_append_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a disk took of a frame before it was full does not hide what comes after."""
    journal = Journal(tmp_path, "w0")
    journal.append([event("kept")])
    write = os.write
    calls = iter([True, False])

    def short(descriptor: int, data: bytes) -> int:
        if next(calls):
            return write(descriptor, data[:7])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", short)
        journal.append([event("lost")])
    journal.append([event("kept too")])
    journal.close()
    assert journal.status.lost_events == 1
    assert [e.request_id for e in read_events(tmp_path)] == ["kept", "kept too"]


def test_a_failed_fsync_is_told_and_the_file_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second fsync could succeed without the pages, so a new file begins."""
    journal = Journal(tmp_path, "w0")
    journal.append([event("a")])

    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(StoreError, match="Input/output error"):
            journal.sync()
    assert not journal.status.healthy
    journal.append([event("b")])
    journal.close()
    assert journal.status.files == 2


def test_a_folder_that_cannot_be_written_is_said_at_the_start(tmp_path: Path) -> None:
    """Not with the first request."""
    (tmp_path / JOURNALS).write_text("not a folder")
    with pytest.raises(StoreError, match="journals"):
        Journal(tmp_path, "w0")


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
        journal.append([event("a", 3)])

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

    def full(self: pl.DataFrame, path: Path, **options: Any) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pl.DataFrame, "write_parquet", full)
        with pytest.raises(StoreError, match="No space"):
            segments.compact(tmp_path)
    assert not list(tmp_path.glob("segments/*"))
    assert not list(tmp_path.glob("segments/.*"))
    assert EventReader(tmp_path).refresh().height == 1


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


def test_the_newest_label_counts_and_the_others_are_history(tmp_path: Path) -> None:
    """By the time it was observed, not by the time it came in."""
    log, reader = LabelLog(tmp_path), LabelReader(tmp_path)
    log.append([label("a:0", 1, 200), label("b:0", 0, 100)])
    log.append([label("a:0", 0, 100)])
    assert dict(reader.refresh().select("prediction_id", "truth").iter_rows()) == {
        "a:0": 1,
        "b:0": 0,
    }
    log.append([label("a:0", 0, 300), label("a:0", 1, 300)])
    assert dict(reader.refresh().select("prediction_id", "truth").iter_rows()) == {
        "a:0": 1,
        "b:0": 0,
    }
    assert reader.history("a:0")["truth"].to_list() == [0, 1, 0, 1]
    then = reader.as_of(datetime.fromtimestamp(150, UTC))
    assert dict(then.select("prediction_id", "truth").iter_rows()) == {"a:0": 0, "b:0": 0}


def test_a_torn_label_is_cut_off_by_the_next_append(tmp_path: Path) -> None:
    """A log whose writer was killed in mid-write goes on."""
    log = LabelLog(tmp_path)
    log.append([label("a:0", 1, 1)])
    (path,) = label_files(tmp_path)
    with path.open("ab") as file:
        file.write(path.read_bytes()[:15])
    reader = LabelReader(tmp_path)
    assert reader.refresh().height == 1
    LabelLog(tmp_path).append([label("b:0", 1, 1)])
    log.append([label("c:0", 1, 1)])
    assert reader.refresh()["prediction_id"].to_list() == ["a:0", "b:0", "c:0"]


def test_labels_fill_one_file_after_another(tmp_path: Path) -> None:
    """And are read in order over all of them."""
    log = LabelLog(tmp_path, max_bytes=120)
    for number in range(9):
        log.append([label(f"{number}:0", number, number)])
    assert len(label_files(tmp_path)) > 1
    assert LabelReader(tmp_path).refresh()["truth"].to_list() == list(range(9))


def test_all_faults_of_labels_are_told_together(tmp_path: Path) -> None:
    """And none of the labels is kept, the good ones neither."""
    wrong = [
        label("", 1, 1),
        label("a:0", None, 1),
        label("b:0", float("nan"), -1),
        label("c:0", 1, 1),
    ]
    with pytest.raises(DataError) as raised:
        LabelLog(tmp_path).append(wrong)
    assert [p.where for p in raised.value.problems] == ["label 0", "label 1", "label 2", "label 2"]
    assert not label_files(tmp_path)


def test_a_label_that_cannot_be_synced_is_not_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the file, and the file is as it was."""
    log = LabelLog(tmp_path)
    log.append([label("a:0", 1, 1)])

    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(StoreError, match="append labels"):
            log.append([label("b:0", 1, 1)])
    log.append([label("c:0", 1, 1)])
    assert LabelReader(tmp_path).refresh()["prediction_id"].to_list() == ["a:0", "c:0"]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    """A failed write leaves the old file and no rubbish."""
    path = tmp_path / "state.json"
    durable.replace_file(path, lambda p: p.write_text("old"))

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match="No space left"):
        durable.replace_file(path, fail)
    assert [p.name for p in tmp_path.iterdir()] == ["state.json"]
    assert path.read_text() == "old"


def test_an_append_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a kill leaves the whole of it or none."""
    journal = Journal(tmp_path, "w0")
    write, sizes = os.write, []

    def counted(descriptor: int, data: bytes) -> int:
        sizes.append(len(data))
        return write(descriptor, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", counted)
        journal.append([event("a", 3), event("b")])
    journal.close()
    assert len(sizes) == 1


def test_the_state_of_alerts_survives_and_a_damaged_one_is_said(tmp_path: Path) -> None:
    """Kept whole or not at all; never silently begun anew."""
    path = tmp_path / "alerts.json"
    state = AlertState(judged_until={"a": datetime(2013, 4, 8, tzinfo=UTC)})
    assert load_state(path) == AlertState()
    save_state(path, state)
    assert load_state(path) == state
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(StoreError, match="cannot be read"):
        load_state(path)


def test_a_report_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """An old report stays when the new one cannot be made."""
    path = tmp_path / "report.html"
    path.write_text("old")
    with pytest.raises(NotEnoughData):
        write_report(path, [], generated_at=datetime(2013, 4, 8, tzinfo=UTC))
    assert path.read_text() == "old"


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
