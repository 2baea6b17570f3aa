"""Bytes in, whole requests out: strict HTTP/1.1 with every size bounded.

``grammar`` reads heads and ``bodies`` what belongs to them; here one request follows the other.
A client that keeps its connection repeats its heads, the length apart; such a head is recognised
and not read again. Memory is bounded by the limits whatever arrives, and so is the work of one
turn of the loop.
"""

from __future__ import annotations

import re
from time import time_ns
from typing import NamedTuple, Protocol

from shipway.serving.http.bodies import BodyReader, Room
from shipway.serving.http.coding import Unpacker, not_acceptable, unpacker
from shipway.serving.http.exchange import Application, Channel, Clock, Exchange
from shipway.serving.http.grammar import (
    CHUNKED,
    Head,
    check_part,
    malformed,
    read_head,
)
from shipway.serving.http.limits import Limits
from shipway.serving.http.responses import Refusal

_TURN_WORK = 2000  # about as many microseconds
_REQUEST_WORK = 30
_REMEMBERED_HEAD = 4096
_TRIES = 16
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*+([0-9]++)", re.IGNORECASE)


class Recipient(Channel, Protocol):
    """Who is told what was read."""

    @property
    def full(self) -> bool:
        """Whether no further request is to be read now."""

    def continue_expected(self) -> None:
        """The client waits for a 100 before it sends the body."""

    def received(self, exchange: Exchange, body: bytes | bytearray) -> None:
        """A whole request that was admitted."""

    def refused(self, exchange: Exchange, refusal: Refusal) -> None:
        """A whole request that is not to be handled; the connection goes on."""

    def broken(self, exchange: Exchange, refusal: Refusal) -> None:
        """What cannot be read on; nothing more is read."""


class _Known(NamedTuple):
    """A head met before: what is before the digits of its length, and after them."""

    begin: bytes
    rest: bytes | None
    head: Head


