"""The journal of prediction events: appended to by one serving worker, read by anyone.

An append is one ``writev()`` of one frame, so whatever was appended before a ``kill -9`` is in
the kernel's hands and is read back; ``sync`` makes it survive a power cut as well.

When the disk is full or fails, *serving goes on*: the event is lost, is counted in
:class:`JournalStatus` and the next append tries again. Refusing to answer would turn a full disk
into an outage of everything that depends on the model. Who would rather not answer than not
remember passes ``strict=True``, and gets the :class:`~shipway.errors.StoreError` instead.

A worker holds a lock on its open file for as long as it lives. That is how compaction tells a
journal that still grows from one whose worker is gone, however it went.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from shipway.domain.events import PredictionEvent, named
from shipway.domain.names import check_name
from shipway.durable import made_folder, store_error, sync_folder
from shipway.errors import StoreError
from shipway.monitoring.framing import HEADER_BYTES, header, scan
from shipway.monitoring.sealed import FrameOpener, FrameSealer
from shipway.security.sealing import NO_KEYRING, Keyring, Sealer

JOURNALS = "journals"
SUFFIX = ".journal"
DEFAULT_MAX_BYTES = 64 << 20
DEFAULT_MAX_AGE_S = 24 * 3600.0


class JournalStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What a journal has done since it was opened, for ``/metrics`` and the status page."""

    events: int
    bytes: int
    files: int
    lost_events: int
    lost_rows: int
    last_error: str

    @property
    def healthy(self) -> bool:
        """False once an event was lost and none has been kept since."""
        return not self.last_error


class Journal:
    """An :class:`~shipway.domain.events.EventSink` on files. Use it from one thread.

    A new file begins after *max_bytes* or *max_age_s*, and with every start of a worker. With a
    *sealer* only its recipients can read what is kept.
    """

    def __init__(
        self,
        folder: Path,
        worker: str,
        *,
        max_bytes: int = DEFAULT_MAX_BYTES,
        max_age_s: float = DEFAULT_MAX_AGE_S,
        monotonic: Callable[[], float] = time.monotonic,
        clock_ns: Callable[[], int] = time.time_ns,
        strict: bool = False,
        sealer: Sealer | None = None,
    ) -> None:
        self._folder = made_folder(folder / JOURNALS)
        self._worker = check_name(worker, what="worker")
        self._max_bytes, self._max_age_s, self._strict = max_bytes, max_age_s, strict
        self._monotonic, self._clock_ns = monotonic, clock_ns
        self._encoder = msgspec.msgpack.Encoder(enc_hook=_plain)
        self._descriptor = -1
        self._path = self._folder
        self._size = self._begun_size = 0
        self._sealer = sealer
        self._frames: FrameSealer | None = None
        self._rotate_at = 0.0
        self._events = self._bytes = self._files = self._lost_events = self._lost_rows = 0
        self._last_error = ""
        try:
            self._open()
        except OSError as error:
            raise store_error(self._folder, error) from error

    def append(self, events: Sequence[PredictionEvent]) -> None:
        """Keep *events* as one frame; returns once a killed process cannot lose them.

        A failure is counted, or raised as :class:`~shipway.errors.StoreError` when strict.
        """
        if not events:
            return
        try:
            payload = self._encoder.encode(events)
            if self._descriptor < 0:
                self._open()
            if self._frames is not None:
                payload = self._frames.seal(payload)
            parts = (header(payload), payload)
            written = os.writev(self._descriptor, parts)
            if written != HEADER_BYTES + len(payload):
                written += self._finish(b"".join(parts)[written:])
        except (OSError, OverflowError, TypeError, ValueError) as error:
            self._lose(events, error)
            return
        if self._frames is not None:
            self._frames.kept()
        self._size += written
        self._bytes += written
        self._events += len(events)
        if self._last_error:
            self._last_error = ""
        if self._size >= self._max_bytes or self._monotonic() >= self._rotate_at:
            self.rotate()

    def sync(self) -> None:
        """Make all that was appended survive a power cut.

        Raises :class:`~shipway.errors.StoreError` when the disk says no. The kernel may then have
        thrown the pages away, so a second fsync proves nothing: the next append opens a new file.
        """
        if self._descriptor < 0:
            return
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            path = self._path
            self.rotate()
            self._last_error = f"fsync: {error.strerror}"
            raise store_error(path, error) from error

    def rotate(self) -> None:
        """End the present file; the next append begins a new one."""
        if self._descriptor < 0:
            return
        os.close(self._descriptor)
        self._descriptor = -1
        if self._size == self._begun_size:
            self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """End the journal; its file is left for compaction."""
        self.rotate()

    @property
    def status(self) -> JournalStatus:
        """What was kept and what was lost."""
        return JournalStatus(
            events=self._events,
            bytes=self._bytes,
            files=self._files,
            lost_events=self._lost_events,
            lost_rows=self._lost_rows,
            last_error=self._last_error,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self) -> None:
        """Begin a new file: it gets its name only once it is locked, so nobody compacts it."""
        name = f"{self._clock_ns():020d}-{self._worker}-{os.getpid()}-{self._files}{SUFFIX}"
        path = self._folder / name
        temporary = path.with_suffix(".tmp")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        descriptor = os.open(temporary, flags, 0o640)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._begun_size = self._begin(descriptor, path.stem)
            temporary.rename(path)
            sync_folder(self._folder)
        except OSError:
            os.close(descriptor)
            temporary.unlink(missing_ok=True)
            raise
        self._descriptor, self._path, self._size = descriptor, path, self._begun_size
        self._rotate_at = self._monotonic() + self._max_age_s
        self._files += 1

    def _begin(self, descriptor: int, stem: str) -> int:
        """Write the key of a file that is encrypted; the size of it."""
        if self._sealer is None:
            return 0
        self._frames = FrameSealer(self._sealer, JOURNALS, stem)
        left = memoryview(self._frames.key_frame)
        while left:
            left = left[os.write(descriptor, left) :]
        return len(self._frames.key_frame)

    def _finish(self, rest: bytes) -> int:
        """Write what one ``write()`` left over: it is short on a signal or a full disk."""
        done = 0
        while done < len(rest):
            done += os.write(self._descriptor, rest[done:])
        return done

    def _lose(self, events: Sequence[PredictionEvent], error: Exception) -> None:
        """Count *events* as lost and cut off what part of them was written."""
        self._lost_events += len(events)
        self._lost_rows += sum(event.rows for event in events)
        self._last_error = str(getattr(error, "strerror", None) or error)
        if self._descriptor >= 0:
            try:
                os.ftruncate(self._descriptor, self._size)
            except OSError:
                self.rotate()
        if self._strict:
            if isinstance(error, OSError):
                raise store_error(self._path, error) from error
            raise StoreError(
                f"an event could not be encoded for {self._path}: {error}",
                next_step="report the request that it came from",
            ) from error


