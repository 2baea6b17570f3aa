"""One stream, and what of its answer the windows of the client do not let out yet.

An answer that fits goes out whole, its head and its trailers with it. What does not is held, and
goes on with each WINDOW_UPDATE and whenever the socket takes more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from shipway.serving.http2.wire import (
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    FIRST_WINDOW,
    FRAME_BYTES,
    HEADERS,
    LARGEST_WINDOW,
    Code,
    ConnectionBroken,
    StreamBroken,
    frame,
)

_NEVER = float("inf")


class Block(NamedTuple):
    """A header block and what stands before the stream's number in its frame.

    ``last`` is the same for a block that ends the stream.
    """

    start: bytes
    last: bytes
    fields: bytes

    @classmethod
    def of(cls, fields: bytes) -> Block:
        """The block of *fields*, which are HPACK already."""
        size = len(fields) << 16 | HEADERS << 8 | END_HEADERS
        return cls(size.to_bytes(5, "big"), (size | END_STREAM).to_bytes(5, "big"), fields)


NOTHING = Block(b"", b"", b"")


class Way(Protocol):
    """The connection as one of its streams sees it."""

    outflow: Outflow

    @property
    def clock(self) -> Callable[[], float]:
        """Tells the loop's seconds."""

    def finished(self, stream: Stream) -> None:
        """All of the answer has gone out."""

    def due(self, deadline: float) -> None:
        """Look at the streams at *deadline* at the latest."""


class Stream:
    """One stream; an application makes its own kind of it, which is told what comes.

    ``ended`` says that the client has sent all, ``over`` that nothing more is to be done. At
    ``deadline`` (the loop's seconds) :meth:`expire` is due. ``window`` is how much the client
    takes, ``owed`` what it was not yet told that it may send again, ``got`` the size of its body.
    """

    __slots__ = (
        "deadline",
        "ended",
        "got",
        "held",
        "held_at",
        "length",
        "number",
        "over",
        "owed",
        "stalled",
        "tail",
        "way",
        "window",
        "wire_number",
    )

    def __init__(self, way: Way, number: int) -> None:
        self.way = way
        self.number = number
        self.wire_number = number.to_bytes(4, "big")
        self.window = way.outflow.first_window
        self.deadline = _NEVER
        self.ended = self.over = False
        self.owed = self.got = 0
        self.length: int | None = None
        self.held = b""
        self.held_at = 0
        self.stalled: float | None = None
        self.tail: Block | None = None

    def begin(self) -> None:
        """The head is there."""

    def receive(self, data: bytes, at: int, stop: int) -> None:
        """A piece of the body; ``ended`` if it is the last."""

    def leave(self) -> None:
        """The client does not want the answer any more, or has left."""

    def expire(self, now: float) -> None:
        """The deadline has passed."""


class Outflow:
    """What goes to one client, within its windows; ``paused`` while its socket takes no more."""

    __slots__ = ("first_window", "held", "paused", "window", "write")

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self.write = write
        self.window = self.first_window = FIRST_WINDOW
        self.paused = False
        self.held: dict[int, Stream] = {}

    def send(self, stream: Stream, head: Block, data: bytes, tail: Block | None) -> None:
        """Send *head* (or NOTHING), *data* and, unless more will come, *tail*."""
        if stream.over:
            return
        size = len(data)
        small = size <= FRAME_BYTES and size <= self.window and size <= stream.window
        if tail is None or not small or self.paused or stream.held or not head.fields:
            self._send_in_pieces(stream, head, data, tail)
            return
        self.window -= size
        number = stream.wire_number
        self.write(
            b"".join(
                (
                    *(head.start, number, head.fields),
                    *((size << 16).to_bytes(5, "big"), number, data),
                    *(tail.last, number, tail.fields),
                )
            )
        )
        stream.way.finished(stream)

    def send_head_alone(self, stream: Stream, head: Block) -> None:
        """Answer with a head that is all."""
        if stream.over:
            return
        if len(head.fields) <= FRAME_BYTES:
            self.write(b"".join((head.last, stream.wire_number, head.fields)))
        else:
            self.write(_in_frames(stream.number, head.fields, END_STREAM))
        stream.way.finished(stream)

    def widen(self, stream: Stream | None, size: int) -> None:
        """The client takes *size* bytes more: of *stream*, or of all together."""
        if size == 0:
            if stream is None:
                raise ConnectionBroken(Code.PROTOCOL_ERROR, "a window is widened by nothing")
            raise StreamBroken(Code.PROTOCOL_ERROR)
        if stream is None:
            self.window += size
            if self.window > LARGEST_WINDOW:
                raise ConnectionBroken(
                    Code.FLOW_CONTROL_ERROR, "the window of the connection is over 2^31 - 1"
                )
            self.go_on()
        else:
            stream.window += size
            if stream.window > LARGEST_WINDOW:
                raise StreamBroken(Code.FLOW_CONTROL_ERROR)
            if stream.held or stream.number in self.held:
                self._push(stream)

    def resize(self, first_window: int, streams: list[Stream]) -> None:
        """Every stream's window begins with *first_window* now (RFC 9113, 6.9.2)."""
        change = first_window - self.first_window
        self.first_window = first_window
        for stream in streams:
            stream.window += change
            if stream.window > LARGEST_WINDOW:
                raise ConnectionBroken(Code.FLOW_CONTROL_ERROR, "a window is over 2^31 - 1")
        if change > 0:
            self.go_on()

    def go_on(self) -> None:
        """Send what is held, as far as it goes."""
        for stream in list(self.held.values()):
            if self.paused or self.window <= 0:
                return
            self._push(stream)

    def drop(self, stream: Stream) -> None:
        """Hold nothing of *stream* any more."""
        self.held.pop(stream.number, None)
        stream.held = b""

    def _send_in_pieces(self, stream: Stream, head: Block, data: bytes, tail: Block | None) -> None:
        if head.fields:
            self.write(_in_frames(stream.number, head.fields, 0))
        left = stream.held[stream.held_at :] if stream.held else b""
        stream.held, stream.held_at, stream.tail = left + data, 0, tail
        self._push(stream)

    def _push(self, stream: Stream) -> None:
        held, at, end = stream.held, stream.held_at, len(stream.held)
        before = at
        while at < end and not self.paused:
            size = min(FRAME_BYTES, end - at, self.window, stream.window)
            if size <= 0:
                break
            self.window -= size
            stream.window -= size
            self.write(frame(0, 0, stream.number, held[at : at + size]))
            at += size
        stream.held_at = at
        if at < end:
            if stream.stalled is None or at > before:
                stream.stalled = stream.way.clock()
            self.held[stream.number] = stream
            stream.way.due(stream.stalled)
            return
        stream.stalled = None
        self.drop(stream)
        if stream.tail is not None:
            self.write(_in_frames(stream.number, stream.tail.fields, END_STREAM))
            stream.way.finished(stream)


def _in_frames(number: int, fields: bytes, flags: int) -> bytes:
    """HEADERS, and CONTINUATION where one frame does not do."""
    if len(fields) <= FRAME_BYTES:
        return frame(HEADERS, flags | END_HEADERS, number, fields)
    pieces = [fields[at : at + FRAME_BYTES] for at in range(0, len(fields), FRAME_BYTES)]
    frames = [frame(HEADERS, flags, number, pieces[0])]
    frames += [frame(CONTINUATION, 0, number, piece) for piece in pieces[1:-1]]
    frames.append(frame(CONTINUATION, END_HEADERS, number, pieces[-1]))
    return b"".join(frames)
