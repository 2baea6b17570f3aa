"""Requests to one registry: encrypted unless it is on this machine, tried again, answered for.

httpx does the talking. What is ours is which addresses may be talked to, who is told a password,
and what is worth another attempt.
"""

from __future__ import annotations

import random
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from types import TracebackType
from typing import Self

import httpx
import msgspec

from shipway.errors import (
    EnvironmentFailure,
    NotAuthenticated,
    NotAuthorised,
    ServerUnreachable,
    ShipwayError,
    TooLarge,
)
from shipway.exchange.credentials import NOBODY, Credentials
from shipway.exchange.references import Reference, is_loopback

TIMEOUT = httpx.Timeout(60.0, connect=10.0)
ATTEMPTS = 5
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0
_MOST_REDIRECTS = 3
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CHALLENGE = re.compile(r'([a-z]+)="([^"]*)"', re.ASCII)
MOST_TOLD_BYTES = 64 << 10
OK = frozenset({200})


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a registry answered."""

    status: int
    headers: httpx.Headers
    body: bytes


class _Error(msgspec.Struct, frozen=True, kw_only=True):
    code: str = ""
    message: str = ""


class _Errors(msgspec.Struct, frozen=True, kw_only=True):
    errors: tuple[_Error, ...] = ()


class _Token(msgspec.Struct, frozen=True, kw_only=True):
    token: str = ""
    access_token: str = ""


class Session:
    """The way to the registry of *reference*; a context manager.

    *sleep* and *transport* are arguments for the tests.
    """

    def __init__(
        self,
        reference: Reference,
        credentials: Credentials = NOBODY,
        *,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._here = reference.is_here
        self._registry = reference.registry
        self._credentials = credentials
        self._sleep = sleep
        self._authorization = f"Bearer {credentials.token}" if credentials.token else ""
        self._origin = f"{'http' if self._here else 'https'}://{reference.registry}"
        self.base = f"{self._origin}/v2/{reference.repository}"
        self._client = httpx.Client(
            timeout=TIMEOUT,
            verify=ssl.create_default_context(),
            trust_env=not self._here,  # a proxy is no way to this machine
            headers={"User-Agent": "shipway", "Accept-Encoding": "identity"},
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def ask(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        good: frozenset[int] = OK,
        attempts: int = ATTEMPTS,
        most_bytes: int = MOST_TOLD_BYTES,
    ) -> Answer:
        """The whole answer to a request that may be made twice, if its status is *good*.

        Raises :class:`~shipway.errors.ServerUnreachable` and what :func:`refusal` says.
        """
        for attempt in range(1, attempts + 1):
            try:
                with self.asking(
                    method, url, headers=headers, content=content, good=good, attempts=attempts
                ) as response:
                    return _whole(response, most_bytes)
            except httpx.TransportError as error:  # the answer broke off
                if attempt == attempts:
                    raise _unreachable(self._registry, error) from error
                self.pause(attempt)
        raise AssertionError("unreachable")

    @contextmanager
    def asking(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        good: frozenset[int] = OK,
        attempts: int = ATTEMPTS,
    ) -> Iterator[httpx.Response]:
        """The same, its body still to be read."""
        response = self._persistently(method, url, dict(headers or {}), content, attempts)
        try:
            if response.status_code not in good:
                raise refusal(_whole(response), method, self._registry)
            yield response
        finally:
            response.close()

    def absolute(self, location: str) -> str:
        """Where a ``Location`` leads; raises if no request may go there."""
        url = str(httpx.URL(self._origin).join(location))
        self._check(url)
        return url

    def _persistently(
        self, method: str, url: str, headers: dict[str, str], content: bytes | None, attempts: int
    ) -> httpx.Response:
        """The answer to the last of *attempts*; those before it ended in nothing or in haste."""
        for attempt in range(1, attempts + 1):
            try:
                response = self._authorised(method, url, headers, content)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                if attempt == attempts or not isinstance(error, httpx.TransportError):
                    raise _unreachable(self._registry, error) from error
                self.pause(attempt)
                continue
            if response.status_code not in _AGAIN or attempt == attempts:
                return response
            response.close()
            self.pause(attempt, response.headers.get("Retry-After", ""))
        raise AssertionError("unreachable")

    def pause(self, attempt: int, retry_after: str = "") -> None:
        """Wait before the attempt after *attempt*: twice as long each time, and not all at once."""
        wait_s = _FIRST_WAIT_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)  # noqa: S311
        if retry_after.isdigit():
            wait_s = float(retry_after)
        self._sleep(min(wait_s, _LONGEST_WAIT_S))

    def _authorised(
        self, method: str, url: str, headers: dict[str, str], content: bytes | None
    ) -> httpx.Response:
        response = self._followed(method, url, headers, content)
        if response.status_code != HTTPStatus.UNAUTHORIZED:
            return response
        challenge = response.headers.get("WWW-Authenticate", "")
        answer = self._answer(challenge)
        if not answer or answer == self._authorization:
            return response
        response.close()
        self._authorization = answer
        return self._followed(method, url, headers, content)

    def _followed(
        self, method: str, url: str, headers: dict[str, str], content: bytes | None
    ) -> httpx.Response:
        """The answer, wherever a GET or a HEAD was sent on to: blobs often lie elsewhere."""
        for _ in range(_MOST_REDIRECTS + 1):
            self._check(url)
            own = httpx.URL(url).netloc == httpx.URL(self._origin).netloc
            secret = {"Authorization": self._authorization} if own and self._authorization else {}
            request = self._client.build_request(
                method, url, headers={**headers, **secret}, content=content
            )
            response = self._client.send(request, stream=True)
            moved = response.status_code in _REDIRECTS and method in ("GET", "HEAD")
            if not moved or "Location" not in response.headers:
                return response
            response.close()
            url = str(response.url.join(response.headers["Location"]))
        raise EnvironmentFailure(
            f"{self._registry} sends from one address to the next",
            next_step="look at the registry's settings",
        )

    def _answer(self, challenge: str) -> str:
        """The ``Authorization`` that *challenge* asks for (RFC 7235, and docker's token form)."""
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic":
            return self._credentials.basic
        if scheme.lower() != "bearer":
            return ""
        asked = dict(_CHALLENGE.findall(rest))
        realm = asked.pop("realm", "")
        url = str(httpx.URL(realm).copy_merge_params(_only(asked, "service", "scope")))
        self._check(url)
        basic = self._credentials.basic
        request = self._client.build_request(
            "GET", url, headers={"Authorization": basic} if basic else {}
        )
        response = self._client.send(request, stream=True)
        try:
            if response.status_code != HTTPStatus.OK:
                raise refusal(_whole(response), "GET", httpx.URL(url).host)
            token = msgspec.json.decode(_whole(response).body, type=_Token)
        except msgspec.DecodeError as error:
            raise EnvironmentFailure(
                f"{httpx.URL(url).host} gave no token for {self._registry}",
                next_step="look at the registry's settings",
            ) from error
        finally:
            response.close()
        found = token.token or token.access_token
        return f"Bearer {found}" if found else ""

    def _check(self, url: str) -> None:
        """Refuse an address that is not encrypted, or that a registry elsewhere has no say over."""
        parts = httpx.URL(url)
        here = is_loopback(parts.host)
        if parts.userinfo or not (self._here if here else parts.scheme == "https"):
            raise EnvironmentFailure(
                f"{self._registry} leads to {parts.scheme}://{parts.host}, which is not asked:"
                " only https is, and this machine only by a registry on it",
                next_step="give the registry a certificate",
            )


def refusal(answer: Answer, method: str, registry: str) -> ShipwayError:
    """What a status that is not good means to a person."""
    told = _told(answer)
    status = answer.status
    if status == HTTPStatus.UNAUTHORIZED:
        return NotAuthenticated(
            f"{registry} does not know who is asking{told}",
            next_step=f"log in with `podman login {registry}`, or set SHIPWAY_REGISTRY_HOST,"
            " SHIPWAY_REGISTRY_USER and SHIPWAY_REGISTRY_PASSWORD",
        )
    if status == HTTPStatus.FORBIDDEN:
        verb = "read" if method in ("GET", "HEAD") else "write"
        return NotAuthorised(
            f"{registry} does not let you {verb} there{told}",
            next_step="ask whoever keeps the registry for the right",
        )
    return EnvironmentFailure(
        f"{registry} answered {method} with {status}{told}",
        next_step="look at the registry's log, then try again",
    )


def _told(answer: Answer) -> str:
    """The first reason that a registry gave (distribution-spec, error codes)."""
    try:
        first = msgspec.json.decode(answer.body, type=_Errors).errors[0]
    except (msgspec.DecodeError, LookupError):
        return ""
    words = f"{first.code} {first.message}".strip()
    return f": {words[:200]}" if words.isprintable() else ""


def _whole(response: httpx.Response, most_bytes: int = MOST_TOLD_BYTES) -> Answer:
    """*response* with its body, if that is as short as what registries say about things."""
    body = bytearray()
    for part in response.iter_raw():
        body += part
        if len(body) > most_bytes:
            raise TooLarge(
                f"{response.url.host} answered with more than {most_bytes:,} bytes",
                next_step="name an artefact of a model in a registry",
            )
    return Answer(status=response.status_code, headers=response.headers, body=bytes(body))


def _only(asked: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: asked[name] for name in names if name in asked}


def _unreachable(registry: str, error: Exception) -> ServerUnreachable:
    return ServerUnreachable(
        f"{registry} does not answer: {str(error) or type(error).__name__}",
        next_step="check the reference, the network and that the registry runs, then try again",
    )
