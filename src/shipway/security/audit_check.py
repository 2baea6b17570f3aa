"""Whether an audit log may be believed: which line was altered, removed, moved or cut off."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from shipway.errors import Problem
from shipway.security.audit import (
    BEGIN,
    CHECKPOINT,
    NOTHING,
    Head,
    Line,
    Tombstone,
    checkpoint_message,
    line_digest,
    read_line,
)

Signed = Callable[[str, bytes, str], bool]
"""Whether the public key (hex) has signed the message: (key, message, signature in hex)."""


@dataclass(slots=True)
class Checked:
    """What a check of the log has found; without ``problems`` it may be believed.

    ``since_checkpoint`` lines at the end are held by the records alone, not by a signature yet.
    """

    chain: str = ""
    first: int = 0
    last: int = 0
    lines: int = 0
    checkpoints: int = 0
    since_checkpoint: int = 0
    problems: list[Problem] = field(default_factory=list)

    def blame(self, code: str, message: str, where: str = "") -> None:
        """Add a problem."""
        self.problems.append(Problem(f"audit.{code}", message, where))


@dataclass(frozen=True, slots=True)
class _Seen:
    where: str
    line: Line
    digest: str


class Checker:
    """Reads the lines of one log in order.

    *signer* is the public key that checkpoints must be of, "" where the log has none; *tombstone*
    covers what is no longer there, *head* is what the records know of the end.
    """

    def __init__(
        self,
        *,
        signer: str,
        signed: Signed,
        tombstone: Tombstone | None = None,
        head: Head | None = None,
    ) -> None:
        self.found = Checked()
        self._signer, self._signed = signer, signed
        self._tombstone, self._head = tombstone, head
        self._misfits: list[tuple[_Seen, _Seen]] = []

    def check(self, lines: Iterable[tuple[str, bytes]]) -> Checked:
        """Check *lines*, each with where it stands and without its line feed."""
        before: _Seen | None = None
        for seen in self._readable(lines):
            if before is None:
                self._begins(seen)
            else:
                self._follows(before, seen)
            self._is_signed(seen)
            self._is_head(seen)
            before = seen
        self._tell_misfits()
        self._ends()
        return self.found

    def _readable(self, lines: Iterable[tuple[str, bytes]]) -> Iterator[_Seen]:
        for where, data in lines:
            self.found.lines += 1
            try:
                line = read_line(data)
            except msgspec.DecodeError:
                self.found.blame("unreadable", "this is no line of the log", where)
                continue
            yield _Seen(where, line, line_digest(data))

    def _begins(self, seen: _Seen) -> None:
        found, stone, line = self.found, self._tombstone, seen.line
        found.first = found.last = line.seq
        if stone is None:
            found.chain = str(line.detail.get("chain", ""))
            if (line.seq, line.prev, line.what) != (1, NOTHING, BEGIN):
                message = f"the log begins with line {line.seq}: what stood before was removed"
                found.blame("removed", message, seen.where)
            elif line.detail.get("key", "") not in ("", self._signer):
                found.blame("signer", "the log was begun with another key", seen.where)
            return
        found.chain = stone.chain
        if not self._is_by_signer(stone.signer, stone.message(), stone.signature):
            found.blame("tombstone", "the tombstone is not signed by the key of the log")
        if line.seq != stone.seq + 1:
            message = f"the log begins with line {line.seq} and its tombstone ends with {stone.seq}"
            found.blame("removed", message, seen.where)
        elif line.prev != stone.digest:
            message = f"line {line.seq} does not follow the tombstone: it or that was altered"
            found.blame("altered", message, seen.where)

    def _follows(self, before: _Seen, seen: _Seen) -> None:
        expected, seq = before.line.seq + 1, seen.line.seq
        self.found.last = max(self.found.last, seq)
        if seq > expected:
            lost = f"line {expected}" if seq == expected + 1 else f"lines {expected} to {seq - 1}"
            self.found.blame("removed", f"{lost} removed", seen.where)
        elif seq < expected:
            message = f"line {seq} stands after line {before.line.seq}"
            self.found.blame("reordered", message, seen.where)
        elif seen.line.prev != before.digest:
            if self._misfits and self._misfits[-1][1] is not before:
                self._tell_misfits()
            self._misfits.append((before, seen))

    def _tell_misfits(self) -> None:
        """Of neighbours that do not fit, say which was altered: who fits on neither side.

        One pair alone is blamed on its first line, whose digest is another than the next one has.
        """
        pairs = self._misfits
        blamed = [pairs[0][0]] if len(pairs) == 1 else [second for _, second in pairs[:-1]]
        for seen in blamed:
            self.found.blame("altered", f"line {seen.line.seq} was altered", seen.where)
        self._misfits = []

    def _is_signed(self, seen: _Seen) -> None:
        found, line = self.found, seen.line
        found.since_checkpoint += 1
        if line.what != CHECKPOINT:
            return
        key, signature = str(line.detail.get("key")), str(line.detail.get("signature"))
        if self._is_by_signer(key, checkpoint_message(found.chain, line), signature):
            found.checkpoints += 1
            found.since_checkpoint = 0
        else:
            message = f"the checkpoint in line {line.seq} is not signed by the key of the log"
            found.blame("checkpoint", message, seen.where)

    def _is_by_signer(self, key: str, message: bytes, signature: str) -> bool:
        if not self._signer:
            return not key and not signature
        return key == self._signer and self._signed(key, message, signature)

    def _is_head(self, seen: _Seen) -> None:
        head = self._head
        if head is not None and seen.line.seq == head.seq and seen.digest != head.digest:
            message = f"line {head.seq} is not the one that the records know: it was altered"
            self.found.blame("altered", message, seen.where)

    def _ends(self) -> None:
        head, stone = self._head, self._tombstone
        reached = self.found.last or (stone.seq if stone else 0)
        if head is not None and reached < head.seq:
            self.found.blame(
                "cut", f"the log ends with line {reached} and the records know of line {head.seq}"
            )
