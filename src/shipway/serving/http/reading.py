"""Bytes in, whole requests out: strict HTTP/1.1 with every size bounded.

llhttp refuses what smuggling is made of (conflicting lengths, bare line feeds, folded headers,
control characters); what it lets pass (HTTP/0.9, a second Host, chunks in HTTP/1.0) is refused
here. Memory is bounded by the limits whatever arrives: an endless header, a body that was
refused, chunks that carry more marks than data.
"""

from __future__ import annotations

from time import time_ns
from typing import Protocol

import httptools

from shipway.errors import MalformedRequest, TooLarge
from shipway.serving.http.exchange import Application, Channel, Clock, Exchange
from shipway.serving.http.limits import Limits
from shipway.serving.http.responses import Refusal

SLICE_BYTES = 16 * 1024
_WIRE_PER_BODY_BYTE = 16  # the least chunk, one byte, takes six on the wire
_KEPT = frozenset(
    {
        b"accept-encoding",
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"expect",
        b"host",
        b"inference-header-content-length",
        b"transfer-encoding",
        b"x-api-key",
    }
)


class Recipient(Channel, Protocol):
    """Who is told what was read."""

    def continue_expected(self) -> None:
        """The client waits for a 100 before it sends the body."""

    def received(self, exchange: Exchange, body: bytes | bytearray) -> None:
        """A whole request that was admitted."""

    def refused(self, exchange: Exchange, refusal: Refusal) -> None:
        """A whole request that is not to be handled; the connection goes on."""

    def broken(self, exchange: Exchange, refusal: Refusal) -> None:
        """What cannot be read on; nothing more is parsed."""


class _Stop(Exception):
    """Raised within a parser callback to end parsing; ``_refusal`` says why."""


