"""Who can read the events and labels of a store, and wrapping their keys for others."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from shipway.domain.progress import SILENT, Progress
from shipway.durable import replace_file, store_error, storing
from shipway.monitoring.framing import HEADER_BYTES, frame, scan
from shipway.monitoring.journal import journals
from shipway.monitoring.labels import appending, label_files
from shipway.monitoring.sealed import (
    MARK,
    KeyFrame,
    key_frames,
    key_payload,
    place_of,
    read_key,
)
from shipway.monitoring.segments import segments
from shipway.security.sealing import Opener, Sealer

_BEGINNING_BYTES = 64 << 10


class EventSeals(msgspec.Struct, frozen=True, kw_only=True):
    """Of the files of events and labels: how many are plain and sealed, and for whom."""

    plain: int
    sealed: int
    files_for: dict[str, int]


class EventsRewrapped(msgspec.Struct, frozen=True, kw_only=True):
    """How many files of events and labels had their keys wrapped anew, and how many need not.

    ``open`` are journals that a server still appends to: they keep their recipients until it
    begins new ones.
    """

    rewrapped: int
    unchanged: int
    open: int


@dataclass(frozen=True, slots=True)
class _File:
    """A file of frames, what its keys are bound to, and whether it is a journal or a label log."""

    path: Path
    kind: str
    name: str


def event_seals(home: Path) -> EventSeals:
    """How the events and labels in the store folder *home* are kept."""
    plain = sealed = 0
    files_for: dict[str, int] = {}
    for one in _files(home):
        with suppress(FileNotFoundError):  # a journal that became a segment meanwhile
            found = _keys(one)
            plain, sealed = plain + (not found), sealed + bool(found)
            for recipient in {who for key in found for who in key.recipients}:
                files_for[recipient] = files_for.get(recipient, 0) + 1
    return EventSeals(plain=plain, sealed=sealed, files_for=dict(sorted(files_for.items())))


def rewrap_events(
    home: Path,
    sealer: Sealer,
    opener: Opener,
    *,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> EventsRewrapped:
    """Wrap the keys of the events and labels in *home* for the recipients of *sealer* alone.

    Raises :class:`~shipway.errors.KeyNotHeld` for a file that *opener* cannot open, with those
    before it done, and StoreError.
    """
    rewrapped = unchanged = still_open = 0
    files = list(_files(home))
    with progress.start("Wrapping keys", len(files), "files") as task:
        for one in files:
            with suppress(FileNotFoundError):  # a journal that became a segment meanwhile
                if all(set(key.recipients) == set(sealer.recipients) for key in _keys(one)):
                    unchanged += 1
                elif dry_run or _rewrap(one, sealer, opener):
                    rewrapped += 1
                else:
                    still_open += 1
            task.advance()
    return EventsRewrapped(rewrapped=rewrapped, unchanged=unchanged, open=still_open)


def _keys(one: _File) -> list[KeyFrame]:
    """What the key frames of *one* say; of all but labels there is one, at the beginning."""
    if one.kind == "segments" and one.path.suffix != ".sealed":
        return []
    with _read(one.path) as file:
        return list(key_frames(file.read(-1 if one.kind == "labels" else _BEGINNING_BYTES)))


@contextmanager
def _read(path: Path) -> Iterator[BinaryIO]:
    """The open file; one that is gone raises FileNotFoundError, all else StoreError."""
    try:
        with path.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise
    except OSError as error:
        raise store_error(path, error) from error


def _rewrap(one: _File, sealer: Sealer, opener: Opener) -> bool:
    """Whether *one* was wrapped anew; a journal that is still written to is left alone."""
    if one.kind == "labels":
        with storing(one.path), appending(one.path.parent):
            replace_file(one.path, _rewrapped(one, sealer, opener))
        return True
    with _read(one.path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        replace_file(one.path, _rewrapped(one, sealer, opener))
    return True


def _rewrapped(one: _File, sealer: Sealer, opener: Opener) -> bytes:
    data = one.path.read_bytes()
    parts: list[bytes] = []
    at = 0
    while (found := scan(data[at : at + _length(data, at)])).end:
        payload = found.payloads[0] if found.payloads else b""
        if payload.startswith(MARK):
            key = sealer.rewrap(read_key(payload).key, place_of(one.kind, one.name), opener)
            parts.append(frame(key_payload(KeyFrame(key, sealer.recipients))))
        else:
            parts.append(data[at : at + found.end])
        at += found.end
    return b"".join([*parts, data[at:]])


def _length(data: bytes, at: int) -> int:
    """How long the frame at *at* says that it is."""
    return HEADER_BYTES + int.from_bytes(data[at : at + 4], "little")


def _files(home: Path) -> Iterator[_File]:
    for stem, path in journals(home / "events").items():
        yield _File(path, "journals", stem)
    for segment in segments(home / "events").values():
        yield _File(segment.path, "segments", segment.stem)
    for path in label_files(home / "labels"):
        yield _File(path, "labels", path.stem)
