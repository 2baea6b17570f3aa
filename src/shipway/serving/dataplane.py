"""The data plane: predictions, health and metadata, and nothing else.

Every route is an entry of a table that is made anew with each routing snapshot, so that finding
what to do with a request is one look-up. Admin routes do not exist here, whatever key is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from shipway import __version__
from shipway.errors import EnvironmentFailure, ShipwayError
from shipway.serving.access import Credentials
from shipway.serving.batching import Batcher
from shipway.serving.counters import CounterFile
from shipway.serving.describing import Describing
from shipway.serving.doors import Doors
from shipway.serving.http.exchange import Exchange
from shipway.serving.http.limits import Limits
from shipway.serving.http.responses import Refusal
from shipway.serving.predicting import Predicting
from shipway.serving.protocols.bounds import Bounds
from shipway.serving.protocols.oip import EXTENSIONS, encode
from shipway.serving.routes import (
    DESCRIBE,
    GET,
    POST,
    Route,
    Table,
    allow,
    fixed,
    not_here,
    nowhere,
    shown,
    wrong_method,
)
from shipway.serving.routing import Routing, Served
from shipway.serving.triton import Triton

_REMEMBERED_S = 0.25


class _Admitted(NamedTuple):
    """What was made of a head: its route and its caller, by one table, for a moment.

    A table is of one set of keys. The moment is so short that it hardly prolongs a key or a token.
    """

    table: Table
    route: Route
    caller: str
    until: float

    def holds(self, table: Table, now: float) -> bool:
        """Whether it still does."""
        return self.table is table and now < self.until


class DataPlane:
    """The application behind the data port's connections."""

    def __init__(
        self,
        *,
        limits: Limits,
        counters: CounterFile,
        clock: Callable[[], float],
        metrics: Path | None = None,
        doors: Doors | None = None,
    ) -> None:
        self.routing = Routing()
        self.ready = False
        self.draining = False
        self._counters = counters
        self._batcher = Batcher(
            queue_rows=limits.queue_rows, queue_s=limits.queue_s, counters=counters, clock=clock
        )
        bounds = Bounds(max_json_depth=limits.max_json_depth, max_elements=limits.max_elements)
        self._predicting = Predicting(self._batcher, bounds, charge=self._charge)
        self._triton = Triton(metrics)
        self._describing = Describing(limits)
        self._doors = doors or Doors()
        self._fixed = self._fixed_routes()
        self._table = dict(self._fixed)

    def install(self, routing: Routing, *, ready: bool) -> None:
        """Answer by *routing* from the next request on; what waits keeps what it was given."""
        names = routing.by_name()
        only = [*routing.endpoints.values()]
        table = self._fixed | self._triton.of_server(names)
        table |= self._describing.of_server(names, authentication=not routing.access.open)
        table[b"/invocations"] = self._predicting.invocations(only)
        if self._doors.predict:
            table[self._doors.predict.encode()] = self._predicting.rows(only)
        for name, served in names.items():
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
        known = exchange.head.admitted
        if known.__class__ is _Admitted and known.holds(self._table, exchange.started):
            exchange.tell, exchange.caller = known.route.tell, known.caller
            self._count(known.caller)
            return
        route = self._table.get(exchange.target) or self._find(exchange.target)
        exchange.tell = route.tell
        if route.scope is not None:
            credentials = Credentials(exchange.headers, exchange.channel.certificate)
            try:
                exchange.caller = self.routing.access.allow(credentials, route.scope).id
            except ShipwayError as error:
                raise Refusal(error) from error
        if route.nowhere:
            route.handle(exchange, b"")
        if exchange.method == b"OPTIONS":
            return
        if exchange.method in route.methods:
            until = exchange.started + _REMEMBERED_S
            exchange.head.admitted = _Admitted(self._table, route, exchange.caller, until)
        else:
            raise wrong_method(exchange, route)

    def handle(self, exchange: Exchange, body: bytes | bytearray) -> None:
        """Answer a whole request.

        The route is looked up again: a version may have been retired while the body came in.
        """
        known = exchange.head.admitted
        if known.__class__ is _Admitted and known.table is self._table:
            known.route.handle(exchange, body)
            return
        route = self._table.get(exchange.target) or self._find(exchange.target)
        if exchange.method == b"OPTIONS":
            exchange.answer(204, b"", headers=allow(route))
            return
        route.handle(exchange, body)

    @property
    def batcher(self) -> Batcher:
        """Where the requests of every protocol wait for their model."""
        return self._batcher

    def count_refused(self, refusal: Refusal) -> None:
        """Count what never reached a version."""
        self._counters.counter("shipway_http_refused_total", refusal.error.code).add()

    def _count(self, caller: str) -> None:
        try:
            self.routing.access.count(caller)
        except ShipwayError as error:
            raise Refusal(error) from error

    def _charge(self, caller: str, rows: int) -> None:
        self.routing.access.charge(caller, rows)

    # ---- routes -------------------------------------------------------------------------------

    def _fixed_routes(self) -> Table:
        server = {"name": "shipway", "version": __version__, "extensions": list(EXTENSIONS)}
        live = fixed(b'{"live":true}', scope=None)
        ready = Route(GET, None, self._ready)
        about = fixed(encode(server))
        table = {
            b"/": fixed(b'{"status":"alive"}', scope=None),
            b"/livez": live,
            b"/readyz": ready,
            b"/ping": ready,
            b"/health": ready,
            b"/version": fixed(__version__.encode(), content_type=b"text/plain"),
            b"/v2/health/live": live,
            b"/v2/health/ready": ready,
            b"/v2": about,
            b"/v2/": about,
        }
        if self._doors.health:
            table[self._doors.health.encode()] = ready
        return table

    def _routes_of(self, name: str, served: Served) -> Table:
        described = fixed(served.metadata)
        ready = fixed(encode({"name": name, "ready": True}))
        base = f"/v2/models/{name}"
        versioned = f"{base}/versions/{served.predictor.served.number}"
        table: Table = {f"/v1/models/{name}".encode(): ready}
        for stem in (base, versioned):
            table[stem.encode()] = described
            table[f"{stem}/ready".encode()] = ready
        table |= self._predicting.of_model(name, served)
        return table | self._triton.of_model(name, served)

    def _find(self, target: bytes) -> Route:
        """The route of a *target* that is not spelled as in the table, or its 404."""
        path = target.partition(b"?")[0]
        if path.lower().startswith((b"http://", b"https://")):
            path = b"/" + path.split(b"/", 3)[3] if path.count(b"/") > 2 else b"/"
        if path == b"*":
            return Route((b"OPTIONS",), DESCRIBE, fixed(b"{}").handle)
        route = self._table.get(path)
        if route is not None:
            return route
        parts = path.split(b"/")
        below = path.startswith((b"/v1/models/", b"/v2/models/"))
        if below and len(parts) in (4, 5, 6, 7) and parts[3]:
            return Route((*GET, *POST), DESCRIBE, partial(self._unknown_model, parts))
        step = "see /v2/models/<model>/infer; administration has a port of its own"
        return nowhere(not_here(f"there is nothing at {shown(path)}", step))

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

    def _unknown_model(
        self, parts: list[bytes], exchange: Exchange, body: bytes | bytearray
    ) -> None:
        named = parts[3].partition(b":")[0]
        name = shown(named)
        served = self.routing.by_name().get(named.decode("latin-1"))
        if served is None:
            message = f"Request for unknown model: {name} is not served here"
            step = "see `shipway versions` and promote one, or mend the name"
        elif len(parts) > 5 and parts[4] == b"versions":
            number = served.predictor.served.number
            wanted = shown(parts[5].partition(b":")[0])
            message = f"Request for unknown model: {name} version {wanted} is not live"
            step = f"ask for version {number}, or leave the version out"
        else:
            message = f"there is nothing at {shown(b'/'.join(parts))}"
            step = "GET /openapi.json tells what there is"
        raise Refusal(not_here(message, step))
