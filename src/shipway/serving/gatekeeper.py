"""Before any route of the control plane: from where, by which means, and who.

It stands around the whole application, so that a route that nobody thought of, an unknown path
and an automatic OPTIONS are behind it as well. What a caller may do is the routes' own guard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import msgspec

from shipway.domain.times import Clock
from shipway.errors import NotAuthorised, ShipwayError, UsageError
from shipway.security.keys import KeyRecord, KeyRing
from shipway.serving.access import key_in
from shipway.serving.http.responses import Refusal
from shipway.serving.sockets import is_loopback
from shipway.serving.statuses import error_body

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]
Keys = Callable[[], Sequence[KeyRecord] | None]
CALLER = "shipway_caller"
OPEN = frozenset({"/livez", "/readyz"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Gatekeeper:
    """ASGI middleware. *keys* None (as a return) means that authentication is off.

    Every request must name this server in ``Host`` when it is bound to loopback (DNS rebinding);
    one that changes something must be JSON and must not come from another site's page.
    """

    def __init__(self, app: Application, *, keys: Keys, host: str, clock: Clock) -> None:
        self._app = app
        self._keys = keys
        self._local = is_loopback(host)
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request in, or answer it here."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        try:
            self._check_origin(scope["method"], headers)
            if scope["path"] not in OPEN:
                await self._authenticate(scope, headers)
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

    async def _authenticate(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        records = await asyncio.to_thread(self._keys)
        if records is None:
            return
        text = key_in(headers).decode("latin-1")
        state = scope.setdefault("state", {})
        state[CALLER] = KeyRing(records).authenticate(text, self._clock())


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
    if status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="shipway"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
