"""The supervisor: starts the workers and the control process, replaces the dead, ends them all.

It opens the ports itself and hands them down, so a worker that dies takes no waiting connection
with it. It loads no model and reads no request. Its children end with it, however it ends: each
watches a pipe that only the supervisor holds open.
"""

from __future__ import annotations

import fcntl
import logging
import os
import selectors
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import FrameType

from shipway.domain.times import Clock, system_clock
from shipway.errors import ConflictError, EnvironmentFailure
from shipway.serving.child import child_arguments
from shipway.serving.counters import wipe_counters
from shipway.serving.metrics import METRICS_FOLDER
from shipway.serving.sockets import check_exposure, listen, url_of
from shipway.serving.status import (
    ServerRecord,
    WorkerStatus,
    read_server,
    read_workers,
    remove_server,
    remove_worker,
    write_server,
)

_log = logging.getLogger(__name__)
_CONTROL = "control"
_TICK_S = 0.05
_FIRST_BACKOFF_S = 0.25
_LONGEST_BACKOFF_S = 30.0
_PATIENCE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPlan:
    """What to start. Ports may be 0; commands get the child's arguments appended.

    The control plane listens on an address of its own: opening the predictions to others opens
    nothing else.
    ``environment`` None hands down the supervisor's own.
    """

    host: str
    port: int
    control_port: int
    workers: int
    control_host: str = "127.0.0.1"
    worker_command: tuple[str, ...]
    control_command: tuple[str, ...]
    run: Path
    authentication: bool = True
    drain_wait_s: float = 2.0
    drain_timeout_s: float = 30.0
    environment: Mapping[str, str] | None = None


def backoff_s(deaths: int) -> float:
    """How long to wait before a child is started again after *deaths* in a row before ready.

    One that had been ready is replaced at once (0 deaths); a crash loop is slowed down.

    >>> [backoff_s(deaths) for deaths in (0, 1, 2, 3, 20)]
    [0.0, 0.25, 0.5, 1.0, 30.0]
    """
    if deaths == 0:
        return 0.0
    return min(_LONGEST_BACKOFF_S, _FIRST_BACKOFF_S * 2.0 ** min(deaths - 1, 16))


@dataclass(slots=True)
class _Slot:
    """A place for one child, whoever fills it at the moment."""

    name: str
    command: tuple[str, ...]
    listening: socket.socket
    process: subprocess.Popen[bytes] | None = None
    ready: bool = False
    deaths: int = 0
    start_at: float = 0.0


