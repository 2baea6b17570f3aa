"""What is said on one connection: streams that begin, go on and end, by the letter of RFC 9113.

Streams are kept while they are open. Of those that were answered before the client had sent all,
the numbers are kept for a while: what was on its way then is let pass, and nothing else is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from shipway.security.certificates import PeerCertificate
from shipway.serving.http.bodies import Room
from shipway.serving.http.limits import MIB, Limits
from shipway.serving.http2 import wire
from shipway.serving.http2.calm import Calm
from shipway.serving.http2.heads import Head, HeadReader
from shipway.serving.http2.reading import FrameReader
from shipway.serving.http2.streams import Outflow, Stream
from shipway.serving.http2.wire import Code, ConnectionBroken, StreamBroken

STREAM_WINDOW = 1 * MIB
"""What of one body may be on its way, and of all bodies of a connection.

What is read is taken, and so the windows are wide again before they are closed: only of streams
that are over can more be seen to come. What is held is bounded by the limits of messages.
"""
CONNECTION_WINDOW = 4 * MIB
_EARLY = 1024
_AN_ANSWER = 4  # frames that lead to nothing come with each: windows, pings
_EXCESS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """What is asked of one connection's client, beside the limits of every request."""

    max_streams: int = 256
    ping_interval_s: float = 10.0
    keepalive_s: float = 60.0
    max_idle_s: float = 600.0


class Application(Protocol):
    """What is behind the connections."""

    def open(self, talk: Conversation, number: int, head: Head) -> Stream:
        """The stream that begins with *head*."""


