"""Following the registry: verify, load, warm up, then route; never the other way round.

It runs in a thread of its own so that it holds up nobody. Once a worker answers, a version is
tried out in another process before it is loaded here (``arriving``); one that does not get
through leaves the version before it in place, and the worker's status says why.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, time_ns
from types import MappingProxyType

from shipway.domain.events import EventSink
from shipway.errors import PredictionFailed, ShipwayError
from shipway.inference.predictor import Predictor
from shipway.registry.records import EndpointState
from shipway.serving.access import Access, Admission
from shipway.serving.arriving import Arrivals, Outcome
from shipway.serving.routing import Routing, RoutingSource, RoutingState, Served
from shipway.serving.status import EndpointStatus
from shipway.serving.statuses import http_status

_log = logging.getLogger(__name__)
_RETRY_S = 5.0
_ARRIVING_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Refreshed:
    """A new routing, what it says of each endpoint, and the predictors that it no longer needs."""

    routing: Routing
    endpoints: dict[str, EndpointStatus]
    retired: tuple[Predictor, ...]

    @property
    def ready(self) -> bool:
        """Whether there is an endpoint to answer for, and each with a live version is."""
        told = self.endpoints.values()
        return any(one.live is not None for one in told) and not any(
            one.live is None and one.error for one in told
        )

    @property
    def error(self) -> str:
        """What could not be loaded, in a line each."""
        return "\n".join(
            f"{name}: {one.error}" for name, one in self.endpoints.items() if one.error
        )


def warm(wanted: EndpointState, source: RoutingSource, sink: EventSink) -> Predictor:
    """The live version of *wanted*, loaded and warmed up; raises nothing but ShipwayError.

    Whatever a version does when it is loaded, except ending the process, ends here.
    """
    try:
        loaded = source.load(wanted)
        try:
            predictor = Predictor(
                loaded.served,
                loaded.model,
                sink,
                time_ns,
                status_of=http_status,
                protection=loaded.protection,
            )
            loaded.warmed(predictor.warm_up())
        except BaseException:
            loaded.model.close()
            raise
    except ShipwayError:
        raise
    except Exception as error:  # a model's library may raise anything
        raise PredictionFailed(
            f"loading {wanted.model}@{wanted.live} raised {type(error).__name__}: {error}",
            next_step="promote another version; see the server's log",
        ) from error
    return predictor


class Follower:
    """The thread that asks the registry again and again, and hands over each new routing.

    *install* is called in this thread with what was loaded; when it returns, the new routing
    answers and nothing waits for the old one any more.
    """

    def __init__(
        self,
        *,
        open_source: Callable[[], RoutingSource],
        install: Callable[[Refreshed], None],
        failed: Callable[[str], None],
        sink: EventSink,
        admission: Admission,
        poll_s: float,
    ) -> None:
        self._open_source = open_source
        self._install = install
        self._failed = failed
        self._sink = sink
        self._admission = admission
        self._poll_s = poll_s
        self._routing = Routing()
        self._told: dict[str, EndpointStatus] = {}
        self._arrivals = Arrivals()
        self._retry_at = float("inf")
        self._broken = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follow-registry", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Stop and close what is served; a load that hangs is left behind after *timeout_s*."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        source: RoutingSource | None = None
        while not self._stopping.is_set():
            try:
                source = source or self._open_source()
                self._look(source)
                if self._broken:
                    self._report("")
            except ShipwayError as error:  # the store is away: serve on with what there is
                _log.warning("cannot follow the registry: %s", error.message)
                self._report(f"{error.message} [{error.code}]")
            except Exception as error:  # an outermost loop: a worker that follows no more is lost
                _log.exception("cannot follow the registry")
                self._report(f"{type(error).__name__}: {error}")
            self._stopping.wait(_ARRIVING_POLL_S if self._arrivals.expecting else self._poll_s)
        self._arrivals.keep_only(())
        for served in self._routing.endpoints.values():
            served.predictor.close()
        if source is not None:
            source.close()

    def _report(self, error: str) -> None:
        self._broken = bool(error)
        self._failed(error)

    def _look(self, source: RoutingSource) -> None:
        due = monotonic() >= self._retry_at
        if due:
            self._arrivals.forget_failures()
        moved = self._arrivals.moved()
        if source.revision() == self._routing.revision and not due and not moved:
            return
        refreshed = self._refresh(source.state(), source)
        self._retry_at = monotonic() + _RETRY_S if refreshed.error else float("inf")
        self._routing, self._told = refreshed.routing, refreshed.endpoints
        self._install(refreshed)
        for predictor in refreshed.retired:
            predictor.close()

    def _refresh(self, state: RoutingState, source: RoutingSource) -> Refreshed:
        """The routing for *state*: what is served already is kept, what has arrived is added."""
        current = self._routing.endpoints
        endpoints: dict[str, Served] = {}
        told: dict[str, EndpointStatus] = {}
        wanting = set()
        for wanted in state.endpoints:
            name, served = wanted.endpoint, current.get(wanted.endpoint)
            outcome: Outcome = None
            if wanted.live is None:
                served = None
            elif served is not None and served.answers(wanted):
                served = Served(wanted, served.predictor, served.codec, served.metadata)
            else:
                outcome = self._arrive(wanted, source)
                if isinstance(outcome, Predictor):
                    served = Served.of(wanted, outcome)
                else:
                    wanting.add(name)
            if served is not None:
                endpoints[name] = served
            if name not in wanting or outcome is not None:
                told[name] = _status(wanted, served, outcome)
            elif name in self._told:  # until it is known, what was said before still holds
                told[name] = self._told[name]
        self._arrivals.keep_only(wanting)
        kept = {served.predictor for served in endpoints.values()}
        retired = [one.predictor for one in current.values() if one.predictor not in kept]
        access = Access(state.keys, self._admission)
        routing = Routing(state.revision, MappingProxyType(endpoints), access)
        return Refreshed(routing, told, tuple(retired))

    def _arrive(self, wanted: EndpointState, source: RoutingSource) -> Outcome:
        """What is known of the version wanted, which is on its way from now on.

        Before the first look nobody is served who could be disturbed, and the start is to be
        fast: then it is loaded here and now.
        """

        def load(state: EndpointState) -> Predictor:
            return warm(state, source, self._sink)

        if self._routing.revision >= 0:
            return self._arrivals.outcome(wanted, source.trial, load)
        try:
            return load(wanted)
        except ShipwayError as error:
            return error


def _status(wanted: EndpointState, served: Served | None, outcome: Outcome) -> EndpointStatus:
    error = ""
    if isinstance(outcome, ShipwayError):
        error = f"{outcome.message} [{outcome.code}]"
        _log.error("cannot load %s@%s: %s", wanted.model, wanted.live, outcome)
    return EndpointStatus(
        model=wanted.model,
        live=None if served is None else served.predictor.served.number,
        sequence=wanted.sequence,
        error=error,
    )
