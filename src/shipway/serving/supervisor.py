"""The supervisor: starts the workers and the control process, replaces the dead, ends them all.

It opens the ports itself and hands them down, so a worker that dies takes no waiting connection
with it. It loads no model and reads no request. Its children end with it, however it ends: each
watches a pipe that only the supervisor holds open.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic

from shipway.domain.times import Clock, system_clock
from shipway.errors import ConflictError, ShipwayError
from shipway.security.rates import wipe_rates
from shipway.serving.children import Children, Openings
from shipway.serving.counters import wipe_counters
from shipway.serving.launching import Process
from shipway.serving.metrics import METRICS_FOLDER
from shipway.serving.plan import ServerPlan
from shipway.serving.signals import Signals
from shipway.serving.sockets import address_of, check_exposure, listen, url_of
from shipway.serving.status import ServerRecord, read_server, remove_server, write_server
from shipway.serving.tls import server_context

_log = logging.getLogger(__name__)
_TICK_S = 0.05


def supervise(
    plan: ServerPlan,
    *,
    announce: Callable[[ServerRecord], None],
    reread: Callable[[], ServerPlan] | None = None,
    clock: Clock = system_clock,
) -> int:
    """Run a server in the foreground until SIGTERM or SIGINT; the exit code, 0 after a drain.

    *announce* is called once, when the server answers. A second signal ends everything at once
    (exit code 1). On SIGHUP every process is replaced by one of the plan that *reread* makes, or
    of the same plan. Call it from the main thread. Raises :class:`~shipway.errors.PortInUse`,
    :class:`~shipway.errors.UsageError` for a port open to all without authentication,
    :class:`~shipway.errors.ConfigError` for a certificate that is no good,
    :class:`~shipway.errors.ConflictError` if a server runs on this store, and
    :class:`~shipway.errors.EnvironmentFailure` if it cannot get ready.
    """
    tls = plan.tls is not None
    known = plan.authentication or plan.behind_platform
    check_exposure(plan.host, authentication=known, tls=tls)
    check_exposure(plan.control_host, authentication=plan.authentication, tls=tls)
    _check_certificates(plan)
    with ExitStack() as stack:
        stack.enter_context(_only_one(plan.run))
        openings, record = _opened(plan, stack, clock)
        for pattern in ("worker-*.json", "control-*.json"):
            for path in plan.run.glob(pattern):
                path.unlink(missing_ok=True)
        wipe_counters(plan.run / METRICS_FOLDER)
        wipe_rates(plan.run)
        signals = stack.enter_context(Signals.caught())
        children = Children(plan, openings)
        stack.callback(remove_server, plan.run)
        stack.callback(children.end)
        announced = False
        while not signals.ends:
            children.step()
            if children.ready and not announced:
                announced = True
                write_server(plan.run, record)
                announce(record)
            if signals.hangups and announced and not children.rolling:
                signals.hangups = 0
                plan = _renewed(plan, children, reread)
            signals.wait(_TICK_S)
        return _drain(plan, children, signals)


def _check_certificates(plan: ServerPlan) -> None:
    if plan.tls is not None:
        server_context(plan.tls)


def _opened(plan: ServerPlan, stack: ExitStack, clock: Clock) -> tuple[Openings, ServerRecord]:
    """The ports of *plan*, open until *stack* closes them, and where they are."""
    data = stack.enter_context(listen(plan.host, plan.port, setting="serve.port"))
    control = stack.enter_context(
        listen(plan.control_host, plan.control_port, setting="serve.control_port")
    )
    grpc = None
    if plan.grpc_port is not None:
        grpc = stack.enter_context(listen(plan.host, plan.grpc_port, setting="serve.grpc_port"))
    watched, held = os.pipe()
    stack.callback(os.close, watched)
    stack.callback(os.close, held)
    tls = plan.tls is not None
    record = ServerRecord(
        pid=os.getpid(),
        url=url_of(data, tls=tls),
        control_url=url_of(control, tls=tls),
        grpc_url="" if grpc is None else address_of(grpc),
        certificate=plan.tls.certificate if plan.tls is not None else "",
        started_at=clock(),
    )
    openings = Openings(data=data, control=control, grpc=grpc, watch_fd=watched)
    return openings, record


def _renewed(
    plan: ServerPlan, children: Children, reread: Callable[[], ServerPlan] | None
) -> ServerPlan:
    """Begin to replace every process by one of the plan as it is now; that plan."""
    try:
        newer, kept = plan.taking_over(plan if reread is None else reread())
        _check_certificates(newer)
    except ShipwayError as error:
        _log.error("nothing is replaced: %s", error, extra={"code": error.code})
        return plan
    if kept:
        _log.warning("taken over only by a new start: %s", ", ".join(f"serve.{k}" for k in kept))
    _log.info("every process is replaced, one after the other")
    children.roll(newer)
    return newer


def _drain(plan: ServerPlan, children: Children, signals: Signals) -> int:
    """End the workers first, then the control process, which takes labels until the last."""
    children.signal(signal.SIGTERM, control=False)
    until = monotonic() + plan.grace_s
    ended = _wait(lambda: children.running(control=False), until, signals)
    children.signal(signal.SIGTERM)
    ended = _wait(children.running, until + 5.0, signals) and ended
    return 0 if ended else 1


def _wait(running: Callable[[], list[Process]], until: float, signals: Signals) -> bool:
    """Wait for all of *running* to end; at *until*, or at a second signal, kill them."""
    in_time = True
    while left := running():
        if monotonic() >= until or signals.ends > 1:
            in_time = False
            for process in left:
                process.signal(signal.SIGKILL)
        signals.wait(_TICK_S)
    return in_time


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
