"""One request and the place of its answer, and what stands on either side of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from shipway.inference.predictor import Answer, Outcome
from shipway.security.certificates import PeerCertificate
from shipway.serving.http.coding import Packer
from shipway.serving.http.grammar import NO_HEAD, Head
from shipway.serving.http.responses import Refusal, Responder, refusal_body, refusal_headers
from shipway.serving.protocols.decoded import JSON, Writer, Written
from shipway.serving.statuses import ErrorForm, error_body


class Channel(Protocol):
    """The way back to the client; ``certificate`` is None where there was no mutual TLS."""

    responder: Responder
    certificate: PeerCertificate | None

    @property
    def gone(self) -> bool:
        """Whether the client has left."""

    def end_after(self, exchange: Exchange) -> bool:
        """Read nothing more if nothing was asked after *exchange*; whether that is so."""

    def flush(self) -> None:
        """Write the answers that are ready, in the order in which they were asked for."""


class Exchange:
    """One request and the place of its answer in the order of its connection.

    ``method``, ``target`` (a path with its query, or ``*``) and ``headers`` are those of
    ``head``, which exchanges of one connection may share. ``caller``, ``write`` and ``tell`` (the
    form of an error's body) are for the application to fill in. ``started`` (first byte),
    ``received`` (last byte) and ``deadline`` are in the loop's seconds. Only the first answer
    counts.
    """

    __slots__ = (
        "answered",
        "caller",
        "channel",
        "close",
        "deadline",
        "head",
        "headers",
        "method",
        "received",
        "received_at_ns",
        "response",
        "started",
        "target",
        "tell",
        "write",
    )

    def __init__(self, channel: Channel, started: float, head: Head = NO_HEAD) -> None:
        self.channel = channel
        self.head = head
        self.method = head.method
        self.target = head.target
        self.headers = head.headers
        self.close = head.close
        self.caller = ""
        self.started = self.received = started
        self.received_at_ns = 0
        self.deadline = started + head.timeout_s
        self.answered = False
        self.response: bytes | None = None
        self.write: Writer = _unwritten
        self.tell: ErrorForm = error_body

    @property
    def abandoned(self) -> bool:
        """Whether the client has gone, so that nobody would read an answer."""
        return self.channel.gone

    def answer_json(self, body: bytes) -> None:
        """Answer 200 with a JSON *body*."""
        channel = self.channel
        responder = channel.responder
        if (
            self.answered
            or self.close
            or responder.closing
            or len(body) >= responder.compress_min_bytes
            or self.head.special
        ):
            self.answer(200, body)
            return
        self.answered = True
        self.response = responder.json(body)
        channel.flush()

    def answer(
        self, status: int, body: bytes, *, content_type: bytes = JSON, headers: bytes = b""
    ) -> None:
        """Answer anything; *headers* are whole lines. It is packed if the client likes it so."""
        if self.answered:
            return
        self.answered = True
        accepted = self.head.accepted
        large = len(body) >= self.channel.responder.compress_min_bytes
        if large or (accepted.must and body):
            headers += b"Vary: Accept-Encoding\r\n"
            if accepted.coding is not None:
                self._pack(Packer(accepted.coding, body), status, content_type, headers)
                return
        self._respond(status, body, content_type, headers)

    def refuse(self, refusal: Refusal) -> None:
        """Answer with an error."""
        self.close = self.close or refusal.close
        self.answer(
            refusal.status, refusal_body(refusal, self.tell), headers=refusal_headers(refusal)
        )

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

    def _pack(self, packer: Packer, status: int, content_type: bytes, headers: bytes) -> None:
        """Pack a step, and what is large a step a turn, so that it does not stop the others."""
        packed = packer.step()
        if packed is not None:
            headers += b"Content-Encoding: %b\r\n" % packer.coding
            self._respond(status, packed, content_type, headers)
        elif not self.abandoned:
            loop = asyncio.get_running_loop()
            loop.call_soon(self._pack, packer, status, content_type, headers)

    def _respond(self, status: int, body: bytes, content_type: bytes, headers: bytes) -> None:
        channel = self.channel
        responder = channel.responder
        if responder.closing and not self.close:
            self.close = channel.end_after(self)
        self.response = responder.make(
            status,
            body,
            content_type=content_type,
            headers=headers,
            close=self.close,
            head_only=self.head.head_only,
        )
        channel.flush()


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
