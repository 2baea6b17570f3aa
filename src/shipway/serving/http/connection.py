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

from shipway.errors import DeadlineExceeded, Overloaded
from shipway.security.certificates import PeerCertificate, peer_certificate
from shipway.serving.http.bodies import BodyReader, Room
from shipway.serving.http.exchange import Application, Clock, Exchange
from shipway.serving.http.limits import Limits
from shipway.serving.http.reading import RequestReader
from shipway.serving.http.responses import CONTINUE, Refusal, Responder

_NEVER = float("inf")
_HALF_CLOSE_S = 0.25
"""Who shuts its side this soon after asking has said all; who does so later has left."""


@dataclass(slots=True)
class Shared:
    """What all connections of a worker share."""

    application: Application
    limits: Limits
    responder: Responder
    clock: Clock
    connections: set[Connection] = field(default_factory=set)
    room: Room = field(init=False)

    def __post_init__(self) -> None:
        self.room = Room(self.limits.max_receiving_bytes)


class Connection(asyncio.Protocol):
    """The transport's side of one client; ``deadline`` is when :meth:`expire` is due.

    ``certificate`` is the one that the client has shown and TLS has verified, or None.
    """

    def __init__(self, shared: Shared) -> None:
        self.responder = shared.responder
        self.certificate: PeerCertificate | None = None
        self.deadline = _NEVER
        self._shared = shared
        self._limits = shared.limits
        self._application = shared.application
        self._clock = shared.clock
        self._transport: asyncio.Transport | None = None
        self._reader = RequestReader(
            self, shared.application, shared.limits, shared.clock, shared.room
        )
        self._pending: deque[Exchange] = deque()
        self._backlog = b""
        self._backlog_at = 0
        self._resuming = False
        self._unread_answers = False
        self._at_eof = False
        self._ending = False

    @property
    def gone(self) -> bool:
        """Whether the client has left."""
        return self._transport is None

    @property
    def full(self) -> bool:
        """Whether no further request is to be read before an answer has gone out."""
        return (
            self._unread_answers or self._ending or len(self._pending) >= self._limits.max_pipelined
        )

    def end_after(self, exchange: Exchange) -> bool:
        """Read nothing more if nothing was asked after *exchange*; whether that is so."""
        reader, pending = self._reader, self._pending
        asked = self._backlog or reader.more or reader.started is not None
        if asked or (pending and pending[-1] is not exchange):
            return False
        reader.finish()
        return True

    # ---- called by the loop -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request; one connection too many is told so."""
        self._transport = cast("asyncio.Transport", transport)
        self.certificate = peer_certificate(transport.get_extra_info("peercert"))
        connections, limit = self._shared.connections, self._limits.max_connections
        connections.add(self)
        self.deadline = self._clock() + self._limits.header_timeout_s
        if len(connections) > limit:
            error = Overloaded(
                f"there are {limit} connections already",
                next_step="try again after Retry-After seconds, or raise serve.max_connections",
                retry_after_s=1,
            )
            self._reader.give_up(Refusal(error))

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; what it waits for is dropped where it waits."""
        self._transport = None
        self._shared.connections.discard(self)
        self._pending.clear()
        self._backlog = b""
        self._reader.drop()

    def data_received(self, data: bytes) -> None:
        """Read requests from *data*, or keep it for when answers have gone out."""
        if self._ending:
            return
        if self._backlog:
            self._keep(self._backlog[self._backlog_at :] + data, 0)
        elif self.full:
            self._keep(data, 0)
        else:
            self._read(data, 0)

    def eof_received(self) -> bool:
        """Answer what was asked whole, then close; at once if nobody waits for it any more."""
        self._at_eof = True
        if not self._pending or self._ending:
            return bool(self._pending)
        return self._clock() - self._pending[-1].received < _HALF_CLOSE_S

    def pause_writing(self) -> None:
        """The client does not read its answers: take no more requests."""
        self._unread_answers = True
        self.deadline = self._clock() + self._limits.write_timeout_s

    def resume_writing(self) -> None:
        """The client reads again."""
        self._unread_answers = False
        if self._reader.body is not None:
            self._reader.body.began = self._clock()  # it could not be read meanwhile
        self._set_deadline()
        self._resume()

    # ---- called by the server -----------------------------------------------------------------

    def expire(self) -> None:
        """The deadline has passed: tell the client if it sent half a request, then end."""
        reader = self._reader
        if self._unread_answers or self._ending:
            self.abort()
        elif reader.started is not None:
            reader.give_up(Refusal(self._too_slow(reader.started), status=408))
        elif self._pending:
            self._answer_late()
        else:
            self._close()

    def close_if_idle(self) -> None:
        """Close unless a request is being received or answered."""
        if self._reader.started is None and not self._pending and not self._ending:
            self._close()

    def abort(self) -> None:
        """Close now, whatever is unwritten."""
        if self._transport is not None:
            self._transport.abort()

    # ---- called by the reader -----------------------------------------------------------------

    def continue_expected(self) -> None:
        """Send a 100 in its turn."""
        place = Exchange(self, 0.0)
        place.close, place.response, place.answered = False, CONTINUE, True
        self._pending.append(place)
        self.flush()

    def received(self, exchange: Exchange, body: bytes | bytearray) -> None:
        """Have a whole request answered."""
        self._pending.append(exchange)
        try:
            self._application.handle(exchange, body)
        except Refusal as refusal:
            self._refuse(exchange, refusal)

    def refused(self, exchange: Exchange, refusal: Refusal) -> None:
        """Answer a whole request that was not admitted."""
        self._pending.append(exchange)
        self._refuse(exchange, refusal)

    def broken(self, exchange: Exchange, refusal: Refusal) -> None:
        """Answer in its turn and end; nothing more is read from here on."""
        self._stop_reading()
        self._pending.append(exchange)
        self._refuse(exchange, refusal)

    # ---- answers ------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write the answers that are ready, in the order in which they were asked for."""
        pending, transport = self._pending, self._transport
        if len(pending) == 1 and transport is not None and not self._at_eof:
            exchange = pending[0]
            response = exchange.response
            if response is not None and not exchange.close:
                pending.clear()
                transport.write(response)
                self._go_on()
                return
        self._flush_all()

    def _flush_all(self) -> None:
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
        else:
            self._go_on()

    def _go_on(self) -> None:
        """What was asked is answered, or a part of it: read what was kept."""
        self._set_deadline()
        if self._backlog:
            self._resume_soon()

    def _refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        self._application.count_refused(refusal)
        exchange.refuse(refusal)

    def _answer_late(self) -> None:
        """The first request that waits is past its deadline, and its answer not there yet."""
        error = DeadlineExceeded(
            "the answer was not there when the time for it was over",
            next_step="send smaller requests, or raise serve.request_timeout_s",
        )
        self._refuse(self._pending[0], Refusal(error))

    def _end(self) -> None:
        """All is said: send a FIN, and drop for a while what still comes."""
        self._stop_reading()
        self._pending.clear()
        transport = self._transport
        if transport is None:
            return
        if self._at_eof or not transport.can_write_eof():
            transport.close()
            return
        transport.write_eof()
        if not transport.is_reading():
            transport.resume_reading()

    def _close(self) -> None:
        self._stop_reading()
        if self._transport is not None:
            self._transport.close()

    def _stop_reading(self) -> None:
        self._ending = True
        self._backlog = b""
        self.deadline = self._clock() + self._limits.linger_s

    # ---- bytes --------------------------------------------------------------------------------

    def _read(self, data: bytes, at: int) -> None:
        stop = self._reader.feed(data, at)
        if stop < len(data):
            self._keep(data, stop)
            if not self.full:
                self._resume_soon()
        self._set_deadline()

    def _keep(self, data: bytes, at: int) -> None:
        """Read nothing more until *data* from *at* on is read."""
        if self._ending:
            return
        self._backlog, self._backlog_at = data, at
        if self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()

    def _resume_soon(self) -> None:
        if not self._resuming:
            self._resuming = True
            asyncio.get_running_loop().call_soon(self._resume)

    def _resume(self) -> None:
        self._resuming = False
        if self._ending or self.full:
            return
        if self._backlog:
            data, self._backlog = self._backlog, b""
            self._read(data, self._backlog_at)
        if self._transport is not None and not self._backlog and not self._transport.is_reading():
            self._transport.resume_reading()

    def _set_deadline(self) -> None:
        if self._ending or self._unread_answers:
            return
        reader, limits = self._reader, self._limits
        if reader.started is not None:
            if reader.body is None:
                self.deadline = reader.started + limits.header_timeout_s
            else:
                allowed = reader.started + limits.request_timeout_s
                self.deadline = min(allowed, self._rate_due(reader.body))
        elif self._pending:
            self.deadline = self._pending[0].deadline
        else:
            self.deadline = self._clock() + limits.keep_alive_s

    def _rate_due(self, body: BodyReader) -> float:
        """When *body*, with what has come of it, will have become too slow."""
        limits = self._limits
        paid_s = body.wire_bytes / limits.min_receive_rate
        return body.began + limits.receive_grace_s + paid_s

    def _too_slow(self, started: float) -> DeadlineExceeded:
        limits, body = self._limits, self._reader.body
        if body is not None and self._rate_due(body) < started + limits.request_timeout_s:
            return DeadlineExceeded(
                f"the body came at less than {limits.min_receive_rate} bytes a second",
                next_step="send faster, or lower serve.min_receive_rate",
            )
        part = "headers" if body is None else "body"
        setting = "header_timeout_s" if body is None else "request_timeout_s"
        return DeadlineExceeded(
            f"the {part} of the request did not arrive in {getattr(limits, setting):g} s",
            next_step=f"send faster, or raise serve.{setting}",
        )
