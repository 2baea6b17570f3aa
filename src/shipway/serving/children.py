"""The children of one server: who fills which place, and what is done about those that end."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable, Generator
from dataclasses import dataclass
from time import monotonic, sleep

from shipway.errors import EnvironmentFailure
from shipway.serving.child import RETIRE, child_arguments
from shipway.serving.forking import launcher_of
from shipway.serving.launching import Launcher, Process
from shipway.serving.plan import ServerPlan
from shipway.serving.status import (
    WorkerStatus,
    read_controls,
    read_workers,
    remove_process,
)

_log = logging.getLogger(__name__)
_WORKER, _CONTROL = "worker", "control"
_FIRST_BACKOFF_S = 0.25
_LONGEST_BACKOFF_S = 30.0
_PATIENCE = 3
_SETTLED_S = 0.5
_READY_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Openings:
    """What the supervisor holds and its children use: sockets, and a pipe that ends with it."""

    data: socket.socket
    control: socket.socket
    grpc: socket.socket | None
    watch_fd: int

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What is handed down."""
        sockets = (self.data, self.control, self.grpc)
        return (*(one.fileno() for one in sockets if one is not None), self.watch_fd)


def backoff_s(deaths: int) -> float:
    """How long to wait before a child is started again after *deaths* in a row.

    A death counts when it comes before the child was ready, or within half a second of that. One
    that has served for longer is replaced at once (0 deaths); a crash loop is slowed down.

    >>> [backoff_s(deaths) for deaths in (0, 1, 2, 3, 20)]
    [0.0, 0.25, 0.5, 1.0, 30.0]
    """
    if deaths == 0:
        return 0.0
    return min(_LONGEST_BACKOFF_S, _FIRST_BACKOFF_S * 2.0 ** min(deaths - 1, 16))


@dataclass(slots=True)
class _Tenant:
    """A process, the name that it goes by, and since when it is ready."""

    process: Process
    name: str
    ready_since: float | None = None


@dataclass(slots=True)
class _Place:
    """Room for one child; for the time of a change, for the one before and the one after too."""

    role: str
    current: _Tenant | None = None
    successor: _Tenant | None = None
    predecessor: _Tenant | None = None
    deaths: int = 0
    start_at: float = 0.0

    @property
    def tenants(self) -> tuple[_Tenant, ...]:
        found = (self.current, self.successor, self.predecessor)
        return tuple(one for one in found if one is not None)


