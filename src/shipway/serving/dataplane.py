"""The data plane: predictions, health and metadata, and nothing else.

Every route is an entry of a table that is made anew with each routing snapshot, so that finding
what to do with a request is one look-up. Admin routes do not exist here, whatever key is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from shipway import __version__
from shipway.errors import (
    EnvironmentFailure,
    MalformedRequest,
    NotFoundError,
    ShipwayError,
    UsageError,
)
from shipway.security.policy import Action, Scope, scope_for
from shipway.serving.batching import Batcher
from shipway.serving.counters import CounterFile
from shipway.serving.http.exchange import Exchange
from shipway.serving.http.limits import Limits
from shipway.serving.http.responses import Refusal
from shipway.serving.protocols.oip import EXTENSIONS, encode
from shipway.serving.routing import Routing, Served

Handler = Callable[[Exchange, "bytes | bytearray"], None]
_GET = (b"GET", b"HEAD")
_POST = (b"POST",)
_PREDICT = scope_for(Action.PREDICT)
_DESCRIBE = scope_for(Action.READ_METADATA)
_TYPES = (b"", b"application/json", b"application/octet-stream")


class Route(NamedTuple):
    """What a path does; ``scope`` None means that anybody may ask."""

    methods: tuple[bytes, ...]
    scope: Scope | None
    handle: Handler


class DataPlane:
    """The application behind the data port's connections."""

    def __init__(
        self, *, limits: Limits, counters: CounterFile, clock: Callable[[], float]
    ) -> None:
        self.routing = Routing()
        self.ready = False
        self.draining = False
        self._counters = counters
        self._batcher = Batcher(
            queue_rows=limits.queue_rows, queue_s=limits.queue_s, counters=counters, clock=clock
        )
        self._fixed = self._fixed_routes()
        self._table = dict(self._fixed)

    def install(self, routing: Routing, *, ready: bool) -> None:
        """Answer by *routing* from the next request on; what waits keeps what it was given."""
        table = dict(self._fixed)
        for name, served in routing.by_name().items():
            table |= self._routes_of(name, served)
        self.routing, self._table, self.ready = routing, table, ready

    def settled(self) -> bool:
        """Whether nothing waits any more for a version that is not routed to."""
        kept = [served.predictor for served in self.routing.endpoints.values()]
        return self._batcher.forget(kept)

    def close(self) -> None:
        """Let go of what the batches run in."""
        self._batcher.close()

    # ---- Application --------------------------------------------------------------------------

    def admit(self, exchange: Exchange) -> None:
        """Find the route, then ask who is calling, then whether the method fits."""
        route = self._table.get(exchange.target) or self._find(exchange.target)
        access = self.routing.access
        if route.scope is not None and access is not None:
            try:
                exchange.caller = access.allow(exchange.headers, route.scope).id
            except ShipwayError as error:
                raise Refusal(error) from error
        if exchange.method not in route.methods and exchange.method != b"OPTIONS":
            raise _wrong_method(exchange, route)

    def handle(self, exchange: Exchange, body: bytes | bytearray) -> None:
        """Answer a whole request.

        The route is looked up again: a version may have been retired while the body came in.
        """
        route = self._table.get(exchange.target) or self._find(exchange.target)
        if exchange.method == b"OPTIONS":
            exchange.answer(204, b"", headers=_allow(route))
            return
        route.handle(exchange, body)

    def count_refused(self, refusal: Refusal) -> None:
        """Count what never reached a version."""
        self._counters.counter("shipway_http_refused_total", refusal.error.code).add()

    # ---- routes -------------------------------------------------------------------------------

    def _fixed_routes(self) -> dict[bytes, Route]:
        server = {"name": "shipway", "version": __version__, "extensions": list(EXTENSIONS)}
        live = Route(_GET, None, partial(_constant, b'{"live":true}'))
        ready = Route(_GET, None, self._ready)
        about = Route(_GET, _DESCRIBE, partial(_constant, encode(server)))
        return {
            b"/livez": live,
            b"/readyz": ready,
            b"/v2/health/live": live,
            b"/v2/health/ready": ready,
            b"/v2": about,
            b"/v2/": about,
        }

    def _routes_of(self, name: str, served: Served) -> dict[bytes, Route]:
        described = Route(_GET, _DESCRIBE, partial(_constant, served.metadata))
        told = encode({"name": name, "ready": True})
        ready = Route(_GET, _DESCRIBE, partial(_constant, told))
        infer = Route(_POST, _PREDICT, partial(self._infer, served))
        base = f"/v2/models/{name}".encode()
        versioned = b"%b/versions/%d" % (base, served.predictor.served.number)
        routes = {}
        for stem in (base, versioned):
            routes[stem] = described
            routes[stem + b"/ready"] = ready
            routes[stem + b"/infer"] = infer
        return routes

    def _find(self, target: bytes) -> Route:
        """The route of a *target* that is not spelled as in the table, or its 404."""
        path = target.partition(b"?")[0]
        if path.lower().startswith((b"http://", b"https://")):
            path = b"/" + path.split(b"/", 3)[3] if path.count(b"/") > 2 else b"/"
        if path == b"*":
            return Route((b"OPTIONS",), None, partial(_constant, b"{}"))
        route = self._table.get(path)
        if route is not None:
            return route
        parts = path.split(b"/")
        if path.startswith(b"/v2/models/") and len(parts) in (4, 5, 6, 7) and parts[3]:
            return Route((*_GET, *_POST), _DESCRIBE, partial(self._unknown_model, parts))
        raise Refusal(
            NotFoundError(
                f"there is nothing at {_shown(path)}",
                next_step="see /v2/models/<model>/infer; administration has a port of its own",
            )
        )

    def _ready(self, exchange: Exchange, body: bytes | bytearray) -> None:
        if self.ready and not self.draining:
            exchange.answer_json(b'{"ready":true}')
        elif self.draining:
            raise Refusal(
                EnvironmentFailure("this server is shutting down", next_step="ask another one")
            )
        else:
            raise Refusal(
                EnvironmentFailure(
                    "no version is loaded yet, or one that should be cannot be",
                    next_step="see `shipway status`; promote a version if none is live",
                )
            )

    def _infer(self, served: Served, exchange: Exchange, body: bytes | bytearray) -> None:
        headers = exchange.headers
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind not in _TYPES:
            raise _unsupported(f"a body of type {_shown(kind)} is not read here")
        given = headers.get(b"inference-header-content-length")
        if given is not None and (not given.isdigit() or len(given) > 19):
            raise Refusal(_bad_length(given))
        try:
            decoded = served.codec.decode(body, None if given is None else int(given))
            exchange.write = decoded.write
            self._batcher.add(exchange, decoded, served.predictor)
        except ShipwayError as error:
            raise Refusal(error) from error

    def _unknown_model(
        self, parts: list[bytes], exchange: Exchange, body: bytes | bytearray
    ) -> None:
        name = _shown(parts[3])
        served = self.routing.by_name().get(parts[3].decode("latin-1"))
        if served is None:
            message = f"Request for unknown model: {name} is not served here"
            step = "see `shipway versions` and promote one, or mend the name"
        elif len(parts) > 5 and parts[4] == b"versions":
            number = served.predictor.served.number
            message = f"Request for unknown model: {name} version {_shown(parts[5])} is not live"
            step = f"ask for version {number}, or leave the version out"
        else:
            message = f"there is nothing at {_shown(b'/'.join(parts))}"
            step = "a model has /ready and /infer"
        raise Refusal(NotFoundError(message, next_step=step))


def _constant(body: bytes, exchange: Exchange, _: bytes | bytearray) -> None:
    exchange.answer_json(body)


def _allow(route: Route) -> bytes:
    return b"Allow: %b\r\n" % b", ".join(dict.fromkeys((*route.methods, b"OPTIONS")))


def _wrong_method(exchange: Exchange, route: Route) -> Refusal:
    allowed = ", ".join(method.decode() for method in route.methods)
    error = UsageError(
        f"{_shown(exchange.method)} is not possible here", next_step=f"use {allowed}"
    )
    return Refusal(error, status=405, headers=_allow(route))


def _unsupported(message: str) -> Refusal:
    step = "send Content-Type: application/json"
    return Refusal(UsageError(message, next_step=step), status=415)


def _bad_length(given: bytes) -> MalformedRequest:
    return MalformedRequest(
        f"Inference-Header-Content-Length is {_shown(given)}",
        next_step="send the length of the JSON part in bytes",
    )


def _shown(text: bytes) -> str:
    """*text* of a client, short and without anything that a terminal would obey."""
    shown = repr(text[:64].decode("latin-1"))
    return shown if len(text) <= 64 else f"{shown}…"