class JournalRead(msgspec.Struct, frozen=True):
    """Events of one journal, where the next read begins, and how much could not be read.

    ``tail_bytes`` lie behind the last whole frame: torn, if the writer is gone.
    """

    events: list[PredictionEvent]
    end: int
    damaged: int
    tail_bytes: int


def journal_opener(keyring: Keyring = NO_KEYRING) -> FrameOpener:
    """What opens encrypted journals by *keyring*, each key once."""
    return FrameOpener(JOURNALS, keyring)


def read_journal(
    path: Path,
    start: int = 0,
    *,
    max_bytes: int = DEFAULT_MAX_BYTES,
    opener: FrameOpener | None = None,
) -> JournalRead:
    """The events of the journal *path* from byte *start* on, at most about *max_bytes* of them.

    *opener* opens it where it is encrypted; what reads a journal in parts keeps one. Raises
    FileNotFoundError when compaction was faster, and :class:`~shipway.errors.KeyNotHeld`.
    """
    opener = opener or journal_opener()
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not opener.follows(path.stem, start):
            opener.open(path.stem, scan(file.read(start)), 0)
        file.seek(start)
        data = file.read(min(max_bytes, size - start))
        found = scan(data)
        if not found.end and len(data) < size - start:  # one frame is larger than max_bytes
            data += file.read()
            found = scan(data)
    decoder = msgspec.msgpack.Decoder(list[PredictionEvent])
    events: list[PredictionEvent] = []
    payloads, altered = opener.open(path.stem, found, start)
    damaged = found.damaged + altered
    for payload in payloads:
        try:
            events += named(decoder.decode(payload))
        except msgspec.DecodeError:
            damaged += 1
    end = start + found.end
    return JournalRead(events, end, damaged, size - end)


def journals(folder: Path) -> dict[str, Path]:
    """The journals of the event folder by name without suffix, oldest first."""
    return {path.stem: path for path in sorted((folder / JOURNALS).glob(f"*{SUFFIX}"))}


def read_events(
    folder: Path,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    keyring: Keyring = NO_KEYRING,
) -> Iterator[PredictionEvent]:
    """The events in the journals of *folder* received in [since, until), a journal at a time.

    What is compacted already is not among them; ``reader.EventReader`` has both.
    """
    low = 0 if since is None else int(since.timestamp() * 1e9)
    high = 1 << 63 if until is None else int(until.timestamp() * 1e9)
    opener = journal_opener(keyring)
    for path in journals(folder).values():
        at = 0
        while (part := read_journal(path, at, opener=opener)).end > at:
            yield from (event for event in part.events if low <= event.received_at_ns < high)
            at = part.end


def _plain(value: Any) -> Any:
    """A value that msgpack knows for one that it does not: numpy's, times, the rest."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return str(value)
