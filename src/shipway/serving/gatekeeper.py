"""Before any route of the control plane: from where, by which means, and who.

It stands around the whole application, so that a route that nobody thought of, an unknown path
and an automatic OPTIONS are behind it as well. What a caller may do is the routes' own guard.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Collection, MutableMapping, Sequence
from typing import Any, Protocol

import msgspec

from shipway.domain.names import new_id
from shipway.errors import (
    AccessError,
    MalformedRequest,
    NotAuthorised,
    ShipwayError,
    UsageError,
)
from shipway.security.acting import Actor, acting
from shipway.security.audit import Entry, Outcome
from shipway.security.callers import Caller
from shipway.security.keys import KeyRecord, parse
from shipway.serving.access import Access, Admission, Credentials, key_in
from shipway.serving.http.responses import Refusal
from shipway.serving.login import PATHS, Login
from shipway.serving.sockets import is_loopback
from shipway.serving.statuses import error_body

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]
Keys = Callable[[], Sequence[KeyRecord]]
CALLER = "shipway_caller"
DENIED = "shipway_denied"
"""Where the routes put the action that a caller was denied."""
CERTIFICATE = "shipway_certificate"
OPEN = frozenset({"/livez", "/readyz"})
_SAFE = frozenset({"GET", "HEAD"})
_ONCE = frozenset({b"authorization", b"x-api-key", b"host", b"origin", b"content-type", b"cookie"})


_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
UNKNOWN = Actor(id="unknown")
"""One who did not say who he is, or not so that it was believed."""


class Refusals(Protocol):
    """Where is told who was turned away."""

    def refused(self, entry: Entry, actor: Actor) -> None:
        """Tell it to the audit log, alone or in a sum; never raises. May wait for a disk."""


class Gatekeeper:
    """ASGI middleware. *keys* is asked at every request, so that a revoked one is refused at once.

    Every request must name this server in ``Host`` when it is bound to loopback (DNS rebinding),
    and so must one that changes something wherever it is bound: by an address, by the name of
    this machine, or by one of *names*. What changes something must also be JSON and must not come
    from another site's page. Whoever is turned away is told to *refusals*.
    """

    def __init__(
        self,
        app: Application,
        *,
        keys: Keys,
        admission: Admission,
        host: str,
        refusals: Refusals,
        names: Collection[str] = (),
        login: Login | None = None,
    ) -> None:
        self._app = app
        self._keys = keys
        self._admission = admission
        self._refusals = refusals
        self._login = login
        self._local = is_loopback(host)
        own = () if self._local else (host, socket.gethostname())
        self._names = frozenset(name.lower().rstrip(".") for name in ("localhost", *own, *names))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request in, or answer it here."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        actor = _actor(scope, headers)
        state = scope.setdefault("state", {})
        try:
            _check_once(scope["headers"])
            self._check_origin(scope, headers)
            if self._login is not None and scope["path"] in PATHS:
                await _answer(send, *await self._login.answer(scope, headers, actor))
                return
            if scope["path"] not in OPEN:
                credentials = Credentials(headers, state.get(CERTIFICATE))
                caller = await asyncio.to_thread(self._identify, credentials, scope["method"])
                state[CALLER] = caller
                actor = msgspec.structs.replace(actor, id=caller.id, key=_key_of(caller))
        except (ShipwayError, Refusal) as error:
            refusal = error if isinstance(error, Refusal) else Refusal(error)
            await self._tell(scope, actor, "request", refusal.error.code)
            await _refuse(send, refusal)
            return
        with acting(actor):
            await self._app(scope, receive, send)
        denied = state.get(DENIED)
        if denied is not None:
            await self._tell(scope, actor, denied, NotAuthorised.code)

    async def _tell(self, scope: Scope, actor: Actor, what: str, code: str) -> None:
        of = f"{scope['method']} {scope['path']}"
        entry = Entry(what=what, object=of, outcome=Outcome.REFUSED, code=code)
        await asyncio.to_thread(self._refusals.refused, entry, actor)

    def _check_origin(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        method = scope["method"]
        host = headers.get(b"host", b"").decode("latin-1")
        strict = self._local or method not in _SAFE or scope["path"] in PATHS
        if strict and not self._is_called(_without_port(host)):
            raise NotAuthorised(
                f"this server is not called {host[:64]!r}",
                next_step="call it by its address, or say the name in serve.control_names",
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

    def _is_called(self, name: str) -> bool:
        """Whether *name* is one that no page of another site can be bound to.

        An address is none that a name was bound to: the browser would send the name.
        """
        if name.lower().rstrip(".") in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return is_loopback(name) or not self._local

    def _identify(self, credentials: Credentials, method: str) -> Caller:
        headers = credentials.headers
        if self._login is not None and not {b"authorization", b"x-api-key"} & headers.keys():
            person = self._login.caller(headers)
            if person is not None and method not in _SAFE and b"origin" not in headers:
                raise NotAuthorised(
                    "a browser says where a change comes from (Origin), and this one did not",
                    next_step="use a key for programs",
                )
            if person is not None:
                return person
        keys = self._keys() if self._admission.authentication else ()
        return Access(keys, self._admission).identify(credentials)


def _actor(scope: Scope, headers: dict[bytes, bytes]) -> Actor:
    """Who acts, as far as it is known before anything is believed: from where, in which request.

    The key is the one that was shown, good or not; its id is no secret.
    """
    client = scope.get("client")
    sent = headers.get(b"x-request-id", b"").decode("latin-1")
    request = sent if _REQUEST_ID.fullmatch(sent) else new_id()
    key = ""
    try:
        key = parse(key_in(headers).decode("latin-1")).id
    except (AccessError, MalformedRequest):
        """What is no key has no id."""
    source = str(client[0]) if client else ""
    return msgspec.structs.replace(UNKNOWN, source=source, request=request, key=key)


def _key_of(caller: Caller) -> str:
    """The id of the caller's key; "" for one who came by a token, a certificate, or as nobody."""
    return caller.id if caller.id.isalnum() and caller.id != "anonymous" else ""


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
    await _send(send, status, headers, body)


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    """A page of the login: kept by nobody, framed by nobody, loading nothing."""
    guarded = [
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"referrer-policy", b"no-referrer"),
        (b"x-content-type-options", b"nosniff"),
        (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    ]
    await _send(send, status, [*headers, *(guarded[1:] if status == 204 else guarded)], body)


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
