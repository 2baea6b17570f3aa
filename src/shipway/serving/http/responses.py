"""The bytes of an answer."""

from __future__ import annotations

from email.utils import formatdate
from http import HTTPStatus

import msgspec

from shipway.errors import Overloaded, RateLimited, ShipwayError
from shipway.serving.protocols.decoded import JSON
from shipway.serving.statuses import ErrorForm, error_body, http_status

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}
_NOSNIFF = b"X-Content-Type-Options: nosniff\r\n"
_JSON_START = b"%bContent-Type: %b\r\n%b" % (_LINES[200], JSON, _NOSNIFF)
_encode = msgspec.json.Encoder().encode


class Refusal(Exception):
    """A request ends here: an error, the status where HTTP is more exact than the table, headers.

    ``close`` says that what follows on the connection cannot be trusted or awaited.
    """

    def __init__(
        self,
        error: ShipwayError,
        *,
        status: int | None = None,
        headers: bytes = b"",
        close: bool = False,
    ) -> None:
        super().__init__(error.message)
        self.error = error
        self.status = http_status(error) if status is None else status
        self.headers = headers
        self.close = close


class Responder:
    """Makes whole responses; holds the ``Date`` of the moment and whether connections end.

    Bodies of ``compress_min_bytes`` and more are packed for clients that like it.
    """

    def __init__(self, compress_min_bytes: int = 1024) -> None:
        self.closing = False
        self.compress_min_bytes = compress_min_bytes
        self._date = self._json = b""

    def tick(self, now_s: float) -> None:
        """Let the ``Date`` header be that of *now_s* (seconds since 1970)."""
        self._date = f"Date: {formatdate(now_s, usegmt=True)}\r\n".encode()
        self._json = b"%b%bContent-Length: " % (_JSON_START, self._date)

    def json(self, body: bytes) -> bytes:
        """A 200 with a JSON *body* on a connection that goes on, by the shortest way there is."""
        return b"%b%d\r\n\r\n%b" % (self._json, len(body), body)

    def make(
        self,
        status: int,
        body: bytes,
        *,
        content_type: bytes = JSON,
        headers: bytes = b"",
        close: bool = False,
        head_only: bool = False,
    ) -> bytes:
        """Any response; *headers* are whole lines. A body without length never leaves here."""
        parts = [_LINES[status], self._date, headers, _NOSNIFF]
        if status != HTTPStatus.NO_CONTENT:
            parts.append(b"Content-Type: %b\r\n" % content_type if body else b"")
            parts.append(b"Content-Length: %d\r\n" % len(body))
        parts.append(b"Connection: close\r\n\r\n" if close else b"\r\n")
        if not head_only:
            parts.append(body)
        return b"".join(parts)


def refusal_headers(refusal: Refusal) -> bytes:
    """The headers of *refusal*, with Retry-After and WWW-Authenticate where they are due."""
    headers = refusal.headers
    if refusal.status == HTTPStatus.UNAUTHORIZED:
        headers += b'WWW-Authenticate: Bearer realm="shipway"\r\n'
    if isinstance(refusal.error, Overloaded | RateLimited):
        headers += b"Retry-After: %d\r\n" % max(1, refusal.error.retry_after_s)
    elif refusal.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers += b"Retry-After: 1\r\n"
    return headers


def refusal_body(refusal: Refusal, tell: ErrorForm = error_body) -> bytes:
    """The JSON that tells *refusal* in the form of *tell*."""
    return _encode(tell(refusal.error))
