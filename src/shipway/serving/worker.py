"""A prediction worker: one process, one loop, one port shared with its siblings.

It puts the parts together and owns their order: load before accepting, swap whole, and on
SIGTERM readiness first, then a wait, then no more connections, then what is under way. A worker
that retires while the server goes on (SIGUSR1) leaves new connections to its siblings at once.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, time

import msgspec
import uvloop

from shipway.domain.events import EventSink, Losses
from shipway.serving.access import Access, Admission
from shipway.serving.child import RETIRE, Child, watch_parent
from shipway.serving.counters import SUFFIX, CounterFile
from shipway.serving.dataplane import DataPlane
from shipway.serving.doors import Doors
from shipway.serving.heir import memory_shared
from shipway.serving.http.connection import Connection, Shared
from shipway.serving.http.limits import Limits
from shipway.serving.http.listening import Listener
from shipway.serving.http.responses import Responder
from shipway.serving.metrics import METRICS_FOLDER
from shipway.serving.reloading import Follower, Refreshed
from shipway.serving.routing import Routing, RoutingSource
from shipway.serving.rpc.options import GrpcOptions
from shipway.serving.rpc.port import GrpcPort
from shipway.serving.status import WorkerStatus, remove_process, write_worker
from shipway.serving.tls import HTTP_1, HTTP_2, Certificates, TlsFiles, watch

_log = logging.getLogger(__name__)
_PATIENCE_S = 10.0
_SETTLE_S = 0.005
_LOOK_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """How a worker behaves; ``run`` is the folder of the server's state.

    gRPC is answered if the child was given a socket for it, and speaks TLS as HTTP does.
    """

    run: Path
    admission: Admission = field(default_factory=Admission)
    limits: Limits = field(default_factory=Limits)
    tls: TlsFiles | None = None
    tls_handshake_timeout_s: float = 10.0
    grpc: GrpcOptions = field(default_factory=GrpcOptions)
    drain_wait_s: float = 2.0
    drain_timeout_s: float = 30.0
    poll_s: float = 0.15
    doors: Doors = field(default_factory=Doors)


class Worker:
    """One worker's life; make it and run it inside its loop."""

    def __init__(
        self,
        child: Child,
        *,
        open_source: Callable[[], RoutingSource],
        sink: EventSink,
        options: WorkerOptions,
        losses: Callable[[], Losses] = Losses,
    ) -> None:
        self._child = child
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._counters = CounterFile(options.run / METRICS_FOLDER / f"{child.name}{SUFFIX}")
        self._plane = DataPlane(
            limits=options.limits,
            counters=self._counters,
            clock=monotonic,
            metrics=options.run / METRICS_FOLDER,
            doors=options.doors,
        )
        self._plane.install(Routing(access=Access(admission=options.admission)), ready=False)
        self._responder = Responder(options.limits.compress_min_bytes)
        self._shared = shared = Shared(self._plane, options.limits, self._responder, monotonic)
        self._connections = self._counters.counter("shipway_connections_total")
        self._certificates: list[Certificates] = []
        self._listener = Listener(
            child.socket,
            shared.connections,
            self._loop,
            make=lambda: Connection(shared),
            limits=options.limits,
            accepted=self._connections.add,
            ticked=lambda: self._responder.tick(time()),
            certificates=self._certificates_for(HTTP_1),
            handshake_timeout_s=options.tls_handshake_timeout_s,
        )
        self._follower = Follower(
            open_source=open_source,
            install=self._install,
            failed=self._failed,
            sink=sink,
            admission=options.admission,
            poll_s=options.poll_s,
        )
        self._grpc = self._grpc_port()
        self._status = WorkerStatus(pid=os.getpid(), name=child.name)
        self._telling = threading.Lock()
        self._losses = losses
        self._lost = self._counters.counter("shipway_events_lost_total")
        self._looked = asyncio.Event()
        self._stop = asyncio.Event()
        self._retiring = False
        self._ended = threading.Event()

    def _certificates_for(self, protocol: str) -> Certificates | None:
        if self._options.tls is None:
            return None
        made = Certificates(self._options.tls, protocol)
        self._certificates.append(made)
        return made

    def _grpc_port(self) -> GrpcPort | None:
        options, counters = self._options, self._counters
        if self._child.grpc_socket is None:
            return None
        return GrpcPort(
            self._child.grpc_socket,
            self._plane,
            options=options.grpc,
            limits=options.limits,
            room=self._shared.room,
            metrics=options.run / METRICS_FOLDER,
            refused=lambda error: counters.counter("shipway_grpc_refused_total", error.code).add(),
            accepted=self._connections.add,
            certificates=self._certificates_for(HTTP_2),
            handshake_timeout_s=options.tls_handshake_timeout_s,
        )

    async def run(self) -> int:
        """Serve until told to stop; the exit code."""
        # The file is there before anything is read, so that a promotion waits for this worker.
        self._tell(self._status)
        watch_parent(self._child, self._orphaned)
        self._follower.start()
        if self._certificates:
            watch(self._certificates, self._ended)
        watching = self._loop.create_task(self._watch_losses())
        try:
            # A model that takes long to load must not make the server look dead.
            await self._first_of(self._looked, self._stop, timeout_s=_PATIENCE_S)
            # What is there now stays for good: leave it out of every collection of garbage.
            gc.freeze()
            if not self._stop.is_set():
                self._listener.start()
                if self._grpc is not None:
                    await self._grpc.open()
            await self._stop.wait()
            return await self._drain()
        finally:
            watching.cancel()
            self._ended.set()
            self._listener.close()
            if self._grpc is not None:
                self._grpc.close()
            self._plane.close()
            await asyncio.sleep(0)
            self._follower.stop(timeout_s=2.0)
            remove_process(self._options.run, self._status.pid)

    @property
    def grpc_port(self) -> int:
        """Where gRPC is answered, 0 until it is."""
        return 0 if self._grpc is None else self._grpc.number

    def stop(self) -> None:
        """Begin to drain. A service manager may ask twice; who wants more haste kills."""
        self._stop.set()

    def retire(self) -> None:
        """Begin to drain while siblings take what comes: the server stays ready."""
        self._retiring = self._retiring or not self._stop.is_set()
        self._stop.set()

    async def _drain(self) -> int:
        self._responder.closing = True
        self._tell(self._status)
        wait_s, timeout_s = self._options.drain_wait_s, self._options.drain_timeout_s
        if self._retiring:
            # A client learns from its next answer that the connection ends: give it time to ask.
            self._stop_accepting()
            await self._left_by_clients(wait_s, close_idle=False)
        else:
            self._plane.draining = True
            self._grpc_changed()
            await asyncio.sleep(wait_s)
            self._stop_accepting()
        await self._left_by_clients(timeout_s, close_idle=True)
        if self._busy:
            _log.warning("%d connections were cut at the end of the drain", self._busy)
        return 0

    async def _left_by_clients(self, timeout_s: float, *, close_idle: bool) -> None:
        until = self._loop.time() + timeout_s
        while self._busy and self._loop.time() < until:
            if close_idle:
                self._listener.close_idle()
            await asyncio.sleep(_LOOK_S)

    @property
    def _busy(self) -> int:
        return self._listener.busy + (0 if self._grpc is None else self._grpc.busy)

    def _stop_accepting(self) -> None:
        self._listener.stop_accepting()
        if self._grpc is not None:
            self._grpc.stop_accepting()

    def _grpc_changed(self) -> None:
        if self._grpc is not None:
            self._grpc.changed()

    async def _first_of(self, *events: asyncio.Event, timeout_s: float | None = None) -> None:
        waiting = [self._loop.create_task(event.wait()) for event in events]
        await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()

    async def _watch_losses(self) -> None:
        """Count and tell what the sink could not keep, as soon as that changes."""
        while True:
            await asyncio.sleep(self._options.poll_s)
            losses, known = self._losses(), self._status.lost
            if losses == known:
                continue
            self._lost.add(losses.events - known.events)
            if losses.error and not known.error:
                _log.error("events are being lost: %s", losses.error)
            with self._telling:
                self._write(msgspec.structs.replace(self._status, lost=losses))

    def _orphaned(self) -> None:
        """The supervisor is gone: drain, and if that does not end, end anyhow."""
        self._loop.call_soon_threadsafe(self._stop.set)
        if not self._ended.wait(self._options.drain_wait_s + self._options.drain_timeout_s):
            os._exit(1)

    # ---- in the follower's thread -------------------------------------------------------------

    def _install(self, refreshed: Refreshed) -> None:
        """Swap on the loop, wait until nothing waits for the old routing, then acknowledge."""
        swapped = threading.Event()

        def swap() -> None:
            self._plane.install(refreshed.routing, ready=refreshed.ready)
            # Batches gathered before the swap were scheduled before this, and run before it.
            self._loop.call_soon(settle)
            self._grpc_changed()
            self._looked.set()

        def settle() -> None:
            if self._plane.settled():
                swapped.set()
            else:
                self._loop.call_later(_SETTLE_S, settle)

        self._loop.call_soon_threadsafe(swap)
        while not swapped.wait(0.1):
            if self._ended.is_set():
                return
        self._tell(
            WorkerStatus(
                pid=self._status.pid,
                name=self._status.name,
                revision=refreshed.routing.revision,
                ready=refreshed.ready,
                endpoints=refreshed.endpoints,
                error=refreshed.error,
            )
        )

    def _failed(self, error: str) -> None:
        """The registry could not be followed: say so, and let readiness be asked."""
        if self._status.error != error:
            self._tell(msgspec.structs.replace(self._status, error=error))
        self._loop.call_soon_threadsafe(self._looked.set)

    def _tell(self, status: WorkerStatus) -> None:
        """Keep *status*; once the drain has begun it is not ready, and still follows."""
        with self._telling:
            ready = status.ready and not self._stop.is_set()
            self._write(msgspec.structs.replace(status, ready=ready, lost=self._status.lost))

    def _write(self, status: WorkerStatus) -> None:
        self._status = status
        write_worker(self._options.run, status)


def run_worker(
    child: Child,
    *,
    open_source: Callable[[], RoutingSource],
    sink: EventSink,
    options: WorkerOptions,
    losses: Callable[[], Losses] = Losses,
) -> int:
    """Run one worker until it is told to stop; the exit code of the process.

    *open_source* is called in the thread that uses the source. *sink* is used on the loop's
    thread and is the caller's to close afterwards; *losses* says what it could not keep.
    """

    async def serve() -> int:
        worker = Worker(child, open_source=open_source, sink=sink, options=options, losses=losses)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, worker.stop)
        loop.add_signal_handler(RETIRE, worker.retire)
        return await worker.run()

    with memory_shared(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve())