class Children:
    """All of them; one call of ``step`` a tick."""

    def __init__(
        self, plan: ServerPlan, openings: Openings, clock: Callable[[], float] = monotonic
    ) -> None:
        self._plan = plan
        self._openings = openings
        self._clock = clock
        self._places = [_Place(_WORKER) for _ in range(plan.workers)]
        self._places.append(_Place(_CONTROL))
        self._names = [f"{_WORKER}-{number}" for number in range(plan.workers + 1)]
        self._launcher = launcher_of(plan, openings.descriptors)
        self._launchers_before: list[Launcher] = []
        self._rolling: Generator[None] | None = None
        self._was_ready = False

    def step(self) -> None:
        """Start what is not there, notice what has died or become ready, go on with a roll.

        Raises :class:`~shipway.errors.EnvironmentFailure` if the server never gets ready because
        one child ends again and again, or because what is live does not load.
        """
        workers = {status.pid: status for status in read_workers(self._plan.run)}
        if not self.ready:
            _check_first(tuple(workers.values()))
        controls = read_controls(self._plan.run)
        for place in self._places:
            for tenant in place.tenants:
                pid = tenant.process.pid
                looked = pid in controls or (pid in workers and workers[pid].revision >= 0)
                if tenant is place.successor and pid in workers:
                    looked = workers[pid].ready
                if looked and tenant.ready_since is None:
                    tenant.ready_since = self._clock()
            self._tend(place)
        if self._rolling is not None and next(self._rolling, self) is self:
            self._rolling = None
        self._launchers_before = [one for one in self._launchers_before if not one.ended()]

    @property
    def ready(self) -> bool:
        """Whether the control process and at least one worker have begun to answer, once."""
        if not self._was_ready:
            roles = {
                place.role
                for place in self._places
                if place.current is not None and place.current.ready_since is not None
            }
            self._was_ready = roles == {_WORKER, _CONTROL}
        return self._was_ready

    @property
    def rolling(self) -> bool:
        """Whether children are being replaced."""
        return self._rolling is not None

    def roll(self, plan: ServerPlan) -> None:
        """From the next step on, replace every child by one of *plan*, one after the other."""
        before = (self._plan, self._launcher)
        self._plan, self._launcher = plan, launcher_of(plan, self._openings.descriptors)
        self._rolling = self._rolled(*before)

    def running(self, *, control: bool = True) -> list[Process]:
        """The children that have not ended, the control process only if asked for."""
        return [
            tenant.process
            for place in self._places
            if control or place.role != _CONTROL
            for tenant in place.tenants
            if tenant.process.ending() is None
        ]

    def signal(self, number: signal.Signals, *, control: bool = True) -> None:
        """Send *number* to every child, the control process only if asked to."""
        for process in self.running(control=control):
            process.signal(number)

    def end(self) -> None:
        """Kill what is left, and wait until it is gone."""
        for process in self.running():
            process.signal(signal.SIGKILL)
        for place in self._places:
            for tenant in place.tenants:
                while tenant.process.ending() is None:
                    sleep(0.01)
                remove_process(self._plan.run, tenant.process.pid)
        if self._rolling is not None:
            self._rolling.close()
        for launcher in (*self._launchers_before, self._launcher):
            launcher.end()

    # ---- one place ----------------------------------------------------------------------------

    def _tend(self, place: _Place) -> None:
        """Bury the one who died, and fill the place again when it is time."""
        current = place.current
        if current is not None and (how := current.process.ending()) is not None:
            self._bury(place, current, how)
        if place.current is None and place.successor is None and self._may_start(place):
            place.current = self._start(place)

    def _may_start(self, place: _Place) -> bool:
        if self._clock() < place.start_at:
            return False
        # The first answer is a worker's: on one core it would come later if both began at once.
        return place.role == _WORKER or self._was_ready or self._a_worker_answers

    @property
    def _a_worker_answers(self) -> bool:
        workers = [place.current for place in self._places if place.role == _WORKER]
        return any(one is not None and one.ready_since is not None for one in workers)

    def _start(self, place: _Place) -> _Tenant | None:
        name = self._free_name() if place.role == _WORKER else _CONTROL
        worker = place.role == _WORKER
        socket_fd = (self._openings.data if worker else self._openings.control).fileno()
        grpc = self._openings.grpc if worker else None
        grpc_fd = None if grpc is None else grpc.fileno()
        arguments = child_arguments(name, socket_fd, self._openings.watch_fd, grpc_fd)
        process = self._launcher.start(place.role, arguments)
        return None if process is None else _Tenant(process, name)

    def _free_name(self) -> str:
        """The first that nobody has; there is one more than places, for a change of tenants.

        Counters are kept by name: a name is never borne by two at once, and the next to bear it
        counts on.
        """
        taken = {tenant.name for place in self._places for tenant in place.tenants}
        return next(name for name in self._names if name not in taken)

    def _bury(self, place: _Place, tenant: _Tenant, how: str) -> None:
        now = self._clock()
        settled = tenant.ready_since is not None and now - tenant.ready_since >= _SETTLED_S
        place.deaths = 0 if settled else place.deaths + 1
        place.current = None
        place.start_at = now + backoff_s(place.deaths)
        remove_process(self._plan.run, tenant.process.pid)
        _log.warning("%s (pid %d) ended: %s", tenant.name, tenant.process.pid, how)
        if place.deaths >= _PATIENCE and not self.ready:
            raise EnvironmentFailure(
                f"{tenant.name} ended {place.deaths} times before it was ready ({how})",
                next_step="mend what it says above; `shipway doctor` looks at the installation",
            )

    # ---- all places, one after the other ------------------------------------------------------

    def _rolled(self, plan: ServerPlan, launcher: Launcher) -> Generator[None]:
        """Fill each place anew; if one cannot be, the rest stay, and *plan* and *launcher* too."""
        outgoing = self._launcher
        try:
            for place in self._places:
                fault = yield from self._succeeded(place)
                if fault is not None:
                    self._plan, self._launcher = plan, launcher
                    _log.error("the processes of before stay: %s", fault)
                    return
                yield from self._retired(place)
            outgoing = launcher
            _log.info("every process was replaced")
        finally:
            outgoing.close()
            self._launchers_before.append(outgoing)

    def _succeeded(self, place: _Place) -> Generator[None, None, str | None]:
        """Start a successor and give it the place once it is ready; else what went wrong."""
        until = self._clock() + _READY_WITHIN_S
        while place.successor is None:
            if self._clock() >= until:
                return f"no {place.role} could be started within {_READY_WITHIN_S:g} s"
            place.successor = self._start(place)
            yield
        fault = yield from self._made_ready(place.successor, until)
        if fault is None:
            place.current, place.predecessor = place.successor, place.current
            place.deaths = 0
        place.successor = None
        return fault

    def _made_ready(self, tenant: _Tenant, until: float) -> Generator[None, None, str | None]:
        """Wait until *tenant* is ready; what went wrong if it is not by *until*."""
        late = False
        while tenant.ready_since is None:
            how = tenant.process.ending()
            if how is not None:
                remove_process(self._plan.run, tenant.process.pid)
                told = f"was not ready within {_READY_WITHIN_S:g} s" if late else f"ended: {how}"
                return f"the new {tenant.name} (pid {tenant.process.pid}) {told}"
            if self._clock() >= until and not late:
                late = True
                tenant.process.signal(signal.SIGKILL)
            yield
        return None

    def _retired(self, place: _Place) -> Generator[None]:
        """Have the one before end, in its time."""
        tenant = place.predecessor
        if tenant is None:
            return
        tenant.process.signal(RETIRE if place.role == _WORKER else signal.SIGTERM)
        until = self._clock() + self._plan.grace_s
        while tenant.process.ending() is None:
            if self._clock() >= until:
                _log.warning("%s did not end in its time and is killed", tenant.name)
                tenant.process.signal(signal.SIGKILL)
            yield
        remove_process(self._plan.run, tenant.process.pid)
        place.predecessor = None


def _check_first(workers: tuple[WorkerStatus, ...]) -> None:
    """Raise if a worker of a server that never answered yet cannot do so."""
    for worker in workers:
        if worker.error and not worker.ready:
            raise EnvironmentFailure(
                f"{worker.name} can answer nothing: {worker.error}",
                next_step="promote or roll back to a version that loads; `shipway versions` lists"
                " them, `shipway doctor --thorough` looks at the store",
            )