class Supervisor:
    """The children of one server and what is to be done about them; one call of ``step`` a tick."""

    def __init__(
        self,
        plan: ServerPlan,
        data_socket: socket.socket,
        control_socket: socket.socket,
        watch_fd: int,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._plan = plan
        self._watch_fd = watch_fd
        self._clock = clock
        self._slots = [
            _Slot(f"worker-{number}", plan.worker_command, data_socket)
            for number in range(plan.workers)
        ]
        self._slots.append(_Slot(_CONTROL, plan.control_command, control_socket))
        self._was_ready = False

    def step(self) -> None:
        """Start what is not there, notice what has died or become ready.

        Raises :class:`~shipway.errors.EnvironmentFailure` if the server never gets ready because
        one child ends again and again, or because what is live does not load.
        """
        workers = read_workers(self._plan.run)
        if not self.ready:
            _check_first(workers)
        ready = {status.pid for status in workers if status.revision >= 0}
        for slot in self._slots:
            process = slot.process
            if process is None:
                if self._clock() >= slot.start_at:
                    self._start(slot)
            elif process.poll() is not None:
                self._bury(slot, process)
            elif not slot.ready and (process.pid in ready or slot.name == _CONTROL):
                slot.ready = slot.name != _CONTROL or _answers(slot.listening)
                slot.deaths = 0 if slot.ready else slot.deaths

    @property
    def ready(self) -> bool:
        """Whether the control process and at least one worker have begun to answer, once."""
        if not self._was_ready:
            workers = any(slot.ready for slot in self._slots if slot.name != _CONTROL)
            control = all(slot.ready for slot in self._slots if slot.name == _CONTROL)
            self._was_ready = workers and control
        return self._was_ready

    def running(self, *, control: bool = True) -> list[subprocess.Popen[bytes]]:
        """The children that have not ended, the control process only if asked for."""
        found = [slot.process for slot in self._slots if control or slot.name != _CONTROL]
        return [process for process in found if process is not None and process.poll() is None]

    def signal(self, number: signal.Signals, *, control: bool = True) -> None:
        """Send *number* to every child, the control process only if asked to."""
        for process in self.running(control=control):
            process.send_signal(number)

    def end(self) -> None:
        """Kill what is left, and wait until it is gone."""
        for process in self.running():
            process.kill()
            process.wait()

    def _start(self, slot: _Slot) -> None:
        socket_fd = slot.listening.fileno()
        slot.ready = False
        slot.process = subprocess.Popen(
            [*slot.command, *child_arguments(slot.name, socket_fd, self._watch_fd)],
            pass_fds=(socket_fd, self._watch_fd),
            stdin=subprocess.DEVNULL,
            env=None if self._plan.environment is None else dict(self._plan.environment),
            process_group=0,  # a Ctrl-C in the terminal is the supervisor's to pass on, once
        )

    def _bury(self, slot: _Slot, process: subprocess.Popen[bytes]) -> None:
        slot.deaths = 0 if slot.ready else slot.deaths + 1
        slot.process = None
        slot.start_at = self._clock() + backoff_s(slot.deaths)
        remove_worker(self._plan.run, process.pid)
        _log.warning("%s (pid %d) ended: %s", slot.name, process.pid, _ending(process))
        if slot.deaths >= _PATIENCE and not self.ready:
            raise EnvironmentFailure(
                f"{slot.name} ended {slot.deaths} times before it was ready ({_ending(process)})",
                next_step="mend what it says above; `shipway doctor` looks at the installation",
            )


def supervise(
    plan: ServerPlan,
    *,
    announce: Callable[[ServerRecord], None],
    clock: Clock = system_clock,
) -> int:
    """Run a server in the foreground until SIGTERM or SIGINT; the exit code, 0 after a drain.

    *announce* is called once, when the server answers. A second signal ends everything at once
    (exit code 1). Call it from the main thread. Raises :class:`~shipway.errors.PortInUse`,
    :class:`~shipway.errors.UsageError` for a port open to all without authentication,
    :class:`~shipway.errors.ConflictError` if a server runs on this store, and
    :class:`~shipway.errors.EnvironmentFailure` if it cannot get ready.
    """
    for host in (plan.host, plan.control_host):
        check_exposure(host, authentication=plan.authentication)
    with ExitStack() as stack:
        stack.enter_context(_only_one(plan.run))
        data = stack.enter_context(listen(plan.host, plan.port, setting="serve.port"))
        control = stack.enter_context(
            listen(plan.control_host, plan.control_port, setting="serve.control_port")
        )
        for path in plan.run.glob("worker-*.json"):
            path.unlink(missing_ok=True)
        wipe_counters(plan.run / METRICS_FOLDER)
        watched, held = os.pipe()
        stack.callback(os.close, watched)
        stack.callback(os.close, held)
        signals = stack.enter_context(_Signals.caught())
        supervisor = Supervisor(plan, data, control, watched)
        record = ServerRecord(
            pid=os.getpid(), url=url_of(data), control_url=url_of(control), started_at=clock()
        )
        stack.callback(remove_server, plan.run)
        stack.callback(supervisor.end)
        announced = False
        while not signals.count:
            supervisor.step()
            if supervisor.ready and not announced:
                announced = True
                write_server(plan.run, record)
                announce(record)
            signals.wait(_TICK_S)
        return _drain(plan, supervisor, signals)


def _drain(plan: ServerPlan, supervisor: Supervisor, signals: _Signals) -> int:
    """End the workers first, then the control process, which takes labels until the last."""
    grace_s = plan.drain_wait_s + plan.drain_timeout_s + 2.0
    supervisor.signal(signal.SIGTERM, control=False)
    until = monotonic() + grace_s
    ended = _wait(lambda: supervisor.running(control=False), until, signals)
    supervisor.signal(signal.SIGTERM)
    ended = _wait(supervisor.running, until + 5.0, signals) and ended
    return 0 if ended else 1


def _wait(
    running: Callable[[], list[subprocess.Popen[bytes]]], until: float, signals: _Signals
) -> bool:
    """Wait for all of *running* to end; at *until*, or at a second signal, end them."""
    while left := running():
        if monotonic() >= until or signals.count > 1:
            for process in left:
                process.kill()
                process.wait()
            return False
        signals.wait(_TICK_S)
    return True


@dataclass(slots=True)
class _Signals:
    """SIGTERM and SIGINT, counted; SIGCHLD only wakes the one who waits."""

    selector: selectors.BaseSelector
    reading: socket.socket
    count: int = 0

    @classmethod
    @contextmanager
    def caught(cls) -> Iterator[_Signals]:
        """Catch them for as long as the context lasts."""
        reading, writing = socket.socketpair()
        selector = selectors.DefaultSelector()
        reading.setblocking(False)
        writing.setblocking(False)
        selector.register(reading, selectors.EVENT_READ)
        caught = cls(selector, reading)

        def count(number: int, _: FrameType | None) -> None:
            caught.count += number != signal.SIGCHLD

        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
        before = {number: signal.signal(number, count) for number in numbers}
        former = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        try:
            yield caught
        finally:
            signal.set_wakeup_fd(former)
            for number, handler in before.items():
                signal.signal(number, handler)
            selector.close()
            reading.close()
            writing.close()

    def wait(self, timeout_s: float) -> None:
        """Sleep until a signal comes, at most *timeout_s*."""
        if self.selector.select(timeout_s):
            self.reading.recv(4096)


@contextmanager
def _only_one(run: Path) -> Iterator[None]:
    """Hold the store's server lock; the system lets go of it however this process ends."""
    run.mkdir(parents=True, exist_ok=True)
    with (run / "server.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            record = read_server(run)
            where = "" if record is None else f" at {record.url} (pid {record.pid})"
            raise ConflictError(
                f"a server of this store runs already{where}",
                next_step="use that one, stop it, or give this one a store with SHIPWAY_HOME",
            ) from error
        yield


def _answers(listening: socket.socket) -> bool:
    """Whether somebody accepts and answers on *listening*."""
    host, port = listening.getsockname()[:2]
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    try:
        with socket.create_connection((target, port), timeout=0.2) as probe:
            probe.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return probe.recv(12).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def _check_first(workers: tuple[WorkerStatus, ...]) -> None:
    """Raise if a worker of a server that never answered yet cannot do so."""
    for worker in workers:
        if worker.error and not worker.ready:
            raise EnvironmentFailure(
                f"{worker.name} can answer nothing: {worker.error}",
                next_step="promote or roll back to a version that loads; `shipway versions` lists"
                " them, `shipway doctor --thorough` looks at the store",
            )


def _ending(process: subprocess.Popen[bytes]) -> str:
    code = process.returncode
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
