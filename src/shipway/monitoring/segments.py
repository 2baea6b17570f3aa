"""Finished journals become parquet segments, each event exactly once.

A journal has one segment and the segment bears its name, so *that a segment exists* is the whole
record of what was compacted: a kill between writing the segment and deleting the journal leaves
both, every reader then passes over the journal, and the next compaction deletes it. The name also
carries the range of event times, so that a reader can leave alone what it does not want.

One compactor works at a time; a second one finds the lock taken and does nothing.
"""

from __future__ import annotations

import fcntl
import io
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl

from shipway.durable import made_folder, replace_file, store_error, storing
from shipway.errors import StoreError
from shipway.monitoring.journal import JOURNALS, journal_opener, journals, read_journal
from shipway.monitoring.rows import to_frame, together
from shipway.monitoring.sealed import FrameOpener, opened_file, sealed_file
from shipway.security.sealing import NO_KEYRING, Keyring

SEGMENTS = "segments"

_NAME = re.compile(r"(?P<stem>.+)\.(?P<low>[+-]\d{17})\.(?P<high>[+-]\d{17})\.parquet(\.sealed)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BATCH_BYTES = 8 << 20


class Compacted(msgspec.Struct, frozen=True, kw_only=True):
    """What one compaction did; ``busy`` when another one held the lock and nothing was done.

    ``torn_bytes`` were never acknowledged; ``damaged`` frames had changed on the disk, and their
    journals are kept with the ending ``.damaged``.
    """

    segments: int = 0
    rows: int = 0
    torn_bytes: int = 0
    damaged: int = 0
    busy: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment file: its journal's name, and the first and last event time in it.

    An encrypted one has the suffix ``.sealed`` and is a file of frames around the parquet.
    """

    stem: str
    path: Path
    first: datetime
    last: datetime

    def overlaps(self, since: datetime | None, until: datetime | None) -> bool:
        """Whether an event of [since, until) may be inside."""
        return (since is None or self.last >= since) and (until is None or self.first < until)


def segments(folder: Path) -> dict[str, Segment]:
    """The segments of the event folder by the name of their journal, oldest first."""
    found: dict[str, Segment] = {}
    for path in sorted((folder / SEGMENTS).glob("*.parquet*")):
        if match := _NAME.fullmatch(path.name):
            first, last = (_EPOCH + timedelta(microseconds=int(match[k])) for k in ("low", "high"))
            found[match["stem"]] = Segment(match["stem"], path, first, last)
    return found


def awaiting(folder: Path) -> bool:
    """Whether there is anything for :func:`compact` to do."""
    return any(_finished(path) for path in journals(folder).values())


def compact(
    folder: Path,
    *,
    time_columns: Mapping[str, str] | None = None,
    keyring: Keyring = NO_KEYRING,
) -> Compacted:
    """Turn every journal whose worker is done with it into a segment; delete the journal.

    *time_columns* names the request column with the event time, for each model that has one.
    *keyring* opens encrypted journals, and encrypts segments where it has recipients. Raises
    :class:`~shipway.errors.StoreError`; what was not compacted is still in its journal.
    """
    with _alone(folder) as alone:
        if not alone:
            return Compacted(busy=True)
        total = Compacted()
        for half_written in (folder / SEGMENTS).glob(".*.tmp"):
            half_written.unlink(missing_ok=True)  # left by a kill; nobody else writes here now
        for stem, path in journals(folder).items():
            if stem in segments(folder):
                path.unlink(missing_ok=True)
            elif _finished(path):
                total = _added(total, _compact_one(folder, stem, path, time_columns or {}, keyring))
        return total


def read_frames(
    path: Path,
    time_columns: Mapping[str, str],
    start: int = 0,
    *,
    opener: FrameOpener | None = None,
) -> tuple[list[pl.DataFrame], int, int, int]:
    """The rows of a journal from byte *start*: frames, end, damaged frames, bytes after the end.

    It is read in parts of a few megabytes, because an event takes ten times its size as objects,
    and up to where it ended at the call: a reader that ran after a busy worker would never end.
    """
    frames: list[pl.DataFrame] = []
    opener = opener or journal_opener()
    damaged = 0
    size = path.stat().st_size
    while True:
        part = read_journal(path, start, max_bytes=_BATCH_BYTES, opener=opener)
        damaged += part.damaged
        if part.events:
            frames.append(to_frame(part.events, time_columns))
        ended = part.end == start or part.end >= size
        start = part.end
        if ended:
            return frames, start, damaged, part.tail_bytes


def _compact_one(
    folder: Path, stem: str, path: Path, time_columns: Mapping[str, str], keyring: Keyring
) -> Compacted:
    opener = journal_opener(keyring)
    frames, _, damaged, torn = read_frames(path, time_columns, opener=opener)
    if frames:
        frame = together(frames)
        add_segment(folder, stem, frame, keyring)
    if damaged:
        path.rename(path.with_suffix(".damaged"))
    else:
        path.unlink()
    rows = sum(frame.height for frame in frames)
    return Compacted(segments=bool(frames) + 0, rows=rows, torn_bytes=torn, damaged=damaged)


def add_segment(folder: Path, stem: str, frame: pl.DataFrame, keyring: Keyring) -> None:
    """Put *frame*, which has rows, into the event folder as the segment *stem*.

    The caller sees to it that there is none of that name yet. Raises StoreError.
    """
    low, high = frame["event_time"].min(), frame["event_time"].max()
    name = f"{stem}.{_microseconds(low)}.{_microseconds(high)}.parquet"
    content = _parquet(frame)
    if (sealer := keyring.sealer()) is not None:
        name = f"{name}.sealed"
        content = sealed_file(content, sealer, SEGMENTS, stem)
    target = made_folder(folder / SEGMENTS) / name
    with storing(target):
        replace_file(target, content)


def read_segment(segment: Segment, keyring: Keyring = NO_KEYRING) -> bytes | Path:
    """What polars reads of *segment*: its file, or the content of an encrypted one.

    Raises FileNotFoundError, :class:`~shipway.errors.KeyNotHeld`, and StoreError for one that was
    altered or cut short.
    """
    if segment.path.suffix != ".sealed":
        return segment.path
    content = opened_file(segment.path.read_bytes(), keyring, SEGMENTS, segment.stem)
    if content is None:
        raise StoreError(
            f"the segment {segment.path} was altered or cut short",
            next_step="restore the file from a backup, or move it away to go on without it",
        )
    return content


def _parquet(frame: pl.DataFrame) -> bytes:
    content = io.BytesIO()
    frame.write_parquet(content, compression="zstd")
    return content.getvalue()


def _microseconds(moment: object) -> str:
    whole = (moment - _EPOCH) // timedelta(microseconds=1) if isinstance(moment, datetime) else 0
    return f"{whole:+018d}"


def _finished(path: Path) -> bool:
    """Whether nobody holds the lock that a journal's worker keeps as long as it lives."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError):
        return False
    return True


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """True if no other process compacts *folder*, and none can until the end."""
    path = made_folder(folder) / "compact.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
    except OSError as error:
        raise store_error(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    except pl.exceptions.PolarsError as error:
        raise StoreError(
            f"the events in {folder / JOURNALS} could not become a segment: {error}",
            next_step="the journals are untouched; report what the message says",
        ) from error
    finally:
        os.close(descriptor)


def _added(one: Compacted, other: Compacted) -> Compacted:
    return Compacted(
        segments=one.segments + other.segments,
        rows=one.rows + other.rows,
        torn_bytes=one.torn_bytes + other.torn_bytes,
        damaged=one.damaged + other.damaged,
    )
