"""One connection of HTTP/2: a deadline for every state, memory bounded both ways, a polite end.

A client is told to go elsewhere in two steps: first that the end is near, while what it has sent
meanwhile is still taken; then, once it must have heard that, which stream was the last. Nothing
that crosses the word on its way is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from shipway.security.certificates import peer_certificate
from shipway.serving.http.bodies import Room
from shipway.serving.http.limits import Limits
from shipway.serving.http2 import wire
from shipway.serving.http2.conversation import Application, Conversation, Manners
from shipway.serving.http2.wire import Code, ConnectionBroken

_NEVER = float("inf")
_FAREWELL = b"farewell"
_ALIVE = b"stillyou"
_FAREWELL_S = 1.0
_PROTOCOL = "h2"
_HALF_CLOSE_S = 0.25
"""Who shuts its side this soon after asking has said all; who does so later has left."""


@dataclass(slots=True)
class Shared:
    """What all connections of a port share; ``closing`` says that clients are to go elsewhere."""

    application: Application
    limits: Limits
    manners: Manners
    room: Room
    clock: Callable[[], float]
    connections: set[Connection] = field(default_factory=set)
    closing: bool = False


class Connection(asyncio.Protocol):
    """The transport's side of one client; ``deadline`` is when :meth:`expire` is due."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._limits = shared.limits
        self._clock = shared.clock
        self._transport: asyncio.Transport | None = None
        self._talk: Conversation | None = None
        self._due = _NEVER
        self._made = 0.0
        self._heard = 0.0
        self._partial_since: float | None = None
        self._paused_since: float | None = None
        self._asked_alive: float | None = None
        self._warned: float | None = None
        self._at_eof = False
        self._reading = False
        self._ending = False

    @property
    def deadline(self) -> float:
        """When something is to be looked at."""
        talk = self._talk
        return self._due if talk is None or self._ending else min(self._due, talk.deadline)

    # ---- called by the loop -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the client; one connection too many is told so."""
        self._transport = cast("asyncio.Transport", transport)
        shared, limit = self._shared, self._limits.max_connections
        shared.connections.add(self)
        self._made = self._heard = self._clock()
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() != _PROTOCOL:
            self.abort()  # a client that does not know HTTP/2 would not understand a word either
            return
        self._talk = talk = Conversation(
            shared.application,
            self._limits,
            shared.manners,
            shared.room,
            clock=self._clock,
            write=self._transport.write,
            acknowledged=self._acknowledged,
            emptied=self._end_if_empty,
            certificate=peer_certificate(transport.get_extra_info("peercert")),
        )
        self._transport.write(talk.greeting())
        if len(shared.connections) > limit:
            self._break(
                Code.ENHANCE_YOUR_CALM,
                f"there are {limit} connections already; try again in a second,"
                " or raise serve.max_connections",
            )
        else:
            self._reckon(self._made)
            if shared.closing:
                self.close_if_idle()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; what it waits for is dropped where it waits."""
        self._transport = None
        self._ending = True
        self._shared.connections.discard(self)
        if self._talk is not None:
            self._talk.drop()

    def data_received(self, data: bytes) -> None:
        """Read what came."""
        talk = self._talk
        if self._ending or talk is None:
            return
        talk.now = self._heard = self._clock()
        reader = talk.reader
        self._reading = True
        try:
            reader.feed(data)
        except ConnectionBroken as broken:
            self._break(broken.code, broken.text)
            return
        finally:
            self._reading = False
        if not reader.incomplete:
            self._partial_since = None
        elif self._partial_since is None or (reader.moved and not reader.in_head):
            self._partial_since = talk.now
            self._due = min(self._due, talk.now + self._limits.header_timeout_s)
        if talk.last != wire.LARGEST_ID:
            self._end_if_empty()

    def eof_received(self) -> bool:
        """Answer what was asked whole, then close; at once if nobody waits for it any more."""
        self._at_eof = True
        talk = self._talk
        if talk is None or self._ending:
            return False
        talk.drop_partial()
        return not talk.empty and self._clock() - talk.asked < _HALF_CLOSE_S

    def pause_writing(self) -> None:
        """The client does not read: read nothing of it either, and hold what is for it."""
        self._paused_since = now = self._clock()
        self._due = min(self._due, now + self._limits.write_timeout_s)
        if self._talk is not None and self._transport is not None and not self._ending:
            self._talk.outflow.paused = True
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._paused_since = None
        talk = self._talk
        if talk is None or self._transport is None or self._ending:
            return
        talk.now = self._clock()
        if self._partial_since is not None:
            self._partial_since = talk.now  # it could not be read meanwhile
        talk.outflow.paused = False
        self._transport.resume_reading()
        talk.outflow.go_on()
        self._end_if_empty()

    # ---- called by the server -----------------------------------------------------------------

    def expire(self) -> None:
        """Something is due: tell the client, end what is over, look when the next is."""
        talk, now = self._talk, self._clock()
        if talk is None or self._ending or self._unread(now):
            self.abort()
            return
        late = self._late(talk, now)
        if late is not None:
            self._break(*late)
            return
        try:
            talk.expire(now)
        except ConnectionBroken as broken:
            self._break(broken.code, broken.text)
        if self._is_over():
            return
        self._ask_if_alive(talk, now)
        if talk.empty and now >= talk.asked + self._shared.manners.max_idle_s:
            self.close_if_idle()
        if self._warned is not None and now >= self._warned + _FAREWELL_S:
            self._say_last(talk)
        self._reckon(now)
        self._end_if_empty()

    def close_if_idle(self) -> None:
        """Tell the client to go elsewhere; what it has asked, and asks meanwhile, is answered."""
        talk = self._talk
        if talk is None or self._ending or self._warned is not None or self._transport is None:
            return
        self._warned = self._clock()
        self._due = min(self._due, self._warned + _FAREWELL_S)
        near = wire.goaway(wire.LARGEST_ID, Code.NO_ERROR)
        self._transport.write(near + wire.frame(wire.PING, 0, 0, _FAREWELL))

    def abort(self) -> None:
        """Close now, whatever is unwritten."""
        if self._transport is not None:
            self._transport.abort()

    # ---- the end ------------------------------------------------------------------------------

    def _acknowledged(self, payload: bytes) -> None:
        talk = self._talk
        if payload == _FAREWELL and self._warned is not None and talk is not None:
            self._say_last(talk)

    def _say_last(self, talk: Conversation) -> None:
        """The client knows that it is to go: what begins from here on is not answered."""
        if talk.last == wire.LARGEST_ID and self._transport is not None:
            talk.last = talk.highest
            self._transport.write(wire.goaway(talk.last, Code.NO_ERROR))

    def _end_if_empty(self) -> None:
        talk = self._talk
        if talk is None or self._reading or not talk.empty or self._transport is None:
            return
        if talk.last != wire.LARGEST_ID or self._at_eof:
            self._end()

    def _break(self, code: Code, text: str) -> None:
        """Say why nothing goes on, and end."""
        talk, transport = self._talk, self._transport
        if talk is None or transport is None or self._ending:
            return
        transport.write(wire.goaway(talk.highest, code, text))
        talk.drop()
        self._end()

    def _end(self) -> None:
        """All is said: send a FIN, and drop for a while what still comes."""
        transport = self._transport
        if self._ending or transport is None:
            return
        self._ending = True
        self._due = self._clock() + self._limits.linger_s
        if self._at_eof or not transport.can_write_eof():
            transport.close()
            return
        transport.write_eof()
        if not transport.is_reading():
            transport.resume_reading()

    def _is_over(self) -> bool:
        return self._ending

    # ---- deadlines ----------------------------------------------------------------------------

    def _unread(self, now: float) -> bool:
        since = self._paused_since
        return since is not None and now >= since + self._limits.write_timeout_s

    def _late(self, talk: Conversation, now: float) -> tuple[Code, str] | None:
        """What of the connection itself did not come in time."""
        allowed = self._limits.header_timeout_s
        since = self._partial_since
        if now >= self._made + allowed and not talk.settled:
            if talk.reader.begun:
                what = "the acknowledgement of SETTINGS"
                return Code.SETTINGS_TIMEOUT, _not_in_time(what, allowed)
            return Code.PROTOCOL_ERROR, _not_in_time("the preface and SETTINGS", allowed)
        if since is not None and now >= since + allowed:
            return Code.ENHANCE_YOUR_CALM, _not_in_time("a head or a frame", allowed)
        return None

    def _ask_if_alive(self, talk: Conversation, now: float) -> None:
        """Ping who has been silent while it waits for answers; cut who does not answer that."""
        keepalive_s = self._shared.manners.keepalive_s
        if talk.empty or self._heard > now - keepalive_s or self._transport is None:
            self._asked_alive = None
        elif self._asked_alive is None:
            self._asked_alive = now
            self._transport.write(wire.frame(wire.PING, 0, 0, _ALIVE))
        elif now >= self._asked_alive + keepalive_s / 3:
            self.abort()

    def _reckon(self, now: float) -> None:
        """When to look again, whatever the streams say."""
        limits, manners, talk = self._limits, self._shared.manners, self._talk
        if self._ending or talk is None:
            return
        dues = [now + manners.keepalive_s / 3]
        if not (talk.reader.begun and talk.settled):
            dues.append(self._made + limits.header_timeout_s)
        if self._partial_since is not None:
            dues.append(self._partial_since + limits.header_timeout_s)
        if self._paused_since is not None:
            dues.append(self._paused_since + limits.write_timeout_s)
        if self._warned is not None and talk.last == wire.LARGEST_ID:
            dues.append(self._warned + _FAREWELL_S)
        self._due = min(dues)


def _not_in_time(what: str, allowed: float) -> str:
    return f"{what} did not arrive in {allowed:g} s; send faster, or raise serve.header_timeout_s"
