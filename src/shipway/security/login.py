"""Logging in by an OpenID issuer: the authorisation code flow with PKCE (RFC 7636, RFC 9700).

Between its two halves nothing is remembered here: what was asked, the *attempt*, goes with the
browser, in a cookie that only this process can have written. So a stranger who begins a thousand
logins takes no memory, and an answer is taken only by the browser that asked.
"""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from urllib.parse import urlencode

import msgspec

from shipway.errors import IssuerUnreachable, NotAuthenticated

ATTEMPT_LIFE = timedelta(minutes=10)
_AGAIN = "log in again at /login"
_MAC_BYTES = 32


class Attempt(msgspec.Struct, frozen=True):
    """One who is on his way to the issuer: what must come back, and until when (seconds)."""

    state: str
    nonce: str
    verifier: str
    until: float


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """What this server is to the issuer; ``secret`` is "" for a public client."""

    id: str
    secret: str = ""


def new_attempt(random: Callable[[int], bytes], now: datetime) -> Attempt:
    """An attempt that nobody can guess."""
    state, nonce, verifier = (_text(random(32)) for _ in range(3))
    return Attempt(state, nonce, verifier, (now + ATTEMPT_LIFE).timestamp())


def seal(attempt: Attempt, key: bytes) -> str:
    """*attempt* as the browser carries it, with a code that only who has *key* can make."""
    data = msgspec.json.encode(attempt)
    return _text(hmac.digest(key, data, "sha256") + data)


def unseal(text: str, key: bytes, now: datetime) -> Attempt:
    """The attempt in *text*. Raises :class:`~shipway.errors.NotAuthenticated` for any other."""
    try:
        whole = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        whole = b""
    code, data = whole[:_MAC_BYTES], whole[_MAC_BYTES:]
    if not hmac.compare_digest(code, hmac.digest(key, data, "sha256")):
        raise NotAuthenticated("this browser has not begun to log in", next_step=_AGAIN)
    attempt = msgspec.json.decode(data, type=Attempt)
    if now.timestamp() >= attempt.until:
        raise NotAuthenticated("logging in took too long", next_step=_AGAIN)
    return attempt


def asking(endpoint: str, client: Client, attempt: Attempt, redirect: str, scope: str) -> str:
    """Where the browser is sent to be asked who it is."""
    query = urlencode(
        {
            "response_type": "code",
            "client_id": client.id,
            "redirect_uri": redirect,
            "scope": scope,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": _text(sha256(attempt.verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
    )
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{query}"


def returned_code(query: dict[str, list[str]], attempt: Attempt, issuer: str) -> str:
    """The code that the browser came back with.

    Raises :class:`~shipway.errors.NotAuthenticated` for an answer to another question, of another
    issuer (RFC 9207), or that is a refusal.
    """
    state, code, iss = (query.get(name, [""]) for name in ("state", "code", "iss"))
    if len(state) != 1 or not hmac.compare_digest(state[0].encode(), attempt.state.encode()):
        raise NotAuthenticated("this is the answer to another login", next_step=_AGAIN)
    if iss not in ([""], [issuer]):
        raise NotAuthenticated("this is the answer of another issuer", next_step=_AGAIN)
    if len(code) != 1 or not code[0]:
        raise NotAuthenticated("the issuer has not let you in", next_step=_AGAIN)
    return code[0]


def exchange_form(client: Client, attempt: Attempt, code: str, redirect: str) -> dict[str, str]:
    """What the issuer is sent for the *code*; the verifier proves that it was asked for here."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect,
        "client_id": client.id,
        "code_verifier": attempt.verifier,
    }
    return {**form, "client_secret": client.secret} if client.secret else form


def id_token_in(answer: bytes) -> str:
    """The identity token in the issuer's *answer*; raises IssuerUnreachable if there is none."""
    try:
        token = json.loads(answer)["id_token"]
    except (ValueError, RecursionError, KeyError, TypeError):
        token = None
    if not isinstance(token, str):
        raise IssuerUnreachable(
            "the issuer answered without an identity token",
            next_step="see that this client may ask for the scope openid",
        )
    return token


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
