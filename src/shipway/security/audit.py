"""The audit log's lines: what they say, how they hang together, and when they may be believed.

A line is one JSON object in ASCII, so that nothing in a name, a path or a header can begin
another line or reach a terminal. It carries the digest of the line before; the digest of a line
is the SHA-256 of a domain, a zero byte and its bytes as they stand in the file. Now and then a
line is a checkpoint, which signs all that came before. What was let go after its time is covered
by a :class:`Tombstone`, signed too. ``audit_check`` tells whether it all holds; where lines are
kept is the business of ``registry.trail``.
"""

from __future__ import annotations

import json
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from math import isfinite
from typing import Any

import msgspec

from shipway.domain.times import iso
from shipway.security.acting import Actor
from shipway.security.keys import without_secrets

CHECKPOINT = "audit.checkpoint"
BEGIN = "audit.begin"
MOST_LINE_BYTES = 32 * 1024
_MOST_DETAIL_BYTES = 8 * 1024
_LONGEST_TEXT = 256
_MOST_ITEMS = 64
_LINE = b"shipway.audit.line.v1\0"
_SIGNED = b"shipway.audit.checkpoint.v1\0"
_BURIED = b"shipway.audit.tombstone.v1\0"
NOTHING = "0" * 64
"""What stands for the line before the first."""


class Outcome(StrEnum):
    """How it ended: done, refused by a rule, or failed on the way."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was done or refused; ``count`` of them, where they are told together.

    ``code`` is that of the error. ``detail`` is small, of ids, numbers and settings: no secret,
    nothing that people have written in words of their own.
    """

    what: str
    object: str = ""
    outcome: Outcome = Outcome.DONE
    code: str = ""
    count: int = 1
    detail: dict[str, Any] = {}


class Noted(msgspec.Struct, frozen=True, kw_only=True):
    """A change as it was noted together with itself, to be told to the log next."""

    actor: Actor
    entry: Entry


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line as it is kept: ``seq`` counts from 1 without a gap; ``prev`` is in hex."""

    v: int = 1
    seq: int
    time: datetime
    who: str
    key: str
    user: str
    source: str
    request: str
    what: str
    object: str
    outcome: Outcome
    code: str
    count: int
    detail: dict[str, Any]
    prev: str


class Head(msgspec.Struct, frozen=True):
    """The newest line of the log *chain*, as it is also kept in the records."""

    chain: str
    seq: int
    digest: str


class Tombstone(msgspec.Struct, frozen=True, kw_only=True):
    """What stands for the lines up to ``seq``, which were let go when they were old enough."""

    chain: str
    seq: int
    digest: str
    first: datetime
    last: datetime
    at: datetime
    signer: str = ""
    signature: str = ""

    def message(self) -> bytes:
        """What is signed."""
        parts = [self.chain, str(self.seq), self.digest]
        parts += [iso(self.first), iso(self.last), iso(self.at)]
        return _BURIED + "\n".join(parts).encode()


def line_of(entry: Entry, actor: Actor, *, seq: int, time: datetime, prev: str) -> Line:
    """The line that tells that *actor* did *entry*; every text is cut, and keys are cut out."""
    return Line(
        seq=seq,
        time=time,
        who=_text(actor.id),
        key=_text(actor.key),
        user=_text(actor.user),
        source=_text(actor.source),
        request=_text(actor.request),
        what=_text(entry.what),
        object=_text(entry.object),
        outcome=entry.outcome,
        code=_text(entry.code),
        count=entry.count,
        detail=_short(_bounded(dict(entry.detail))),
        prev=prev,
    )


def line_bytes(line: Line) -> bytes:
    """*line* as it is written, with its end: ASCII, one line, whatever is in it."""
    told = msgspec.to_builtins(line)
    return json.dumps(told, ensure_ascii=True, sort_keys=True, separators=(",", ":")).encode() + (
        b"\n"
    )


def read_line(data: bytes) -> Line:
    """The line of *data*, which ends without a line feed. Raises msgspec's error for any other."""
    return msgspec.json.decode(data, type=Line)


def line_digest(data: bytes) -> str:
    """The digest of the line *data*, without its line feed, in hex."""
    return sha256(_LINE + data).hexdigest()


def checkpoint_message(chain: str, line: Line) -> bytes:
    """What the checkpoint *line* signs: its place, its moment, and by ``prev`` all before it."""
    return _SIGNED + f"{chain}\n{line.seq}\n{iso(line.time)}\n{line.prev}".encode()


def _text(value: str) -> str:
    """*value* without keys, not too long, and half characters written out."""
    cut = value[:_LONGEST_TEXT].encode("utf-8", "backslashreplace").decode()
    return without_secrets(cut)


def _short(detail: dict[str, Any]) -> dict[str, Any]:
    """*detail*, or only that it was too long."""
    size = len(json.dumps(detail))
    return detail if size <= _MOST_DETAIL_BYTES else {"cut_bytes": size}


def _bounded(value: Any, depth: int = 3) -> Any:
    """*value* as JSON that is short enough for a line."""
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if isfinite(value) else None
        case dict() if depth:
            items = list(value.items())[:_MOST_ITEMS]
            return {_text(str(name)): _bounded(each, depth - 1) for name, each in items}
        case list() | tuple() if depth:
            return [_bounded(each, depth - 1) for each in value[:_MOST_ITEMS]]
    return _text(str(value))
