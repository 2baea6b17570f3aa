"""Versions on their way to an endpoint: tried out first, then loaded, while all else goes on.

Nothing here waits for a version. The trial is a process, the load a thread, and both are only
asked how far they are, so that a version that hangs keeps no key and no other endpoint waiting.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from concurrent.futures import Future

from shipway.errors import ShipwayError
from shipway.inference.predictor import Predictor
from shipway.registry.records import EndpointState
from shipway.serving.routing import Trial

Load = Callable[[EndpointState], Predictor]
"""Loads and warms up; raises nothing but ShipwayError."""

Outcome = Predictor | ShipwayError | None
"""The warm predictor, or why there will be none; None while neither is known."""


class Arrival:
    """One version on its way."""

    def __init__(self, wanted: EndpointState, trial: Trial, load: Load) -> None:
        self.wanted = wanted
        self.outcome: Outcome = None
        self._trial = trial
        self._load = load
        self._loading: Future[Predictor] | None = None

    def poll(self) -> bool:
        """Whether the outcome became known just now."""
        if self.outcome is not None:
            return False
        try:
            self.outcome = self._look()
        except ShipwayError as error:
            self.outcome = error
        return self.outcome is not None

    def abandon(self) -> None:
        """Let go of it wherever it is; a load that is under way is closed when it ends."""
        self._trial.abandon()
        if self._loading is not None:
            self._loading.add_done_callback(_close)

    def _look(self) -> Predictor | None:
        if self._loading is None:
            if not self._trial.poll():
                return None
            self._loading = _begin(self._load, self.wanted)
        return self._loading.result() if self._loading.done() else None


class Arrivals:
    """Every version that is on its way to an endpoint of one worker."""

    def __init__(self) -> None:
        self._arrivals: dict[str, Arrival] = {}

    @property
    def expecting(self) -> bool:
        """Whether the outcome of any is not known yet."""
        return any(arrival.outcome is None for arrival in self._arrivals.values())

    def moved(self) -> bool:
        """Whether the outcome of any became known just now."""
        return sum(arrival.poll() for arrival in self._arrivals.values()) > 0

    def outcome(
        self, wanted: EndpointState, try_out: Callable[[EndpointState], Trial], load: Load
    ) -> Outcome:
        """What is known of the version that is *wanted*; it is on its way from now on.

        A predictor is handed out once, and is the caller's to close from then on.
        """
        name = wanted.endpoint
        arrival = self._arrivals.get(name)
        if arrival is None or _version(arrival.wanted) != _version(wanted):
            self.keep_only(self._arrivals.keys() - {name})
            try:
                arrival = Arrival(wanted, try_out(wanted), load)
            except ShipwayError as error:
                return error
            self._arrivals[name] = arrival
            arrival.poll()
        if isinstance(arrival.outcome, Predictor):
            del self._arrivals[name]
        return arrival.outcome

    def keep_only(self, endpoints: Collection[str]) -> None:
        """Abandon what is on its way to any other endpoint than these."""
        for name in [name for name in self._arrivals if name not in endpoints]:
            self._arrivals.pop(name).abandon()

    def forget_failures(self) -> None:
        """Let what failed be tried once more when it is asked for."""
        failed = {n for n, one in self._arrivals.items() if isinstance(one.outcome, ShipwayError)}
        self.keep_only(self._arrivals.keys() - failed)


def _begin(load: Load, wanted: EndpointState) -> Future[Predictor]:
    loading: Future[Predictor] = Future()

    def run() -> None:
        try:
            loading.set_result(load(wanted))
        except BaseException as error:  # handed to whoever asks for the result
            loading.set_exception(error)

    # A daemon, because a load that hangs must not keep the process from ending.
    name = f"load-{wanted.model}@{wanted.live}"
    threading.Thread(target=run, name=name, daemon=True).start()
    return loading


def _close(loading: Future[Predictor]) -> None:
    if loading.exception() is None:
        loading.result().close()


def _version(wanted: EndpointState) -> tuple[str, int | None]:
    return wanted.model, wanted.live
