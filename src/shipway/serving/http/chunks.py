"""Bodies in chunks (RFC 9112, 7.1): where data begins and ends, and nothing forgiven in between.

Extensions and trailers mean nothing here and are dropped, but they must be well-formed, and
together they have no more room than a head. The size of a chunk is at most eight digits.
"""

from __future__ import annotations

import re

from shipway.errors import TooLarge
from shipway.serving.http.grammar import body_too_large, head_too_large, is_field, malformed
from shipway.serving.http.limits import Limits
from shipway.serving.http.responses import Refusal

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*+"'
_SIZE = re.compile(
    rb"([0-9A-Fa-f]{1,8})((?:;" + _TOKEN + rb"(?:=(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?)*+)\r\n"
)
_PLAIN = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
_HEXADECIMAL = frozenset(b"0123456789ABCDEFabcdef")
_NO_TRAILERS = frozenset(
    {
        b"authorization",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"host",
        b"transfer-encoding",
        b"upgrade",
    }
)
_AT_ONCE = 256


class ChunkReader:
    """Follows one body; the sizes of its chunks together are at most what a body may have."""

    def __init__(self, limits: Limits) -> None:
        self.done = False
        self.count = 0
        self._limits = limits
        self._left = 0
        self._ending = 0
        self._in_trailers = False
        self._line = bytearray()
        self._mark_bytes = self._trailers = 0
        self._announced = 0

    def feed(self, data: bytes, at: int, end: int) -> tuple[int, bytes]:
        """Read *data* from *at* to *end*, a few hundred chunks at most.

        The place where reading stopped, and what of it is data. Raises Refusal, always a closing
        one.
        """
        until = self.count + _AT_ONCE
        parts: list[bytes] = []
        while at < end and not self.done and self.count < until:
            if self._left:
                stop = min(end, at + self._left)
                parts.append(data[at:stop])
                self._left -= stop - at
                at = stop
            elif self._ending:
                at = self._end_chunk(data, at, end)
            elif self._line or self._in_trailers:
                at = self._mark(data, at, end)
            else:
                at = self._whole(data, at, end, parts)
        return at, parts[0] if len(parts) == 1 else b"".join(parts)

    def _whole(self, data: bytes, at: int, end: int, parts: list[bytes]) -> int:
        """A chunk that is there whole, by the shortest way; the size of any other."""
        plain = _PLAIN.match(data, at, end)
        if plain is None:
            if data[at] not in _HEXADECIMAL:
                raise malformed("a chunk does not begin with its size")
            return self._mark(data, at, end)
        size, at = int(plain[1], 16), plain.end()
        self._begin_chunk(size)
        stop = at + size
        if not size or stop + 2 > end or not data.startswith(b"\r\n", stop):
            return at
        parts.append(data[at:stop])
        self._left = self._ending = 0
        return stop + 2

    def _end_chunk(self, data: bytes, at: int, end: int) -> int:
        """The CR LF that follows a chunk's data."""
        stop = min(end, at + self._ending)
        if data[at:stop] != b"\r\n"[-self._ending :][: stop - at]:
            raise malformed("a chunk is not as long as it says")
        self._ending -= stop - at
        return stop

    def _mark(self, data: bytes, at: int, end: int) -> int:
        """A chunk's size or a trailer, in one or several pieces."""
        found = data.find(b"\n", at, end)
        stop = end if found < 0 else found + 1
        self._mark_bytes += stop - at
        if self._mark_bytes > self._limits.max_head_bytes:
            raise head_too_large(self._limits)
        self._line += data[at:stop]
        if found >= 0:
            line = bytes(self._line)
            self._line.clear()
            (self._trailer if self._in_trailers else self._sized)(line)
        return stop

    def _sized(self, line: bytes) -> None:
        found = _SIZE.fullmatch(line)
        if found is None:
            raise malformed("the size of a chunk is not up to eight hexadecimal digits and CR LF")
        self._begin_chunk(int(found[1], 16))

    def _begin_chunk(self, size: int) -> None:
        self._in_trailers = size == 0
        self._left, self._ending = size, 2
        self._announced += size
        if self._announced > self._limits.max_body_bytes:
            raise body_too_large(self._limits)
        self.count += 1
        if self._in_trailers:
            self._ending = 0
        elif self.count > self._limits.max_chunks:
            raise _too_many(self._limits)

    def _trailer(self, line: bytes) -> None:
        if line == b"\r\n":
            self.done = True
            return
        self._trailers += 1
        if self._trailers > self._limits.max_headers:
            raise head_too_large(self._limits)
        if not is_field(line):
            raise malformed("a trailer is not of the form `Name: value`")
        if line.partition(b":")[0].lower() in _NO_TRAILERS:
            raise malformed("a trailer says what only a header may say")


def _too_many(limits: Limits) -> Refusal:
    error = TooLarge(
        f"the body is in more than {limits.max_chunks} chunks",
        next_step="send larger chunks, or raise serve.max_chunks",
    )
    return Refusal(error, close=True)
