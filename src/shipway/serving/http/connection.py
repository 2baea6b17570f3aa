"""One connection: answers in order, a deadline for every state, memory bounded both ways.

It stops reading while a client leaves its answers unread or asks for more than
``max_pipelined`` at once, and ends politely: the last answer, a FIN, then a short time in which
what still arrives is dropped, so that a reset does not take the answer away from the client.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import cast

from shipway.errors import DeadlineExceeded
from shipway.serving.http.exchange import Application, Clock, Exchange
from shipway.serving.http.limits import Limits
from shipway.serving.http.reading import SLICE_BYTES, RequestReader
from shipway.serving.http.responses import CONTINUE, Refusal, Responder

_NEVER = float("inf")


@dataclass(slots=True)
class Shared:
    """What all connections of a worker share."""

    application: Application
    limits: Limits
    responder: Responder
    clock: Clock
    connections: set[Connection] = field(default_factory=set)


class Connection(asyncio.Protocol):
    """The transport's side of one client; ``deadline`` is when :meth:`expire` is due.

    ``certificate`` is what the client has proved to be (``ssl.SSLSocket.getpeercert``), or None.
    """

    def __init__(self, shared: Shared) -> None:
        self.responder = shared.responder
        self.deadline = _NEVER
        self.certificate: dict[str, object] | None = None
        self._shared = shared
        self._limits = shared.limits
        self._transport: asyncio.Transport | None = None
        self._reader = RequestReader(self, shared.application, shared.limits, shared.clock)
        self._pending: deque[Exchange] = deque()
        self._backlog = bytearray()
        self._unread_answers = False
        self._at_eof = False
        self._ending = False

    @property
    def gone(self) -> bool:
        """Whether the client has left."""
        return self._transport is None

    # ---- called by the loop -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        self._transport = cast("asyncio.Transport", transport)
        self.certificate = transport.get_extra_info("peercert") or None
        self._shared.connections.add(self)
        self.deadline = self._shared.clock() + self._limits.header_timeout_s

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; what it waits for is dropped where it waits."""
        self._transport = None
        self._shared.connections.discard(self)
        self._pending.clear()

    def data_received(self, data: bytes) -> None:
        """Read requests from *data*, or keep it for when answers have gone out."""
        if self._ending:
            return
        if self._backlog or self._stalled:
            self._keep(data)
        else:
            self._read(data)

    def eof_received(self) -> bool:
        """Answer what was asked whole, then close."""
        self._at_eof = True
        return bool(self._pending)

    def pause_writing(self) -> None:
        """The client does not read its answers: take no more requests."""
        self._unread_answers = True
        self.deadline = self._shared.clock() + self._limits.write_timeout_s

    def resume_writing(self) -> None:
        """The client reads again."""
        self._unread_answers = False
        self._set_deadline()
        self._resume()

    # ---- called by the server -----------------------------------------------------------------

    def expire(self) -> None:
        """The deadline has passed: tell the client if it sent half a request, then end."""
        if self._unread_answers or self._ending:
            self.abort()
        elif self._reader.current is None:
            self._close()
        else:
            in_head, limits = self._reader.in_head, self._limits
            part = "headers" if in_head else "body"
            setting = "header_timeout_s" if in_head else "request_timeout_s"
            error = DeadlineExceeded(
                f"the {part} of the request did not arrive in {getattr(limits, setting):g} s",
                next_step=f"send faster, or raise serve.{setting}",
            )
            self._reader.give_up(Refusal(error, status=408))

    def close_if_idle(self) -> None:
        """Close unless a request is being received or answered."""
        if self._reader.current is None and not self._pending and not self._ending:
            self._close()

    def abort(self) -> None:
        """Close now, whatever is unwritten."""
        if self._transport is not None:
            self._transport.abort()

    # ---- called by the reader -----------------------------------------------------------------

    def continue_expected(self) -> None:
        """Send a 100 in its turn."""
        place = Exchange(self, 0.0)
        place.response = CONTINUE
        self._pending.append(place)
        self.flush()

    def received(self, exchange: Exchange, body: bytes | bytearray) -> None:
        """Have a whole request answered."""
        self._pending.append(exchange)
        try:
            self._shared.application.handle(exchange, body)
        except Refusal as refusal:
            self._refuse(exchange, refusal)

    def refused(self, exchange: Exchange, refusal: Refusal) -> None:
        """Answer a whole request that was not admitted."""
        self._pending.append(exchange)
        self._refuse(exchange, refusal)

    def broken(self, exchange: Exchange, refusal: Refusal) -> None:
        """Answer in its turn and end; nothing more is read from here on."""
        self._ending = True
        self._backlog.clear()
        self.deadline = self._shared.clock() + self._limits.linger_s
        self._pending.append(exchange)
        self._refuse(exchange, refusal)

    # ---- answers ------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write the answers that are ready, in the order in which they were asked for."""
        pending = self._pending
        ready: list[bytes] = []
        last = False
        while pending and not last:
            response = pending[0].response
            if response is None:
                break
            ready.append(response)
            last = pending.popleft().close
        if self._transport is None or not ready:
            return
        self._transport.write(ready[0] if len(ready) == 1 else b"".join(ready))
        if last or (self._at_eof and not pending):
            self._end()
        elif not pending:
            self._set_deadline()
        if self._backlog:
            asyncio.get_running_loop().call_soon(self._resume)

    def _refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        self._shared.application.count_refused(refusal)
        exchange.refuse(refusal)

    def _end(self) -> None:
        """All is said: send a FIN, and drop for a while what still comes."""
        self._ending = True
        self._pending.clear()
        self._backlog.clear()
        transport = self._transport
        if transport is None:
            return
        if self._at_eof or not transport.can_write_eof():
            transport.close()
            return
        transport.write_eof()
        self.deadline = self._shared.clock() + self._limits.linger_s
        if not transport.is_reading():
            transport.resume_reading()

    def _close(self) -> None:
        self._ending = True
        self.deadline = self._shared.clock() + self._limits.linger_s
        if self._transport is not None:
            self._transport.close()

    # ---- bytes --------------------------------------------------------------------------------

    @property
    def _stalled(self) -> bool:
        return self._unread_answers or len(self._pending) >= self._limits.max_pipelined

    def _read(self, data: bytes) -> None:
        if len(data) <= SLICE_BYTES:
            self._reader.feed(data)
        else:
            view = memoryview(data)
            for start in range(0, len(data), SLICE_BYTES):
                if self._ending:
                    break
                if self._stalled:
                    self._keep(view[start:])
                    break
                self._reader.feed(view[start : start + SLICE_BYTES])
        self._set_deadline()

    def _keep(self, data: bytes | memoryview) -> None:
        self._backlog += data
        if self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._ending or self._stalled:
            return
        if self._backlog:
            data = bytes(self._backlog)
            self._backlog.clear()
            self._read(data)
        if self._transport is not None and not self._backlog and not self._transport.is_reading():
            self._transport.resume_reading()

    def _set_deadline(self) -> None:
        if self._ending or self._unread_answers:
            return
        exchange, limits = self._reader.current, self._limits
        if exchange is not None:
            in_head = self._reader.in_head
            allowed = limits.header_timeout_s if in_head else limits.request_timeout_s
            self.deadline = exchange.started + allowed
        elif self._pending:
            self.deadline = _NEVER
        else:
            self.deadline = self._shared.clock() + limits.keep_alive_s
