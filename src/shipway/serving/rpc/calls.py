"""One call: messages out of a stream's bytes, and its answer back into them.

A unary call is a place in the batches of a model like a request over HTTP; it needs no task of its
own. Its message is given on when the client has sent all of it, and never before the caller is
known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import time_ns
from typing import NamedTuple, Protocol

from shipway.errors import DeadlineExceeded, MalformedRequest, ShipwayError
from shipway.inference.predictor import Answer, Outcome
from shipway.security.policy import Scope
from shipway.serving.access import Access
from shipway.serving.http.limits import Limits
from shipway.serving.http2.conversation import Conversation
from shipway.serving.http2.heads import Head
from shipway.serving.http2.streams import NOTHING, Stream
from shipway.serving.protocols.decoded import Writer, Written
from shipway.serving.rpc.blocks import HEAD, WELL, refusal
from shipway.serving.rpc.gathering import PREFIX, Gathering, Unpacking
from shipway.serving.rpc.refusing import CallRefused, Room, failed, unread

_NEVER = float("inf")
STREAMED_BYTES = 64 * 1024
"""The largest message of a call that streams: names and questions, no data."""


class Unary(NamedTuple):
    """A method that answers one message with one: ``scope`` None lets anybody call it.

    ``answer`` gives the answer, an error that was counted already, or None where it comes later.
    ``bare`` says that the message is not even waited for. An error that is raised is counted at
    the door.
    """

    scope: Scope | None
    answer: Callable[[Call, bytes], bytes | ShipwayError | None]
    bare: bool = False


class Streaming(NamedTuple):
    """A method that hears messages as they come, and may never end by itself.

    ``ended`` hears that the client has sent all, ``left`` that the call is over.
    """

    scope: Scope
    hear: Callable[[Call, bytes], None]
    ended: Callable[[Call], None]
    left: Callable[[Call], None]


Method = Unary | Streaming


class Asked:
    """What a head asks for; a connection that repeats its head asks for the same.

    ``refused`` is why it is not answered, whoever asks. Who asked is remembered for a moment, by
    one set of keys: so short that it hardly prolongs a key or a token.
    """

    __slots__ = ("access", "caller", "method", "packed", "refused", "timeout_s", "unary", "until")

    def __init__(self, method: Method) -> None:
        self.method = method
        self.unary = isinstance(method, Unary)
        self.timeout_s = _NEVER
        self.packed = False
        self.refused: CallRefused | None = None
        self.access: Access | None = None
        self.caller = ""
        self.until = 0.0


class Keeper(Protocol):
    """The door, as a call sees it."""

    limits: Limits

    def begin(self, call: Call) -> None:
        """Let *call* in, or answer it."""

    def take(self, call: Call, body: bytes) -> None:
        """Hand a message on."""

    def ended(self, call: Call) -> None:
        """The client of a call that streams has sent all."""

    def left(self, call: Call) -> None:
        """A call that streams is over."""

    def refuse(self, call: Call, refused: ShipwayError | CallRefused) -> None:
        """Count an error and tell it."""


class Call(Stream):
    """One call; ``caller`` is empty where nobody was asked.

    ``asked`` is what its head asks for, ``started`` when that came, ``received`` when the message
    was whole. The method sets ``write``, which makes the message of an answer, or answers itself.
    """

    __slots__ = (
        "_begun",
        "_door",
        "_gathering",
        "_message",
        "asked",
        "caller",
        "head",
        "received",
        "received_at_ns",
        "room",
        "started",
        "talk",
        "waiting",
        "write",
    )

    def __init__(self, door: Keeper, talk: Conversation, number: int, head: Head) -> None:
        super().__init__(talk, number)
        self.talk = talk
        self.head = head
        self.asked: Asked | None = None
        self.caller = ""
        self.room: Room | None = None
        self.started = self.received = talk.now
        self.received_at_ns = 0
        self.waiting = False
        self.write: Writer = _unwritten
        self._door = door
        self._begun = False
        self._gathering: Gathering | None = None
        self._message: tuple[bool, bytes] | None = None

    # ---- what comes ---------------------------------------------------------------------------

    def begin(self) -> None:
        """Ask the door who is calling; then the message must come, in its time and at its pace."""
        self._door.begin(self)
        if self.over:
            return
        self.deadline = self._due()
        if self.ended:
            self.receive(b"", 0, 0)

    def receive(self, data: bytes, at: int, stop: int) -> None:
        """Take a piece of a message; give it on when it is whole."""
        asked = self.asked
        if asked is None:
            return
        start = at + PREFIX
        if self.ended and self._gathering is None and start <= stop and asked.unary:
            size = int.from_bytes(data[at + 1 : start], "big")
            if data[at] == 0 and start + size == stop and size <= self._door.limits.max_body_bytes:
                self._give(data[start:stop])
                return
        try:
            self._gather(asked, data[at:stop])
        except ShipwayError as error:
            self._door.refuse(self, error)

    def leave(self) -> None:
        """Give back what the call took."""
        room, self.room = self.room, None
        if room is not None:
            room.now -= 1
        if self._gathering is not None:
            self._gathering.release()
            self._gathering = None
        self._message = None
        if self.asked is not None and not self.asked.unary:
            self._door.left(self)

    def expire(self, now: float) -> None:
        """The deadline has passed, or what has come is to be looked at."""
        if not self.waiting:
            self.deadline = self._due()
            if now < self.deadline:
                return
        self._door.refuse(self, self._too_late(now))

    # ---- the answer ---------------------------------------------------------------------------

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self.over

    def settle(self, outcome: Outcome) -> None:
        """Answer with *outcome*, as ``write`` has it."""
        if self.over:
            return
        if not isinstance(outcome, Answer):
            self.refuse(CallRefused(outcome))
            return
        try:
            body = self.write(outcome).body
        except Exception as error:  # an outermost loop: the others of the batch must be answered
            self._door.refuse(self, failed(error))
            return
        self.answer(body)

    def answer(self, body: bytes) -> None:
        """Answer with one message, and end well."""
        self.talk.outflow.send(self, HEAD, _framed(body), WELL)

    def say(self, body: bytes) -> None:
        """Send a message and go on; a client that leaves too much unread is refused."""
        if len(self.held) - self.held_at > STREAMED_BYTES:
            self._door.refuse(self, unread(STREAMED_BYTES))
            return
        head = NOTHING if self._begun else HEAD
        self._begun = True
        self.talk.outflow.send(self, head, _framed(body), None)

    def finish(self) -> None:
        """End well after what was said."""
        head = NOTHING if self._begun else HEAD
        self._begun = True
        self.talk.outflow.send(self, head, b"", WELL)

    def refuse(self, told: CallRefused) -> None:
        """End with an error."""
        block = refusal(told.error, told.code, begun=self._begun)
        if self._begun:
            self.talk.outflow.send(self, NOTHING, b"", block)
        else:
            self.talk.outflow.send_head_alone(self, block)

    # ---- messages -----------------------------------------------------------------------------

    def _gather(self, asked: Asked, piece: bytes) -> None:
        limits = self._door.limits
        gathering = self._gathering
        if gathering is None:
            most = limits.max_body_bytes if asked.unary else STREAMED_BYTES
            gathering = Gathering(limits, self.talk.room, most, packed=asked.packed)
            self._gathering = gathering
        for message in gathering.feed(piece):
            if not asked.unary:
                self._hear(message)
            elif self._message is None:
                self._message = message
            else:
                raise MalformedRequest("the call came with two messages", next_step="send one")
            if self.over:
                return
        if self.ended:
            self._end(asked, gathering)

    def _end(self, asked: Asked, gathering: Gathering) -> None:
        """The client has sent all."""
        if gathering.cut_short:
            raise MalformedRequest("the message is cut short", next_step="send it whole")
        if not asked.unary:
            self._door.ended(self)
            return
        if self._message is None:
            raise MalformedRequest("the call came without a message", next_step="send one")
        packed, message = self._message
        if packed:
            self._unpack(Unpacking(message, self._door.limits.max_body_bytes))
        else:
            self._give(message)

    def _hear(self, message: tuple[bool, bytes]) -> None:
        """One of many messages, none of which is large."""
        packed, body = message
        if self.tail is not None:  # it has ended, and the end is not let out yet
            return
        if packed:
            unpacked = Unpacking(body, STREAMED_BYTES).turn()
            if unpacked is None:
                return
            body = unpacked
        self._give(body)

    def _unpack(self, unpacking: Unpacking) -> None:
        if self.over:
            return
        try:
            body = unpacking.turn()
        except ShipwayError as error:
            self._door.refuse(self, error)
            return
        if body is None:
            asyncio.get_running_loop().call_soon(self._unpack, unpacking)
        else:
            self._give(body)

    def _give(self, body: bytes) -> None:
        asked, talk = self.asked, self.talk
        if asked is None:
            return
        self.waiting = True
        self.received = talk.now
        self.received_at_ns = time_ns()
        self.deadline = self.started + asked.timeout_s
        if asked.unary:
            allowed = self.received + self._door.limits.request_timeout_s
            self.deadline = min(self.deadline, allowed)
        talk.deadline = min(talk.deadline, self.deadline)
        self._door.take(self, body)

    # ---- time ---------------------------------------------------------------------------------

    def _due(self) -> float:
        """When the message, with what has come of it, will be late."""
        limits, asked = self._door.limits, self.asked
        allowed = limits.request_timeout_s
        if asked is None:
            return self.started
        allowed = min(allowed, asked.timeout_s)
        if asked.unary:
            allowed = min(allowed, limits.receive_grace_s + self.got / limits.min_receive_rate)
        return self.started + allowed

    def _too_late(self, now: float) -> DeadlineExceeded:
        limits, asked = self._door.limits, self.asked
        if self.waiting or (asked is not None and now >= self.started + asked.timeout_s):
            return DeadlineExceeded(
                "the answer was not there when the time for it was over",
                next_step="send smaller requests, allow the call more time, or raise"
                " serve.request_timeout_s",
            )
        if now >= self.started + limits.request_timeout_s:
            return DeadlineExceeded(
                f"the message of the call did not arrive in {limits.request_timeout_s:g} s",
                next_step="send faster, or raise serve.request_timeout_s",
            )
        return DeadlineExceeded(
            f"the message came at less than {limits.min_receive_rate} bytes a second",
            next_step="send faster, or lower serve.min_receive_rate",
        )


def _framed(body: bytes) -> bytes:
    return b"\0%b%b" % (len(body).to_bytes(4, "big"), body)


def _unwritten(_: Answer) -> Written:
    raise RuntimeError("the method did not say how to write the answer")
