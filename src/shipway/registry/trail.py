"""The audit log of a store, on disk: one chain of lines in the files of a folder.

A line is whole and on the platter when :meth:`Trail.record` returns. Processes take turns by a
lock; each looks at what the others wrote since. What was only partly written at the end, by a
process that was killed or a machine whose power was cut, was acknowledged to nobody and is cut
off, which a line says. The newest line is also known to
the records (:class:`~shipway.registry.ports.AuditRecords`), so that a cut tail is found: by the
check, and by the next line, which then follows what the records know. A process that was killed
between a line and that leaves what was noted to be told twice, never not at all.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec

from shipway.domain.names import new_id
from shipway.domain.times import Clock, system_clock
from shipway.durable import locked, made_folder, replace_file, store_error, storing, sync_folder
from shipway.registry.ports import AuditRecords
from shipway.registry.trail_files import (
    TOMBSTONE_FILE,
    first_line,
    last_line,
    read_tombstone,
    segment_path,
    segments,
    sound_bytes,
    tail,
    whole_bytes,
)
from shipway.security.acting import Actor, actor_now, process_owner
from shipway.security.audit import (
    BEGIN,
    CHECKPOINT,
    NOTHING,
    Entry,
    Head,
    Line,
    Noted,
    Outcome,
    Tombstone,
    checkpoint_message,
    line_bytes,
    line_digest,
    line_of,
    read_line,
)
from shipway.security.audit_keys import AuditKey, audit_key

CHAIN_FILE = "chain"
CHECKPOINT_LINES = 100
CHECKPOINT_AFTER = timedelta(hours=1)
_SEGMENT_BYTES = 16 << 20
_SEGMENT_AGE = timedelta(days=7)
_IS_CHECKPOINT = f'"what":"{CHECKPOINT}"'.encode()


class AuditTrail(Protocol):
    """Where is told what was done, and what was refused."""

    def record(self, entry: Entry, actor: Actor | None = None) -> None:
        """Keep *entry* for good; by default whoever acts now did it.

        Raises :class:`~shipway.errors.StoreError` when that cannot be.
        """

    def flush(self) -> None:
        """Write the lines of what was noted with the changes themselves.

        Raises :class:`~shipway.errors.StoreError` when that cannot be; it stays noted then.
        """


class NoTrail:
    """Keeps nothing: for stores that are made to be given away. What is noted waits in them."""

    def record(self, entry: Entry, actor: Actor | None = None) -> None:
        """Do nothing."""

    def flush(self) -> None:
        """Do nothing."""


@dataclass(slots=True)
class _End:
    """Where the log ends: the newest line, in which file, and after how many bytes."""

    path: Path
    size: int
    began: datetime
    chain: str
    seq: int
    digest: str
    signed_at: datetime
    lost: int = 0
    missing: int = 0


class Trail:
    """The audit log in *folder*, which is made at the first line. Safe for threads and processes.

    *segment_age* is how long one file is written to: what is let go is let go by the file.
    """

    def __init__(
        self,
        folder: Path,
        records: AuditRecords,
        *,
        clock: Clock = system_clock,
        segment_age: timedelta = _SEGMENT_AGE,
        segment_bytes: int = _SEGMENT_BYTES,
    ) -> None:
        self.folder = folder
        self._records = records
        self._clock = clock
        self._segment_age, self._segment_bytes = segment_age, segment_bytes
        self._end: _End | None = None
        self._key: AuditKey | None = None

    def record(self, entry: Entry, actor: Actor | None = None) -> None:
        """See :class:`AuditTrail`."""
        self._settle(Noted(actor=actor or actor_now(), entry=entry))

    def flush(self) -> None:
        """See :class:`AuditTrail`."""
        self._settle()

    def expire(self, before: datetime) -> int:
        """Let go of the files whose lines are all older than *before*; how many lines that were.

        The newest file stays. A signed tombstone stands for what went, and a line says so.
        Raises :class:`~shipway.errors.StoreError`.
        """
        if not self.folder.is_dir():
            return 0
        with locked(self.folder / "lock"):
            files = segments(self.folder)
            old = [path for path in files[:-1] if last_line(path)[0].time < before]
            old = files[: len(old)]
            if not old:
                return 0
            gone, stone = self._buried(old)
            with storing(self.folder):
                replace_file(self.folder / TOMBSTONE_FILE, msgspec.json.encode(stone))
            detail = {"lines": gone, "through": stone.seq, "digest": stone.digest}
            told = Noted(actor=actor_now(), entry=Entry(what="audit.expire", detail=detail))
            self._records.settle(self._chain(), partial(self._write_lines, [told]))
            with storing(self.folder):
                for path in old:
                    path.unlink()
                sync_folder(self.folder)
        return gone

    def _settle(self, *told: Noted) -> None:
        made_folder(self.folder)
        with locked(self.folder / "lock"):
            self._records.settle(self._chain(), partial(self._write_lines, told))

    # ---- with the lock held --------------------------------------------------------------------

    def _buried(self, old: list[Path]) -> tuple[int, Tombstone]:
        """How many lines the files *old* have, and the tombstone that stands for them."""
        before = read_tombstone(self.folder)
        last, digest = last_line(old[-1])
        stone = Tombstone(
            chain=self._chain(),
            seq=last.seq,
            digest=digest,
            first=before.first if before else first_line(old[0]).time,
            last=last.time,
            at=self._clock(),
        )
        key = self._signer()
        if key is not None:
            signature = key.sign(stone.message())
            stone = msgspec.structs.replace(stone, signer=key.public, signature=signature)
        return last.seq - (before.seq if before else 0), stone

    def _write_lines(
        self, told: Sequence[Noted], head: Head | None, noted: Sequence[Noted]
    ) -> Head | None:
        end = self._end if self._end and not (told or noted) else self._found_end(head)
        if not (told or noted or end.lost):
            self._end = end
            return None
        now = self._clock()
        key = self._signer()
        owner = process_owner()
        data = b""
        seq, digest, signed_at = end.seq, end.digest, end.signed_at
        for one in (*(Noted(actor=owner, entry=e) for e in _of_the_log(end, key)), *noted, *told):
            seq += 1
            data += line_bytes(line_of(one.entry, one.actor, seq=seq, time=now, prev=digest))
            digest = _digest_of_last(data)
        due = seq // CHECKPOINT_LINES > end.seq // CHECKPOINT_LINES
        if key is not None and (due or now - signed_at >= CHECKPOINT_AFTER):
            seq, signed_at = seq + 1, now
            data += line_bytes(_checkpoint(key, end.chain, seq, now, digest))
            digest = _digest_of_last(data)
        self._write(end, data, now)
        end.seq, end.digest, end.signed_at = seq, digest, signed_at
        end.lost = end.missing = 0
        self._end = end
        return Head(end.chain, seq, digest)

    def _write(self, end: _End, data: bytes, now: datetime) -> None:
        """Add *data* at *end*, whole or not at all, in a file of its own if that one is old."""
        full = end.size + len(data) > self._segment_bytes
        if end.size and (full or now - end.began >= self._segment_age):
            end.path, end.size, end.began = self._segment(end.seq + 1), 0, now
        fresh = not end.size
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(end.path, flags, 0o600)
            try:
                os.ftruncate(descriptor, end.size)
                _write_at(descriptor, data, end.size)
            finally:
                os.close(descriptor)
            if fresh:
                sync_folder(self.folder)
        except OSError as error:
            self._end = None
            raise store_error(end.path, error) from error
        end.size += len(data)

    def _found_end(self, head: Head | None) -> _End:
        """Where the log ends now; what this process knows, if nobody wrote since."""
        known = self._end
        if known is not None:
            with storing(known.path):
                files = segments(self.folder)
                if files and files[-1] == known.path and known.path.stat().st_size == known.size:
                    return known
        return self._read_end(head)

    def _read_end(self, head: Head | None) -> _End:
        files = segments(self.folder)
        place = files[-1] if files else self._segment(1)
        stone = read_tombstone(self.folder)
        now = self._clock()
        end = _End(place, 0, now, self._chain(), 0, NOTHING, now)
        if stone is not None:
            end.seq, end.digest = stone.seq, stone.digest
        for path in reversed(files):
            size = sound_bytes(path, head) if path == place else whole_bytes(path)
            with storing(path):
                end.lost += path.stat().st_size - size
            if size:
                self._take(end, path, *tail(path, size))
                break
        if head is not None and head.seq > end.seq:
            end.missing = head.seq - end.seq
            end.seq, end.digest = head.seq, head.digest
        return end

    def _take(self, end: _End, path: Path, whole: bytes, start: int) -> None:
        """Learn where the log ends of the *whole* lines that *path* has from byte *start* on."""
        lines = whole.splitlines()
        if path == end.path:
            end.size = start + len(whole)
        try:
            end.seq, end.digest = read_line(lines[-1]).seq, line_digest(lines[-1])
            end.began = end.signed_at = first_line(path).time
            signed = next((line for line in reversed(lines) if _IS_CHECKPOINT in line), None)
            if signed is not None:
                end.signed_at = read_line(signed).time
        except msgspec.DecodeError:
            """Somebody has changed it: the check will say so; what follows goes by the records."""

    def _chain(self) -> str:
        """What this log is called in the records."""
        path = self.folder / CHAIN_FILE
        with storing(path):
            if not path.exists():
                replace_file(path, new_id().encode())
            return path.read_text("ascii")

    def _signer(self) -> AuditKey | None:
        if self._key is None:
            self._key = audit_key(self.folder)
        return self._key

    def _segment(self, seq: int) -> Path:
        return segment_path(self.folder, seq)


def _checkpoint(key: AuditKey, chain: str, seq: int, now: datetime, prev: str) -> Line:
    unsigned = line_of(Entry(what=CHECKPOINT), process_owner(), seq=seq, time=now, prev=prev)
    signature = key.sign(checkpoint_message(chain, unsigned))
    return msgspec.structs.replace(unsigned, detail={"key": key.public, "signature": signature})


def _of_the_log(end: _End, key: AuditKey | None) -> list[Entry]:
    """What the log has to say of itself before the next line: that it begins, or what it lost."""
    told = []
    if not end.seq:
        detail = {"chain": end.chain, "key": key.public if key else ""}
        told.append(Entry(what=BEGIN, detail=detail))
    if end.missing:
        told.append(Entry(what="audit.missing", outcome=Outcome.FAILED, count=end.missing))
    if end.lost:
        told.append(Entry(what="audit.recover", detail={"cut_bytes": end.lost}))
    return told


def _digest_of_last(data: bytes) -> str:
    """The digest of the last line of *data*, which ends with a line feed."""
    return line_digest(data[:-1].rpartition(b"\n")[2])


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    """Write *data* at *offset* and on the platter; what a full disk leaves of it is taken back."""
    try:
        left, place = memoryview(data), offset
        while left:
            written = os.pwrite(descriptor, left, place)
            left, place = left[written:], place + written
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, offset)
        raise