class RequestReader:
    """Reads one request after the other from one connection.

    ``started`` is when the first byte of the request that is being read came, None between
    requests; ``body`` is its body once its head is there. ``more`` says that bytes follow the
    request just read.
    """

    def __init__(
        self,
        recipient: Recipient,
        application: Application,
        limits: Limits,
        clock: Clock,
        room: Room,
    ) -> None:
        self.started: float | None = None
        self.body: BodyReader | None = None
        self.more = False
        self._recipient = recipient
        self._application = application
        self._limits = limits
        self._clock = clock
        self._room = room
        self._known: _Known | None = None
        self._read_heads = 0
        self._partial = bytearray()
        self._cr = self._blank = False
        self._finished = False
        self._work = 0
        self._exchange: Exchange | None = None

    def feed(self, data: bytes, at: int = 0) -> int:
        """Read *data* from *at* on, and tell the recipient; the place where reading stopped.

        That is the end, unless the recipient is full or this turn has worked enough.
        """
        end = len(data)
        self._work = 0
        try:
            while at < end:
                at = (self.started is None and self._again(data, at, end)) or self._read(
                    data, at, end
                )
                if at < end and (self._work > _TURN_WORK or self._recipient.full):
                    break
        except Refusal as refusal:
            self.give_up(refusal)
            return end
        return at

    def give_up(self, refusal: Refusal) -> None:
        """End the request that is being read, if any, with *refusal*."""
        exchange = self._exchange or Exchange(self._recipient, self._clock())
        self._begin_anew()
        self.finish()
        refusal.close = True
        self._recipient.broken(exchange, refusal)

    # ---- heads --------------------------------------------------------------------------------

    def _again(self, data: bytes, at: int, end: int) -> int:
        """Read a whole request whose head is known; 0 if this is not one."""
        known = self._known
        if known is None or not data.startswith(known.begin, at):
            return 0
        begin, rest, head = known
        stop = at + len(begin)
        body = b""
        if rest is not None:
            mark = data.find(b"\r", stop, stop + 11)
            digits = data[stop:mark]
            if mark < 0 or not digits.isdigit() or not data.startswith(rest, mark):
                return 0
            at, size = mark + len(rest), int(digits)
            stop = at + size
            if stop > end or size > self._limits.max_body_bytes:
                return 0
            body = data[at:stop]
        now = self._clock()
        exchange = Exchange(self._recipient, now, head)
        exchange.received_at_ns = time_ns()
        self.more = stop < end
        self._work += _REQUEST_WORK
        self._blank = False
        try:
            self._application.admit(exchange)
        except Refusal as refusal:
            if refusal.close:
                self.finish()
                self._recipient.broken(exchange, refusal)
                return end
            self._recipient.refused(exchange, refusal)
        else:
            self._recipient.received(exchange, body)
        return stop

    def _read(self, data: bytes, at: int, end: int) -> int:
        """Read one step further: a head, a blank line before it, or what there is of a body."""
        if self._finished:
            return end
        if self.body is not None:
            return self._read_body(self.body, data, at, end)
        if not self._partial and (self._cr or data[at] in b"\r\n"):
            self._skip_blank(data[at])
            return at + 1
        return self._read_head(data, at, end)

    def _skip_blank(self, byte: int) -> None:
        """One empty line before a request is passed over (RFC 9112, 2.2), and no more."""
        if self._blank or byte != (10 if self._cr else 13):
            raise malformed("there is more than an empty line before the request")
        if self._cr:
            self._cr, self._blank, self.started = False, True, None
        else:
            self._cr, self.started = True, self._clock()

    def _read_head(self, data: bytes, at: int, end: int) -> int:
        partial, limit = self._partial, self._limits.max_head_bytes
        if self.started is None:
            self.started = self._clock()
        before = len(partial)
        if before:
            partial += memoryview(data)[at : at + limit + 1]
            found = partial.find(b"\r\n\r\n", max(0, before - 3), limit)
        else:
            found = data.find(b"\r\n\r\n", at, at + limit) - at
            if found < 0:
                partial += memoryview(data)[at : at + limit + 1]
        if found < 0:
            check_part(partial, before, self._limits)
            return end
        size = found + 4
        raw = bytes(partial[:size]) if before else data[at : at + size]
        partial.clear()
        stop = at + size - before
        self._blank = False
        self._work += _REQUEST_WORK
        return self._begin_body(read_head(raw, self._limits), raw, data, stop, end)

    def _begin_body(self, head: Head, raw: bytes, data: bytes, at: int, end: int) -> int:
        """The head is whole: refuse what is not admitted, and take a body that is there already."""
        exchange = self._exchange = Exchange(self._recipient, self.started or 0.0, head)
        unpacking: Unpacker | None = None
        refused: Refusal | None = None
        try:
            self._application.admit(exchange)
            unpacking = _codings(head)
        except Refusal as refusal:
            if refusal.close or head.expects:
                raise
            refused = refusal
        else:
            if head.expects:
                self._recipient.continue_expected()
            elif not head.close and unpacking is None:
                self._remember(head, raw)
        stop = at + head.size
        if at <= stop <= end and unpacking is None and not head.expects:
            self.more = stop < end
            self._complete(exchange, data[at:stop], refused)
            return stop
        self.body = BodyReader(head, self._limits, self._room, self._clock(), unpacking)
        self.body.refusal = refused
        return at

    def _remember(self, head: Head, raw: bytes) -> None:
        """Recognise this head from now on.

        Not the first, which may be all that there is; and not for long where all heads differ.
        """
        self._read_heads += 1
        if not 1 < self._read_heads <= _TRIES:
            return
        if head.size == CHUNKED or len(raw) > _REMEMBERED_HEAD:
            return
        found = _LENGTH.search(raw)
        if found is None:
            self._known = _Known(raw, None, head)
        else:
            self._known = _Known(raw[: found.start(1)], raw[found.end(1) :], head)

    # ---- bodies -------------------------------------------------------------------------------

    def _read_body(self, body: BodyReader, data: bytes, at: int, end: int) -> int:
        before = body.work
        stop = body.feed(data, at, end)
        self._work += body.work - before
        if body.whole and self._exchange is not None:
            self.more = stop < end
            self._complete(self._exchange, body.value, body.refusal)
        return stop

    def _complete(
        self, exchange: Exchange, body: bytes | bytearray, refusal: Refusal | None
    ) -> None:
        """The request is whole."""
        exchange.received = self._clock()
        exchange.received_at_ns = time_ns()
        self._begin_anew()
        if exchange.close:
            self.finish()
        if refusal is None:
            self._recipient.received(exchange, body)
        else:
            self._recipient.refused(exchange, refusal)

    def finish(self) -> None:
        """Read nothing more on this connection, not even what looks known."""
        self._finished, self._known = True, None

    def drop(self) -> None:
        """Hold nothing any more, not even the recipient: the client has left."""
        self._begin_anew()
        self.finish()
        # Each knows the other: left so, both would stay until the next collection of garbage.
        del self._recipient

    def _begin_anew(self) -> None:
        if self.body is not None:
            self.body.release()
        self.started = self.body = self._exchange = None
        self._partial.clear()


def _codings(head: Head) -> Unpacker | None:
    """How a body is to be unpacked; raises Refusal if it cannot, or an answer not be packed."""
    if head.special and head.accepted.must and head.accepted.coding is None:
        raise not_acceptable()
    coding = head.headers.get(b"content-encoding")
    return None if coding is None or not head.size else unpacker(coding)
