"""Content codings: request bodies unpacked as they arrive, answers packed where that is wanted.

Unpacked bytes are what counts against the cap, and no more of them than that are ever made. Work
on something large is done in steps, so that the other connections have their turns.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

from shipway.errors import MalformedRequest, UsageError
from shipway.serving.http.responses import Refusal

STEP_BYTES = 2048
"""Fed to an inflater at once: at most 1032 times as much comes out."""
PACK_STEP_BYTES = 256 * 1024
_LEVEL = 1  # half of the bytes that level 6 saves, at a fifth of its time, on JSON of numbers
_GZIP, _ZLIB, _RAW = 31, 15, -15
_WBITS = {b"gzip": _GZIP, b"deflate": _ZLIB}
_UNPACKED = {b"gzip": b"gzip", b"x-gzip": b"gzip", b"deflate": b"deflate"}
_ELEMENT = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)(?:[ \t]*;[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?"
)


@dataclass(frozen=True, slots=True)
class Accepted:
    """How a client wants its answer: ``coding`` is None for as it is.

    ``must`` says that it does not take an answer as it is; without a coding, none at all.
    """

    coding: bytes | None = None
    must: bool = False


def accepted(value: bytes | None) -> Accepted:
    """What *value*, an ``Accept-Encoding``, asks for; gzip before deflate, if it likes them alike.

    >>> accepted(b"deflate;q=0.5, gzip;q=0.8, br").coding
    b'gzip'
    """
    if value is None:
        return Accepted()
    weights: dict[bytes, float] = {}
    for element in value.split(b","):
        found = _ELEMENT.fullmatch(element.strip(b" \t"))
        if found is not None:
            weights[found[1].lower()] = float(found[2] or 1)
    other = weights.get(b"*", 0.0)
    gzip = weights.get(b"gzip", weights.get(b"x-gzip", other))
    deflate = weights.get(b"deflate", other)
    identity = weights.get(b"identity", weights.get(b"*", 1.0))
    best = max(gzip, deflate)
    explicit = weights.get(b"identity", 0.0)
    if best <= 0 or explicit > best:
        return Accepted(None, must=identity <= 0)
    return Accepted(b"gzip" if gzip >= deflate else b"deflate", must=identity <= 0)


class Unpacker:
    """Unpacks one body; *coding* is ``gzip`` or ``deflate``.

    Clients have sent deflate with and without zlib's head ever since: both are read.
    """

    def __init__(self, coding: bytes) -> None:
        self._coding = coding
        self._begin = b""
        self._inflate = zlib.decompressobj(_GZIP) if coding == b"gzip" else None

    def feed(self, part: bytes, allowed: int) -> bytes:
        """What *part*, at most STEP_BYTES, unpacks to; one byte more than *allowed* if that is
        passed. Raises MalformedRequest.
        """
        inflate = self._inflate
        if inflate is None:
            self._begin += part
            if len(self._begin) < 2:
                return b""
            part = self._begin
            inflate = self._inflate = zlib.decompressobj(_ZLIB if _has_head(part) else _RAW)
        if inflate.eof:
            raise _unreadable("bytes follow its end")
        try:
            unpacked = inflate.decompress(part, allowed + 1)
        except zlib.error as error:
            raise _unreadable(str(error)) from error
        if inflate.unused_data:
            raise _unreadable("bytes follow its end")
        return unpacked

    def end(self) -> None:
        """The body is whole: raise MalformedRequest if what it packs is not."""
        if self._inflate is None or not self._inflate.eof:
            raise _unreadable("it is cut short")


def unpacker(value: bytes) -> Unpacker | None:
    """The unpacker for a ``Content-Encoding``, None for identity; raises Refusal (415)."""
    coding = value.lower()
    if coding in {b"identity", b""}:
        return None
    known = _UNPACKED.get(coding)
    if known is None:
        what = "several codings" if b"," in coding else "this coding"
        error = UsageError(
            f"a body of {what} is not read here",
            next_step="send Content-Encoding: gzip or deflate, or the body as it is",
        )
        raise Refusal(error, status=415, headers=b"Accept-Encoding: gzip, deflate\r\n")
    return Unpacker(known)


class Packer:
    """Packs one answer, step by step, in *coding*: ``gzip`` or ``deflate``."""

    def __init__(self, coding: bytes, body: bytes) -> None:
        self.coding = coding
        self._body = memoryview(body)
        self._at = 0
        self._deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WBITS[coding])
        self._parts: list[bytes] = []

    def step(self) -> bytes | None:
        """Pack PACK_STEP_BYTES more; the whole when it is done, else None."""
        part = self._body[self._at : self._at + PACK_STEP_BYTES]
        self._at += len(part)
        self._parts.append(self._deflate.compress(part))
        if self._at < len(self._body):
            return None
        return b"".join((*self._parts, self._deflate.flush()))


def not_acceptable() -> Refusal:
    """The refusal of a client that takes an answer in no form that there is."""
    error = UsageError(
        "there is no answer in a coding that Accept-Encoding allows",
        next_step="allow gzip, deflate or identity",
    )
    return Refusal(error, status=406)


def _has_head(begin: bytes) -> bool:
    """Whether zlib's two bytes are there (RFC 1950): a method of 8, and a multiple of 31."""
    return begin[0] & 15 == 8 and (begin[0] << 8 | begin[1]) % 31 == 0


def _unreadable(reason: str) -> MalformedRequest:
    return MalformedRequest(
        f"the compressed body cannot be unpacked: {reason}",
        next_step="send one whole gzip or deflate stream, or the body as it is",
    )