class RequestReader:
    """Feeds llhttp and follows one request after the other. The ``on_`` methods are its own."""

    def __init__(
        self, recipient: Recipient, application: Application, limits: Limits, clock: Clock
    ) -> None:
        self.in_head = False
        self.current: Exchange | None = None
        self._recipient = recipient
        self._application = application
        self._limits = limits
        self._clock = clock
        self._parser = httptools.HttpRequestParser(self)
        self._exchange = Exchange(recipient, 0.0)
        self._head_bytes = self._header_count = self._wire_bytes = self._body_bytes = 0
        self._body: bytes | bytearray = b""
        self._refusal: Refusal | None = None
        self._upgrading = False

    def feed(self, data: bytes | memoryview) -> None:
        """Parse *data*, at most ``SLICE_BYTES`` of them, and tell the recipient."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(bytes(data[upgrade.args[0] :]))
        except httptools.HttpParserCallbackError as error:
            if self._refusal is None:
                raise (error.__context__ or error) from error
            self.give_up(self._refusal)
        except httptools.HttpParserError as error:
            self.give_up(malformed(f"this is not HTTP/1.1: {error}"))
        else:
            if self.current is not None:
                self._bound(len(data))

    def give_up(self, refusal: Refusal) -> None:
        """End the request that is being read, if any, with *refusal*."""
        exchange = self.current or Exchange(self._recipient, self._clock())
        self.current, self._body = None, b""
        refusal.close = True
        self._recipient.broken(exchange, refusal)

    def _bound(self, size: int) -> None:
        """Bound what the parser itself would hold or swallow without a word."""
        self._wire_bytes += size
        limits = self._limits
        if self.in_head:
            if self._wire_bytes > limits.max_head_bytes + SLICE_BYTES:
                self.give_up(self._head_too_large())
            return
        allowed = 2 * limits.max_head_bytes + 4 * SLICE_BYTES
        if self._wire_bytes > allowed + _WIRE_PER_BODY_BYTE * self._body_bytes:
            self.give_up(malformed("the chunks carry more marks than data"))

    def _decline_upgrade(self, rest: bytes) -> None:
        """Parse the request again as if no upgrade had been asked for (RFC 9110, 7.8).

        llhttp stops before the body of such a request, and clients that try h2c first are many.
        """
        exchange = self.current
        if exchange is None or exchange.method == b"CONNECT":
            self.give_up(malformed("there is nothing to CONNECT to here"))
            return
        self.current, self._upgrading = None, False
        self._parser = httptools.HttpRequestParser(self)
        lines = [b"%b %b HTTP/1.1" % (exchange.method, exchange.target)]
        lines += [b"%b: %b" % item for item in exchange.headers.items()]
        self.feed(b"\r\n".join([*lines, b"", rest]))

    # ---- called by httptools ----------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        self.current = self._exchange = Exchange(self._recipient, self._clock())
        self.in_head = True
        self._head_bytes = self._header_count = self._wire_bytes = self._body_bytes = 0
        self._body = b""
        self._refusal = None

    def on_url(self, part: bytes) -> None:
        """A part of the request target."""
        exchange, limit = self._exchange, self._limits.max_target_bytes
        exchange.target += part
        if len(exchange.target) > limit:
            error = TooLarge(
                f"the request target is longer than {limit} bytes",
                next_step="send data in the body of a POST",
            )
            self._stop(Refusal(error, status=414))

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or a trailer, which nobody asked for."""
        if not self.in_head:
            return
        self._header_count += 1
        self._head_bytes += len(name) + len(value) + 4
        limits = self._limits
        if self._head_bytes > limits.max_head_bytes or self._header_count > limits.max_headers:
            self._stop(self._head_too_large())
        key = name.lower()
        if key in _KEPT:
            headers = self._exchange.headers
            if key in headers:
                self._stop(malformed(f"the header {key.decode()} came twice"))
            headers[key] = value

    def on_headers_complete(self) -> None:
        """The head is whole: refuse what is malformed or not admitted, before any body."""
        exchange, parser = self._exchange, self._parser
        exchange.method = parser.get_method()
        self.in_head = False
        if parser.should_upgrade():
            self._upgrading = True
            return
        exchange.close = not parser.should_keep_alive()
        version, headers = parser.get_http_version(), exchange.headers
        self._check_version(version)
        length = headers.get(b"content-length")
        expects = headers.get(b"expect", b"").lower() == b"100-continue"
        try:
            if length is not None and int(length) > self._limits.max_body_bytes:
                raise self._body_too_large()
            self._application.admit(exchange)
        except Refusal as refusal:
            if refusal.close or expects:
                self._stop(refusal)
            self._refusal = refusal
        else:
            if expects and version == "1.1":
                self._recipient.continue_expected()

    def on_body(self, part: bytes) -> None:
        """A part of the body; that of a refused request is counted and dropped."""
        self._body_bytes += len(part)
        if self._body_bytes > self._limits.max_body_bytes:
            self._stop(self._body_too_large())
        if self._refusal is not None:
            return
        if not self._body:
            self._body = part
        elif isinstance(self._body, bytearray):
            self._body += part
        else:
            self._body = bytearray(self._body) + part

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._upgrading:
            return
        exchange, body, refusal = self._exchange, self._body, self._refusal
        self.current, self._body, self._refusal = None, b"", None
        exchange.received = self._clock()
        exchange.received_at_ns = time_ns()
        exchange.deadline = exchange.started + self._limits.request_timeout_s
        if refusal is None:
            self._recipient.received(exchange, body)
        else:
            self._recipient.refused(exchange, refusal)

    # ---- what is refused --------------------------------------------------------------------

    def _check_version(self, version: str) -> None:
        headers = self._exchange.headers
        if version == "1.1":
            if not headers.get(b"host"):
                self._stop(malformed("the header Host is missing"))
        elif version != "1.0":
            self._stop(malformed(f"HTTP/{version} is not spoken here", status=505))
        elif b"transfer-encoding" in headers:
            self._stop(malformed("HTTP/1.0 has no Transfer-Encoding"))
        if headers.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
            self._stop(malformed("the only Transfer-Encoding here is chunked", status=501))

    def _stop(self, refusal: Refusal) -> None:
        self._refusal = refusal
        raise _Stop

    def _head_too_large(self) -> Refusal:
        limits = self._limits
        error = TooLarge(
            f"the headers are over {limits.max_head_bytes} bytes or {limits.max_headers} lines",
            next_step="send fewer or shorter headers",
        )
        return Refusal(error, status=431, close=True)

    def _body_too_large(self) -> Refusal:
        error = TooLarge(
            f"the body is larger than {self._limits.max_body_bytes} bytes",
            next_step="send fewer rows a request, or raise serve.max_body_bytes",
        )
        return Refusal(error, close=True)


def malformed(message: str, *, status: int = 400) -> Refusal:
    """The refusal of bytes that are not HTTP as it should be; the connection ends with it."""
    error = MalformedRequest(message, next_step="send well-formed HTTP/1.1 (RFC 9112)")
    return Refusal(error, status=status, close=True)
