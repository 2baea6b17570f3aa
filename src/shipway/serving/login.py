"""The doors of the control plane for people: ``/login``, the way back from the issuer, ``/logout``.

Neither GET changes anything in the store; the second begins a session in this process' memory.
The cookie of the session is ``SameSite=Strict``, so it does not come with the redirect from the
issuer: the way back ends in a page of its own, which goes on from here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import msgspec

from shipway.domain.times import Clock, system_clock
from shipway.errors import NotAuthenticated, RateLimited, UsageError
from shipway.security.acting import Actor
from shipway.security.audit import Entry
from shipway.security.callers import Caller
from shipway.security.login import (
    ATTEMPT_LIFE,
    Client,
    asking,
    exchange_form,
    id_token_in,
    new_attempt,
    returned_code,
    seal,
    unseal,
)
from shipway.security.rates import Rate, take
from shipway.security.sessions import Sessions

if TYPE_CHECKING:
    from shipway.security.issuer import Issuer

LOGIN, BACK, LOGOUT = "/login", "/login/callback", "/logout"
PATHS = frozenset({LOGIN, BACK, LOGOUT})
_RATE = Rate(per_s=2.0, burst=20.0)
_PAGE = b"""<!doctype html><html lang="en"><meta charset="utf-8">
<meta http-equiv="refresh" content="0;url=/v1/status"><title>Logged in</title>
<p>You are logged in. <a href="/v1/status">Go on</a></p></html>
"""
Headers = list[tuple[bytes, bytes]]
Answer = tuple[int, Headers, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginOptions:
    """``public_url`` is how browsers call this server, "" for as they just did.

    ``secure`` says that they speak TLS with it.
    """

    client: Client
    issuer: str
    scope: str = "openid profile"
    public_url: str = ""
    secure: bool = False


class Login:
    """Lets people in; ``sessions`` knows them from then on."""

    def __init__(
        self,
        issuer: Issuer,
        sessions: Sessions,
        options: LoginOptions,
        *,
        random: Callable[[int], bytes],
        tell: Callable[[Entry, Actor], None],
        exchange: Callable[..., bytes],
        clock: Clock = system_clock,
    ) -> None:
        self.sessions = sessions
        self._issuer, self._options = issuer, options
        self._random, self._clock, self._exchange = random, clock, exchange
        self._tell = tell
        self._key = random(32)
        self._full_at = 0.0
        secure = options.secure
        self._session = "__Host-shipway_session" if secure else "shipway_session"
        self._attempt = "__Secure-shipway_login" if secure else "shipway_login"

    async def answer(
        self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes], actor: Actor
    ) -> Answer:
        """The answer to a request of one of :data:`PATHS`; raises what is to be told instead."""
        method, path = scope["method"], scope["path"]
        if path == LOGOUT and method == "POST":
            return await asyncio.to_thread(self._end, headers, actor)
        if method != "GET" or path == LOGOUT:
            raise UsageError(f"{path} is not for {method}", next_step="GET /login, POST /logout")
        host = headers.get(b"host", b"").decode("latin-1")
        scheme = "https" if self._options.secure else "http"
        redirect = f"{self._options.public_url.rstrip('/') or f'{scheme}://{host}'}{BACK}"
        if path == LOGIN:
            return self._begin(redirect)
        query = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=20)
        return await asyncio.to_thread(self._finish, query, headers, redirect, actor)

    def caller(self, headers: Mapping[bytes, bytes]) -> Caller | None:
        """Whose session the cookie in *headers* is of; None if there is none.

        Raises :class:`~shipway.errors.NotAuthenticated` for one that has ended.
        """
        text = _cookie(headers, self._session)
        return None if text is None else self.sessions.caller(text, self._clock())

    def _begin(self, redirect: str) -> Answer:
        attempt = new_attempt(self._random, self._clock())
        endpoint, _ = self._issuer.endpoints()
        options = self._options
        place = asking(endpoint, options.client, attempt, redirect, options.scope)
        cookie = self._set(
            self._attempt, seal(attempt, self._key), int(ATTEMPT_LIFE.total_seconds()), "Lax", LOGIN
        )
        return 302, [(b"location", place.encode()), cookie], b""

    def _finish(
        self,
        query: dict[str, list[str]],
        headers: Mapping[bytes, bytes],
        redirect: str,
        actor: Actor,
    ) -> Answer:
        caller = self._identified(query, headers, redirect)
        text = self.sessions.begin(caller, self._clock())
        self._tell(Entry(what="session.begin"), msgspec.structs.replace(actor, id=caller.id))
        life = int(self.sessions.life.total_seconds())
        cookies = [
            self._set(self._session, text, life, "Strict", "/"),
            self._set(self._attempt, "", 0, "Lax", LOGIN),
        ]
        return 200, [(b"content-type", b"text/html; charset=utf-8"), *cookies], _PAGE

    def _identified(
        self, query: dict[str, list[str]], headers: Mapping[bytes, bytes], redirect: str
    ) -> Caller:
        options, now = self._options, self._clock()
        attempt = unseal(_cookie(headers, self._attempt) or "", self._key, now)
        code = returned_code(query, attempt, options.issuer)
        self._full_at, wait_s = take(_RATE, self._full_at, now.timestamp())
        if wait_s:
            raise RateLimited("too many log in at once", next_step="try again in a moment")
        _, endpoint = self._issuer.endpoints()
        form = exchange_form(options.client, attempt, code, redirect)
        token = id_token_in(self._exchange(endpoint, form=form))
        return self._issuer.person(token, now, audience=options.client.id, nonce=attempt.nonce)

    def _end(self, headers: Mapping[bytes, bytes], actor: Actor) -> Answer:
        text = _cookie(headers, self._session)
        caller = None if text is None else self.sessions.end(text)
        if caller is not None:
            self._tell(Entry(what="session.end"), msgspec.structs.replace(actor, id=caller.id))
        return 204, [self._set(self._session, "", 0, "Strict", "/")], b""

    def _set(self, name: str, value: str, life_s: int, site: str, path: str) -> tuple[bytes, bytes]:
        secure = "; Secure" if self._options.secure else ""
        text = f"{name}={value}; Path={path}; Max-Age={life_s}; HttpOnly; SameSite={site}{secure}"
        return b"set-cookie", text.encode()


def _cookie(headers: Mapping[bytes, bytes], name: str) -> str | None:
    """The value of the cookie *name*; raises NotAuthenticated for one that came twice."""
    pairs = headers.get(b"cookie", b"").decode("latin-1").split(";")
    found = [
        value
        for key, equals, value in (p.strip().partition("=") for p in pairs)
        if key == name and equals
    ]
    if len(found) > 1:
        raise NotAuthenticated("a cookie came twice", next_step="remove this site's cookies")
    return found[0] if found and found[0] else None
