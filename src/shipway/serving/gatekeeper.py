"""Before any route of the control plane: from where, by which means, and who.

It stands around the whole application, so that a route that nobody thought of, an unknown path
and an automatic OPTIONS are behind it as well. What a caller may do is the routes' own guard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import msgspec

from shipway.errors import MalformedRequest, NotAuthorised, ShipwayError, UsageError
from shipway.security.callers import Caller
from shipway.security.keys import KeyRecord
from shipway.serving.access import Access, Admission, Credentials
from shipway.serving.http.responses import Refusal
from shipway.serving.sockets import is_loopback
from shipway.serving.statuses import error_body

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]
Keys = Callable[[], Sequence[KeyRecord]]
CALLER = "shipway_caller"
CERTIFICATE = "shipway_certificate"
OPEN = frozenset({"/livez", "/readyz"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_ONCE = frozenset({b"authorization", b"x-api-key", b"host", b"origin", b"content-type"})


class Gatekeeper:
    """ASGI middleware. *keys* is asked at every request, so that a revoked one is refused at once.

    Every request must name this server in ``Host`` when it is bound to loopback (DNS rebinding);
    one that changes something must be JSON and must not come from another site's page.
    """

    def __init__(self, app: Application, *, keys: Keys, admission: Admission, host: str) -> None:
        self._app = app
        self._keys = keys
        self._admission = admission
        self._local = is_loopback(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request in, or answer it here."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        try:
            _check_once(scope["headers"])
            self._check_origin(scope["method"], headers)
            if scope["path"] not in OPEN:
                state = scope.setdefault("state", {})
                state[CALLER] = await asyncio.to_thread(
                    self._identify, Credentials(headers, state.get(CERTIFICATE))
                )
        except ShipwayError as error:
            await _refuse(send, Refusal(error))
            return
        except Refusal as refusal:
            await _refuse(send, refusal)
            return
        await self._app(scope, receive, send)

    def _check_origin(self, method: str, headers: dict[bytes, bytes]) -> None:
        host = headers.get(b"host", b"").decode("latin-1")
        if self._local and not is_loopback(_without_port(host)):
            raise NotAuthorised(
                f"this server is not called {host[:64]!r}",
                next_step="use http://127.0.0.1, or bind it to an address with serve.host",
            )
        if method in _SAFE:
            return
        origin = headers.get(b"origin")
        if origin is not None and origin.decode("latin-1").partition("://")[2] != host:
            raise NotAuthorised(
                "a page of another site may not change anything here",
                next_step="call from a program, or from the console's own pages",
            )
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind != b"application/json":
            error = UsageError(
                "what changes something must be sent as application/json",
                next_step="send the header Content-Type: application/json",
            )
            raise Refusal(error, status=415)

    def _identify(self, credentials: Credentials) -> Caller:
        keys = self._keys() if self._admission.authentication else ()
        return Access(keys, self._admission).identify(credentials)


def _check_once(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Refuse headers that decide about the request and came twice: others may read the other."""
    names = [name.lower() for name, _ in headers]
    for name in _ONCE:
        if names.count(name) > 1:
            raise MalformedRequest(f"{name.decode()} came twice", next_step="send it once")


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    bare = name if colon and port.isdigit() else host
    return bare.removeprefix("[").removesuffix("]")


async def _refuse(send: Send, refusal: Refusal) -> None:
    status = refusal.status
    body = msgspec.json.encode(error_body(refusal.error))
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-content-type-options", b"nosniff"),
    ]
    if status == 503:
        headers.append((b"retry-after", b"1"))
    if status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="shipway"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
