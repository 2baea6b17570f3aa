"""Bytes in, frames out, in the order and the sizes that RFC 9113 allows; a head is one piece.

Nothing is kept but a frame that is not whole and a head whose pieces are still coming, both
bounded before anything is made of them.
"""

from __future__ import annotations

from struct import Struct
from typing import Protocol

from shipway.serving.http2.wire import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_BYTES,
    HEAD_BYTES,
    HEADERS,
    LARGEST_ID,
    PADDED,
    PREFACE,
    SETTINGS,
    WITH_PRIORITY,
    Code,
    ConnectionBroken,
)

_HEAD = Struct(">HBBBL").unpack_from
_PIECES = 64


class Recipient(Protocol):
    """Who is told what was read."""

    def head(self, stream_id: int, block: bytes, *, end: bool) -> None:
        """A whole header block."""

    def data(self, stream_id: int, data: bytes, at: int, stop: int, size: int, end: bool) -> None:
        """A piece of a body, from *at* to *stop* of *data*; *size* counts its padding."""

    def control(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        """Any other frame."""


class FrameReader:
    """Reads one connection; heads of over *most_bytes* end it.

    ``begun`` says that the client's preface and settings have come, ``incomplete`` that something
    has begun to come and is not whole,
    ``moved`` that the last bytes have made a frame whole.
    """

    __slots__ = (
        "_block",
        "_end",
        "_greeted",
        "_most_bytes",
        "_pieces",
        "_recipient",
        "_rest",
        "_stream",
        "begun",
        "moved",
    )

    def __init__(self, recipient: Recipient, most_bytes: int) -> None:
        self.begun = self.moved = self._greeted = False
        self._recipient = recipient
        self._most_bytes = most_bytes
        self._rest = b""
        self._block: bytearray | None = None
        self._stream = 0
        self._end = False
        self._pieces = 0

    @property
    def incomplete(self) -> bool:
        """Whether a frame, or a head of several, is not whole."""
        return bool(self._rest) or self._block is not None

    @property
    def in_head(self) -> bool:
        """Whether the pieces of a head are still coming."""
        return self._block is not None

    def feed(self, data: bytes) -> None:
        """Read *data* and tell the recipient; raises ConnectionBroken."""
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        if not self._greeted:
            if not PREFACE.startswith(data[: len(PREFACE)]):
                raise _protocol("this is no HTTP/2: gRPC is spoken here, without an upgrade")
            if end < len(PREFACE):
                self._rest = data
                return
            self._greeted, at = True, len(PREFACE)
        while end - at >= HEAD_BYTES:
            high, low, kind, flags, stream_id = _HEAD(data, at)
            size = high << 8 | low
            if size > FRAME_BYTES:
                raise ConnectionBroken(
                    Code.FRAME_SIZE_ERROR, f"a frame is larger than {FRAME_BYTES} bytes"
                )
            if not self.begun and (kind != SETTINGS or flags & ACK):
                raise _protocol("the first frame is not SETTINGS")
            start = at + HEAD_BYTES
            stop = start + size
            if stop > end:
                break
            self._frame(kind, flags, stream_id & LARGEST_ID, data, start, stop)
            at = stop
        self.moved = at > 0
        self._rest = data[at:]

    def _frame(
        self, kind: int, flags: int, stream_id: int, data: bytes, at: int, stop: int
    ) -> None:
        """One whole frame, its payload from *at* to *stop* of *data*."""
        if self._block is not None:
            self._continue(kind, flags, stream_id, data[at:stop])
        elif kind == DATA:
            if not stream_id:
                raise _protocol("DATA without a stream")
            size = stop - at
            if flags & PADDED:
                at, stop = _unpadded(data, at, stop)
            self._recipient.data(stream_id, data, at, stop, size, bool(flags & END_STREAM))
        elif kind == HEADERS:
            self._begin(flags, stream_id, data, at, stop)
        elif kind == CONTINUATION:
            raise _protocol("CONTINUATION without a head to continue")
        else:
            self.begun = True
            self._recipient.control(kind, flags, stream_id, data[at:stop])

    def _begin(self, flags: int, stream_id: int, data: bytes, at: int, stop: int) -> None:
        """A header block begins, and usually ends."""
        if not stream_id:
            raise _protocol("HEADERS without a stream")
        if flags & (PADDED | WITH_PRIORITY):
            if flags & PADDED:
                at, stop = _unpadded(data, at, stop)
            if flags & WITH_PRIORITY:
                at += 5
            if at > stop:
                raise ConnectionBroken(Code.FRAME_SIZE_ERROR, "HEADERS is too short for its flags")
        end = bool(flags & END_STREAM)
        if flags & END_HEADERS:
            self._recipient.head(stream_id, data[at:stop], end=end)
        else:
            self._block = bytearray(data[at:stop])
            self._stream, self._end, self._pieces = stream_id, end, 0

    def _continue(self, kind: int, flags: int, stream_id: int, piece: bytes) -> None:
        block = self._block
        if block is None or kind != CONTINUATION or stream_id != self._stream:
            raise _protocol("something came between the pieces of a head")
        self._pieces += 1
        if len(block) + len(piece) > self._most_bytes or self._pieces > _PIECES:
            raise ConnectionBroken(
                Code.ENHANCE_YOUR_CALM,
                f"a head is over {self._most_bytes} bytes or {_PIECES} pieces;"
                " serve.max_head_bytes is half of the first",
            )
        block += piece
        if flags & END_HEADERS:
            self._block = None
            self._recipient.head(stream_id, bytes(block), end=self._end)


def _unpadded(data: bytes, at: int, stop: int) -> tuple[int, int]:
    """What is left from *at* to *stop* without the padding (RFC 9113, 6.1)."""
    if at >= stop or data[at] > stop - at - 1:
        raise _protocol("there is more padding than there is frame")
    return at + 1, stop - data[at]


def _protocol(text: str) -> ConnectionBroken:
    return ConnectionBroken(Code.PROTOCOL_ERROR, text)
