"""Finds one prediction among all events, one file at a time, so that memory stays small.

An id that the server gave tells the moment that it was given (UUID version 7), so that of all
files only those of about that moment are opened. An id that the caller gave can be anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl

from shipway.domain.events import PredictionEvent
from shipway.domain.times import from_nanoseconds
from shipway.errors import StoreError
from shipway.monitoring.journal import journal_opener, journals, read_journal
from shipway.monitoring.sealed import FrameOpener
from shipway.monitoring.segments import Segment, read_segment, segments
from shipway.security.sealing import NO_KEYRING, Keyring

_OURS = re.compile(r"[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}", re.ASCII)
_CLOCK_SLACK = timedelta(minutes=10)
_PART_BYTES = 8 << 20
_ATTEMPTS = 20
_COLUMNS = ("request_id", "received_at", "endpoint", "model", "version", "caller", "status", "code")


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One answered or refused request."""

    request_id: str
    received_at: datetime
    endpoint: str
    model: str
    version: int
    caller: str
    status: int
    code: str


def find_request(folder: Path, request_id: str, keyring: Keyring = NO_KEYRING) -> Found | None:
    """The first request of that id in the event folder, or None.

    A later one of the same id is a retry. *keyring* opens what is encrypted. Raises
    :class:`~shipway.errors.StoreError` for a file that cannot be read.
    """
    given = given_at(request_id)
    best: Found | None = None
    for found in _matches(folder, request_id, given, keyring):
        if best is None or found.received_at < best.received_at:
            best = found
        if given is not None:
            break
    return best


def given_at(request_id: str) -> datetime | None:
    """When the server gave the id, if it did."""
    if _OURS.fullmatch(request_id) is None:
        return None
    return datetime.fromtimestamp(int(request_id[:12], 16) / 1000, UTC)


def _matches(
    folder: Path, request_id: str, given: datetime | None, keyring: Keyring
) -> Iterator[Found]:
    opener = journal_opener(keyring)
    seen: set[str] = set()
    for _ in range(_ATTEMPTS):
        moved = False
        for stem, path in journals(folder).items():
            if stem in seen or not _may_hold(stem, path, given):
                continue
            try:
                yield from _in_journal(path, request_id, opener)
                seen.add(stem)
            except FileNotFoundError:
                moved = True  # it is a segment by now, and listed below
        for stem, segment in segments(folder).items():
            if stem not in seen and _may_hold(stem, segment.path, given):
                yield from _in_segment(segment, request_id, keyring)
                seen.add(stem)
        if not moved:
            return


def _may_hold(stem: str, path: Path, given: datetime | None) -> bool:
    """Whether a file begun at the time in its name, and last written when it was, can hold it."""
    begun = stem.partition("-")[0]
    if given is None or not begun.isdigit():
        return True
    try:
        ended = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return True
    return from_nanoseconds(int(begun)) - _CLOCK_SLACK <= given <= ended + _CLOCK_SLACK


def _in_journal(path: Path, request_id: str, opener: FrameOpener) -> Iterator[Found]:
    at, size = 0, path.stat().st_size
    while at < size:
        part = read_journal(path, at, max_bytes=_PART_BYTES, opener=opener)
        yield from (_found(event) for event in part.events if event.request_id == request_id)
        if part.end == at:
            return
        at = part.end


def _in_segment(segment: Segment, request_id: str, keyring: Keyring) -> Iterator[Found]:
    query = pl.scan_parquet(read_segment(segment, keyring)).filter(
        pl.col("request_id") == request_id
    )
    try:
        frame = query.select(_COLUMNS).sort("received_at").head(1).collect()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StoreError(
            f"the segment {segment.path} cannot be read: {error}",
            next_step="restore the file from a backup, or move it away to go on without it",
        ) from error
    yield from (Found(**row) for row in frame.to_dicts())


def _found(event: PredictionEvent) -> Found:
    return Found(
        request_id=event.request_id,
        received_at=from_nanoseconds(event.received_at_ns),
        endpoint=event.endpoint,
        model=event.model,
        version=event.version,
        caller=event.caller,
        status=event.status,
        code=event.code,
    )
