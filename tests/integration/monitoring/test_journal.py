"""Journals on a real disk: one write an append, rotation, and disks that are full."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.events import event

from shipway.errors import StoreError
from shipway.monitoring.journal import JOURNALS, Journal, read_events


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
    with pytest.raises(StoreError, match="is full"):
        journal.append([event("lost")])


def test_a_half_written_append_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a disk took of a frame before it was full does not hide what comes after."""
    journal = Journal(tmp_path, "w0")
    journal.append([event("kept")])
    write = os.write

    def short(descriptor: int, parts: Sequence[bytes]) -> int:
        return write(descriptor, b"".join(parts)[:7])

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", short)
        patch.setattr(os, "write", full)
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


def test_an_append_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a kill leaves the whole of it or none."""
    journal = Journal(tmp_path, "w0")
    writev, sizes = os.writev, []

    def counted(descriptor: int, parts: Sequence[bytes]) -> int:
        sizes.append(sum(map(len, parts)))
        return writev(descriptor, parts)

    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", counted)
        journal.append([event("a", 3), event("b")])
    journal.close()
    assert len(sizes) == 1
