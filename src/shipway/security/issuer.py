"""Who is believed about tokens: an OpenID issuer, its keys fetched in a thread of their own.

The keys are fetched at start and now and then; a token that names a key which is not among them
has them fetched at once, but at most once a minute, whatever is sent (RFC 8725 leaves this open;
without a bound any stranger makes this server ask as often as he likes). Nothing waits for a
fetch: meanwhile the answer is "ask again". While the issuer is away its keys stay good, until
they are older than the settings allow.

Callers that were believed are remembered with the keys that they were believed by. Other keys,
another memory: a token signed by a key that was dropped is looked at anew.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from shipway.domain.times import Clock, system_clock
from shipway.errors import IssuerUnreachable, NotAuthenticated
from shipway.security.callers import Caller
from shipway.security.fetching import check_address, fetch
from shipway.security.signers import Signers, load_jose, read_signers
from shipway.security.tokens import TokenRules, read_token

_log = logging.getLogger(__name__)
_BETWEEN_ASKING_S = 60.0
_FIRST_RETRY_S, _LONGEST_RETRY_S = 1.0, 60.0
_DISCOVERY = "/.well-known/openid-configuration"
Known = dict[bytes, Caller]


@dataclass(frozen=True, slots=True)
class Published:
    """The keys of one moment, until when they are good, and who was believed by them.

    ``known`` is by the digest of what was sent; who uses it bounds it. ``endpoints`` are where
    people log in and where a code is exchanged, where that is asked for.
    """

    signers: Signers
    good_until: datetime
    endpoints: tuple[str, str] = ("", "")
    known: Known = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerOptions:
    """Where keys come from and how long they are kept.

    ``jwks_url`` empty means that the issuer's discovery document says where. ``people`` log in,
    so it is also asked where.
    """

    rules: TokenRules
    jwks_url: str = ""
    people: bool = False
    refresh_s: float = 300.0
    max_age_s: float = 86_400.0


class Issuer:
    """Judges tokens; start it before it is asked, and stop it at the end.

    Raises :class:`~shipway.errors.MissingPackage` when it is made without joserfc.
    """

    def __init__(
        self,
        options: IssuerOptions,
        *,
        clock: Clock = system_clock,
        elapsed: Callable[[], float] = monotonic,
        get: Callable[[str], bytes] = fetch,
    ) -> None:
        load_jose()
        self._options = options
        self._clock = clock
        self._elapsed = elapsed
        self._get = get
        self._published = Published(Signers(), clock())
        self._error = "they were not fetched yet"
        self._lock = threading.Lock()
        self._asked_at = -float("inf")
        self._pending = True
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="fetch-issuer-keys", daemon=True)

    def start(self) -> None:
        """Begin to fetch keys."""
        self._thread.start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """Fetch no more; a fetch that hangs is left behind after *timeout_s*."""
        self._stopping = True
        self._wake.set()
        self._thread.join(timeout_s)

    @property
    def known(self) -> Known:
        """Who was believed by the keys of now, by the digest of what was sent."""
        return self._published.known

    def caller(self, text: str, now: datetime) -> tuple[Caller, Known]:
        """The caller that the token *text* tells of, and where to remember that.

        Raises :class:`~shipway.errors.NotAuthenticated`, and
        :class:`~shipway.errors.IssuerUnreachable` while the keys to judge by are not here.
        """
        caller, published = self._judged(text, self._options.rules, now)
        until = min(caller.expires_at, published.good_until)
        return replace(caller, expires_at=until), published.known

    def person(self, text: str, now: datetime, *, audience: str, nonce: str) -> Caller:
        """The person that the identity token *text* tells of, which was asked for with *nonce*.

        Raises as :meth:`caller` does.
        """
        return self._judged(text, replace(self._options.rules, audience=audience), now, nonce)[0]

    def endpoints(self) -> tuple[str, str]:
        """Where people log in, and where a code is exchanged for a token.

        Raises :class:`~shipway.errors.IssuerUnreachable` while that is not known.
        """
        endpoints = self._published.endpoints
        if not all(endpoints):
            raise self._unreachable()
        return endpoints

    def _judged(
        self, text: str, rules: TokenRules, now: datetime, nonce: str | None = None
    ) -> tuple[Caller, Published]:
        token = read_token(text, rules)
        published = self._published
        if now >= published.good_until:
            raise self._unreachable()
        signers = published.signers.named(token.key_id, token.algorithm)
        if signers is None:
            self._ask_for_more()
            raise NotAuthenticated(
                "the token is signed by a key that the issuer does not publish",
                next_step="ask the issuer for a new token",
            )
        return token.believed(signers, rules, now, nonce=nonce), published

    def _ask_for_more(self) -> None:
        """Have the keys fetched; raises while that is under way, or when it has failed."""
        with self._lock:
            now = self._elapsed()
            if not self._pending and now - self._asked_at >= _BETWEEN_ASKING_S:
                self._asked_at, self._pending = now, True
                self._wake.set()
            if self._pending or self._error:
                raise self._unreachable()

    def _unreachable(self) -> IssuerUnreachable:
        why = "they are being fetched" if self._pending else self._error
        return IssuerUnreachable(
            f"the keys of the issuer {self._options.rules.issuer} are not here: {why}",
            next_step="ask again in a second; if it stays so, see that the server reaches it",
        )

    # ---- in the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        retry_s = _FIRST_RETRY_S
        while not self._stopping:
            self._wake.clear()
            with self._lock:
                self._pending = True
            error = self._refresh()
            with self._lock:
                if error and error != self._error:
                    _log.warning("cannot fetch the issuer's keys: %s", error)
                self._error, self._pending = error, False
            pause_s = retry_s if error else self._options.refresh_s
            retry_s = min(2 * retry_s, _LONGEST_RETRY_S) if error else _FIRST_RETRY_S
            self._wake.wait(pause_s)

    def _refresh(self) -> str:
        """Fetch the keys and put them in place; what stood against it, in words."""
        options = self._options
        try:
            endpoints, url = ("", ""), options.jwks_url
            if options.people or not url:
                told = self._discovered()
                url = url or told["jwks_uri"]
                if options.people:
                    endpoints = _endpoints(told)
            signers = read_signers(self._get(url), options.rules.algorithms)
        except IssuerUnreachable as error:
            return error.message
        except Exception as error:  # an outermost loop: without it no key is ever dropped again
            _log.exception("fetching the issuer's keys failed")
            return type(error).__name__
        until = self._clock() + timedelta(seconds=options.max_age_s)
        self._published = Published(signers, until, endpoints)
        return ""

    def _discovered(self) -> dict[str, Any]:
        """What the issuer says of itself (OpenID Connect Discovery 1.0, 4)."""
        issuer = self._options.rules.issuer
        try:
            told = json.loads(self._get(issuer.rstrip("/") + _DISCOVERY))
            named, url = told["issuer"], told["jwks_uri"]
        except (ValueError, RecursionError, KeyError, TypeError) as error:
            raise _no_discovery("it lacks issuer or jwks_uri") from error
        if named != issuer or not isinstance(url, str):
            raise _no_discovery(f"it is of the issuer {str(named)[:200]!r}")
        return dict(told)


def _endpoints(told: dict[str, Any]) -> tuple[str, str]:
    """Where people log in and where codes are exchanged, both fit to be asked."""
    login, exchange = told.get("authorization_endpoint"), told.get("token_endpoint")
    for url in (login, exchange):
        if not isinstance(url, str):
            raise _no_discovery("it lacks authorization_endpoint or token_endpoint")
        check_address(url)
    return str(login), str(exchange)


def _no_discovery(why: str) -> IssuerUnreachable:
    return IssuerUnreachable(
        f"the issuer's discovery document cannot be used: {why}",
        next_step="write auth.issuer as the issuer writes itself, or set auth.jwks_url",
    )
