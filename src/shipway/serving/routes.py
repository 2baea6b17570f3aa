"""What a path of the data plane does, and the answers that all routes share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from shipway.errors import NotAuthorised, NotFoundError, ShipwayError, UsageError
from shipway.security.policy import Action, Scope, scope_for
from shipway.serving.http.exchange import Exchange
from shipway.serving.http.responses import Refusal
from shipway.serving.statuses import ErrorForm, error_body

Handler = Callable[[Exchange, "bytes | bytearray"], None]
GET = (b"GET", b"HEAD")
POST = (b"POST",)
PREDICT = scope_for(Action.PREDICT)
DESCRIBE = scope_for(Action.READ_METADATA)


class Route(NamedTuple):
    """What a path does; ``scope`` None means that anybody may ask, ``tell`` forms its errors.

    ``nowhere`` marks what does not exist, which is told to nobody but callers.
    """

    methods: tuple[bytes, ...]
    scope: Scope | None
    handle: Handler
    tell: ErrorForm = error_body
    nowhere: bool = False


Table = dict[bytes, Route]


def fixed(body: bytes, *, scope: Scope | None = DESCRIBE, content_type: bytes = b"") -> Route:
    """A GET that always answers *body*."""
    return Route(GET, scope, partial(_answer, body, content_type))


def refused(error: ShipwayError, status: int | None = None, *methods: bytes) -> Route:
    """A route that is known, needs a key like any other, and is not offered."""
    return Route(methods or (*GET, *POST), DESCRIBE, partial(_refuse, error, status))


def nowhere(error: ShipwayError) -> Route:
    """The route of what does not exist: *error*, whatever the method, before any body is read."""
    return Route((), DESCRIBE, partial(_refuse, error, None), nowhere=True)


def not_here(message: str, next_step: str) -> NotFoundError:
    """The error of what does not exist on this server."""
    return NotFoundError(message, next_step=next_step)


def read_only() -> NotAuthorised:
    """The error of what only the registry may do."""
    return NotAuthorised(
        "models are not loaded or unloaded here: a version is promoted through the registry",
        next_step="use `shipway promote`, or POST /v1/endpoints/{endpoint}/promote on the control"
        " port",
    )


def allow(route: Route) -> bytes:
    """The header that names the methods of *route*."""
    return b"Allow: %b\r\n" % b", ".join(dict.fromkeys((*route.methods, b"OPTIONS")))


def wrong_method(exchange: Exchange, route: Route) -> Refusal:
    """The refusal of a method that *route* does not have."""
    allowed = ", ".join(method.decode() for method in route.methods)
    error = UsageError(f"{shown(exchange.method)} is not possible here", next_step=f"use {allowed}")
    return Refusal(error, status=405, headers=allow(route))


def shown(text: bytes) -> str:
    """*text* of a client, short and without anything that a terminal would obey."""
    told = repr(text[:64].decode("latin-1"))
    return told if len(text) <= 64 else f"{told}…"


def _answer(body: bytes, content_type: bytes, exchange: Exchange, _: bytes | bytearray) -> None:
    if content_type:
        exchange.answer(200, body, content_type=content_type)
    else:
        exchange.answer_json(body)


def _refuse(
    error: ShipwayError, status: int | None, exchange: Exchange, _: bytes | bytearray
) -> None:
    raise Refusal(error, status=status)
