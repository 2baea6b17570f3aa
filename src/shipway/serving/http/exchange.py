"""One request and the place of its answer, and what stands on either side of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from shipway.inference.predictor import Answer, Outcome
from shipway.serving.http.responses import Refusal, Responder
from shipway.serving.protocols.decoded import JSON, Writer, Written

_NEVER = float("inf")


class Channel(Protocol):
    """The way back to the client."""

    responder: Responder

    @property
    def gone(self) -> bool:
        """Whether the client has left."""

    def flush(self) -> None:
        """Write the answers that are ready, in the order in which they were asked for."""


class Exchange:
    """One request and the place of its answer in the order of its connection.

    ``headers`` holds the few that are looked at, names in lower case. ``caller`` and ``write``
    are for the application to fill in. ``started`` (first byte), ``received`` (last byte) and
    ``deadline`` are in the loop's seconds.
    """

    __slots__ = (
        "caller",
        "channel",
        "close",
        "deadline",
        "headers",
        "method",
        "received",
        "received_at_ns",
        "response",
        "started",
        "target",
        "write",
    )

    def __init__(self, channel: Channel, started: float) -> None:
        self.channel = channel
        self.method = b""
        self.target = b""
        self.headers: dict[bytes, bytes] = {}
        self.caller = ""
        self.started = started
        self.received = started
        self.received_at_ns = 0
        self.deadline = _NEVER
        self.response: bytes | None = None
        self.close = False
        self.write: Writer = _unwritten

    @property
    def abandoned(self) -> bool:
        """Whether the client has gone, so that nobody would read an answer."""
        return self.channel.gone

    @property
    def head_only(self) -> bool:
        """Whether the answer must come without its body."""
        return self.method == b"HEAD"

    def answer_json(self, body: bytes) -> None:
        """Answer 200 with a JSON *body*."""
        responder = self.channel.responder
        self.close = self.close or responder.closing
        self.response = responder.json(body, close=self.close, head_only=self.head_only)
        self.channel.flush()

    def answer(
        self, status: int, body: bytes, *, content_type: bytes = b"", headers: bytes = b""
    ) -> None:
        """Answer anything; *headers* are whole lines."""
        responder = self.channel.responder
        self.close = self.close or responder.closing
        self.response = responder.make(
            status,
            body,
            content_type=content_type or b"application/json",
            headers=headers,
            close=self.close,
            head_only=self.head_only,
        )
        self.channel.flush()

    def refuse(self, refusal: Refusal) -> None:
        """Answer with an error."""
        responder = self.channel.responder
        self.close = self.close or refusal.close or responder.closing
        self.response = responder.refuse(refusal, close=self.close, head_only=self.head_only)
        self.channel.flush()

    def settle(self, outcome: Outcome) -> None:
        """Answer as *outcome* has it, in the form that ``write`` gives."""
        if not isinstance(outcome, Answer):
            self.refuse(Refusal(outcome))
            return
        body, content_type, headers = self.write(outcome)
        if content_type is JSON and not headers:
            self.answer_json(body)
        else:
            self.answer(200, body, content_type=content_type, headers=headers)


def _unwritten(_: Answer) -> Written:
    raise RuntimeError("the application did not say how to write the answer")


class Application(Protocol):
    """What is behind the connections. All run on the loop's thread."""

    def admit(self, exchange: Exchange) -> None:
        """Look at the head of a request; raise Refusal to have its body dropped unread."""

    def handle(self, exchange: Exchange, body: bytes | bytearray) -> None:
        """Answer a whole request, now or later; raise Refusal to answer with an error."""

    def count_refused(self, refusal: Refusal) -> None:
        """Count a request that ended in *refusal*, for the metrics."""


Clock = Callable[[], float]