class Conversation:
    """One connection's streams; ``now`` is when the bytes that are read came.

    ``last`` is the last stream that is answered, once that is settled; ``acknowledged`` is called
    with what a ping of ours brought back, ``emptied`` when the last open stream has ended.
    """

    def __init__(
        self,
        application: Application,
        limits: Limits,
        manners: Manners,
        room: Room,
        *,
        clock: Callable[[], float],
        write: Callable[[bytes], None],
        acknowledged: Callable[[bytes], None],
        emptied: Callable[[], None],
        certificate: PeerCertificate | None = None,
    ) -> None:
        self.clock = clock
        self.now = self.asked = clock()
        self.deadline = float("inf")
        self.room = room
        self.certificate = certificate
        self.highest = 0
        self.last = wire.LARGEST_ID
        self.settled = False
        self.outflow = Outflow(write)
        self.heads = HeadReader(limits)
        self.reader = FrameReader(self, self.heads.most_bytes)
        self.calm = Calm(clock, manners.ping_interval_s)
        self._application = application
        self._limits = limits
        self._max_streams = manners.max_streams
        self._write = write
        self._acknowledged = acknowledged
        self._emptied = emptied
        self._streams: dict[int, Stream] = {}
        self._early: dict[int, int] = {}
        self._owed = 0

    @property
    def empty(self) -> bool:
        """Whether no stream is open."""
        return not self._streams

    def greeting(self) -> bytes:
        """What a server begins with."""
        values = {
            wire.MAX_CONCURRENT_STREAMS: self._max_streams,
            wire.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
            wire.MAX_HEADER_LIST_SIZE: self._limits.max_head_bytes,
        }
        wider = wire.window_update(0, CONNECTION_WINDOW - wire.FIRST_WINDOW)
        return wire.settings(values) + wider

    # ---- called by the reader -----------------------------------------------------------------

    def head(self, number: int, block: bytes, *, end: bool) -> None:
        """A stream begins, or its trailers came."""
        if number <= self.highest:
            self._later_head(number, block, end)
            return
        if not number & 1:
            raise ConnectionBroken(Code.PROTOCOL_ERROR, "clients' streams have odd numbers")
        self.highest = number
        if number > self.last:
            self._pass_over(number, block, end)
            return
        try:
            head = self.heads.read(block)
        except StreamBroken as broken:
            self._refuse(number, broken.code, end)
            return
        if len(self._streams) >= self._max_streams:
            self._refuse(number, Code.REFUSED_STREAM, end)
            return
        if head.excess:
            self.calm.spend(_EXCESS)
        stream = self._application.open(self, number, head)
        self._streams[number] = stream
        self.asked = self.now
        stream.length = head.length
        if end:
            if head.length:
                self.break_off(stream, Code.PROTOCOL_ERROR)
                return
            stream.ended = True
        stream.begin()
        self.deadline = min(self.deadline, stream.deadline)

    def data(self, number: int, data: bytes, at: int, stop: int, size: int, end: bool) -> None:
        """A piece of a body came."""
        self._owed += size
        if self._owed * 2 > CONNECTION_WINDOW:
            self._write(wire.window_update(0, self._owed))
            self._owed = 0
        stream = self._streams.get(number)
        if stream is None:
            self._stray(number, size, end)
            return
        if stream.ended:
            self.break_off(stream, Code.STREAM_CLOSED)
            return
        stream.owed += size
        stream.got += stop - at
        if end:
            if stream.length is not None and stream.length != stream.got:
                self.break_off(stream, Code.PROTOCOL_ERROR)
                return
            stream.ended = True
        else:
            if at == stop:
                self.calm.spend()
            if stream.owed * 2 > STREAM_WINDOW:
                self._write(wire.window_update(number, stream.owed))
                stream.owed = 0
        stream.receive(data, at, stop)

    def control(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        """Any other frame came."""
        if kind == wire.WINDOW_UPDATE:
            self._widened(number, payload)
        elif kind == wire.RST_STREAM:
            self._left(number, payload)
        elif kind == wire.PING:
            wire.check(kind, number == 0, len(payload) == 8)
            if flags & wire.ACK:
                self.calm.spend()
                self._acknowledged(payload)
            else:
                self.calm.ping()
                self._write(wire.frame(wire.PING, wire.ACK, 0, payload))
        elif kind == wire.SETTINGS:
            self._settings(flags, number, payload)
        elif kind == wire.PUSH_PROMISE:
            raise ConnectionBroken(Code.PROTOCOL_ERROR, "clients promise nothing")
        elif kind == wire.GOAWAY:
            wire.check(kind, number == 0, len(payload) >= 8)
            self.calm.spend()
        else:  # PRIORITY, which nobody goes by any more, and what is not known
            if kind == wire.PRIORITY:
                wire.check(kind, number != 0, len(payload) == 5)
            self.calm.spend()

    # ---- called by the streams ----------------------------------------------------------------

    def finished(self, stream: Stream) -> None:
        """All of the answer has gone out."""
        self.calm.worked += _AN_ANSWER
        if not stream.ended:
            self._write(wire.reset(stream.number, Code.NO_ERROR))
            self._remember(stream.number, stream.owed)
        self._forget(stream)

    def break_off(self, stream: Stream, code: Code) -> None:
        """End *stream* without an answer; what makes us do that is counted."""
        self._write(wire.reset(stream.number, code))
        if not stream.ended:
            self._remember(stream.number, stream.owed)
        self._forget(stream)
        self.calm.spend()

    def due(self, deadline: float) -> None:
        """Look at the streams at *deadline* at the latest."""
        self.deadline = min(self.deadline, deadline)

    # ---- called by the connection -------------------------------------------------------------

    def expire(self, now: float) -> None:
        """End what is past its deadline, and answers that nobody takes; set the next deadline."""
        self.now = now
        allowed = self._limits.write_timeout_s
        for stream in list(self._streams.values()):
            if stream.stalled is not None and now >= stream.stalled + allowed:
                self.break_off(stream, Code.CANCEL)
            elif now >= stream.deadline:
                stream.expire(now)
        dues = [
            stream.deadline if stream.stalled is None else stream.stalled + allowed
            for stream in self._streams.values()
        ]
        self.deadline = min(dues, default=float("inf"))

    def drop_partial(self) -> None:
        """Nothing more comes: forget what is not whole."""
        for stream in list(self._streams.values()):
            if not stream.ended:
                self._forget(stream)

    def drop(self) -> None:
        """The connection is no more."""
        for stream in list(self._streams.values()):
            self._forget(stream)

    # ---- streams ------------------------------------------------------------------------------

    def _forget(self, stream: Stream) -> None:
        if self._streams.pop(stream.number, None) is not None:
            stream.over = True
            if stream.held:
                self.outflow.drop(stream)
            stream.leave()
            if not self._streams:
                self._emptied()

    def _remember(self, number: int, owed: int = 0) -> None:
        """Let pass what is on its way for a stream that is over; *owed* of it has come."""
        if len(self._early) >= _EARLY:
            del self._early[next(iter(self._early))]
        self._early[number] = owed

    def _refuse(self, number: int, code: Code, end: bool) -> None:
        self._write(wire.reset(number, code))
        if not end:
            self._remember(number)
        self.calm.spend()

    def _pass_over(self, number: int, block: bytes, end: bool) -> None:
        """A head that is not answered: only what it does to the table counts."""
        self.heads.skip(block)
        if not end:
            self._remember(number)
        self.calm.spend()

    def _later_head(self, number: int, block: bytes, end: bool) -> None:
        stream = self._streams.get(number)
        if stream is None:
            if number not in self._early:
                raise ConnectionBroken(Code.STREAM_CLOSED, "a head came for a stream that is over")
            if end:
                del self._early[number]
            self.heads.skip(block)
            self.calm.spend()
            return
        try:
            self.heads.read_trailers(block)
            if stream.ended:
                raise StreamBroken(Code.STREAM_CLOSED)
            if not end or stream.length not in (None, stream.got):
                raise StreamBroken(Code.PROTOCOL_ERROR)
        except StreamBroken as broken:
            self.break_off(stream, broken.code)
            return
        stream.ended = True
        stream.receive(b"", 0, 0)

    def _stray(self, number: int, size: int, end: bool) -> None:
        """A piece for a stream that is not open, and whose window is not widened any more."""
        if number > self.highest:
            raise ConnectionBroken(Code.PROTOCOL_ERROR, "DATA for a stream that has not begun")
        if number not in self._early:
            raise ConnectionBroken(Code.STREAM_CLOSED, "DATA for a stream that is over")
        if end:
            del self._early[number]
            return
        self._early[number] += size
        if self._early[number] > STREAM_WINDOW:
            raise ConnectionBroken(Code.FLOW_CONTROL_ERROR, "more came than the window of a stream")
        if not size:
            self.calm.spend()

    def _left(self, number: int, payload: bytes) -> None:
        """The client wants no answer any more."""
        wire.check(wire.RST_STREAM, 0 < number <= self.highest, len(payload) == 4)
        self._early.pop(number, None)
        stream = self._streams.get(number)
        if stream is not None:
            self._forget(stream)
        self.calm.spend()

    # ---- windows and settings -----------------------------------------------------------------

    def _widened(self, number: int, payload: bytes) -> None:
        wire.check(wire.WINDOW_UPDATE, number <= self.highest, len(payload) == 4)
        self.calm.spend()
        size = int.from_bytes(payload, "big") & wire.LARGEST_WINDOW
        stream = None if number == 0 else self._streams.get(number)
        if number and stream is None:
            return  # it crossed the end of the answer
        try:
            self.outflow.widen(stream, size)
        except StreamBroken as broken:
            if stream is not None:
                self.break_off(stream, broken.code)

    def _settings(self, flags: int, number: int, payload: bytes) -> None:
        wire.check(wire.SETTINGS, number == 0, len(payload) % 6 == 0)
        self.calm.spend()
        if flags & wire.ACK:
            wire.check(wire.SETTINGS, True, not payload)
            self.settled = True
            return
        window = wire.read_settings(payload)
        self._write(wire.frame(wire.SETTINGS, wire.ACK, 0))
        if window is not None:
            self.outflow.resize(window, list(self._streams.values()))
