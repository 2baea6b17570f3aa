"""The gRPC port as the worker sees it: its libraries load after the worker answers over HTTP.

Who connects meanwhile waits in the backlog of the socket, which the supervisor has opened.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from shipway.errors import ShipwayError
from shipway.serving.dataplane import DataPlane
from shipway.serving.http.bodies import Room
from shipway.serving.http.limits import Limits
from shipway.serving.http.listening import Listener
from shipway.serving.http2.connection import Connection, Shared
from shipway.serving.rpc.options import GrpcOptions
from shipway.serving.tls import Certificates

if TYPE_CHECKING:
    from shipway.serving.rpc.services import GrpcServices


class GrpcPort:
    """Opened once and closed once, both on the loop's thread; ``number`` is its port while open."""

    def __init__(
        self,
        listening: socket.socket,
        plane: DataPlane,
        *,
        options: GrpcOptions,
        limits: Limits,
        room: Room,
        metrics: Path,
        refused: Callable[[ShipwayError], None],
        accepted: Callable[[], None],
        certificates: Certificates | None = None,
        handshake_timeout_s: float = 10.0,
    ) -> None:
        self.number = 0
        self._socket = listening
        self._plane = plane
        self._options = options
        self._limits = limits
        self._room = room
        self._metrics = metrics
        self._refused = refused
        self._accepted = accepted
        self._certificates = certificates
        self._handshake_timeout_s = handshake_timeout_s
        self._services: GrpcServices | None = None
        self._shared: Shared | None = None
        self._listener: Listener | None = None

    @property
    def busy(self) -> int:
        """How many connections there are."""
        return 0 if self._listener is None else self._listener.busy

    async def open(self) -> None:
        """Load what reads the messages in a thread, for it takes a while, then answer."""
        kind = await asyncio.to_thread(_load)
        self._services = services = kind(
            self._plane,
            max_calls=self._options.max_calls,
            limits=self._limits,
            metrics=self._metrics,
            refused=self._refused,
        )
        self._shared = shared = Shared(
            services.door, self._limits, self._options.manners, self._room, monotonic
        )
        self._listener = Listener(
            self._socket,
            shared.connections,
            asyncio.get_running_loop(),
            make=lambda: Connection(shared),
            limits=self._limits,
            accepted=self._accepted,
            certificates=self._certificates,
            handshake_timeout_s=self._handshake_timeout_s,
        )
        self._listener.start()
        self.number = self._socket.getsockname()[1]

    def changed(self) -> None:
        """Readiness, or what is served, may be another now."""
        if self._services is not None:
            self._services.changed()

    def stop_accepting(self) -> None:
        """Accept no more, tell clients to go elsewhere, and end what never ends by itself."""
        if self._listener is None or self._shared is None or self._services is None:
            self._socket.close()
            return
        self._shared.closing = True
        self._listener.stop_accepting()
        self._listener.close_idle()
        self._services.end_streams()

    def close(self) -> None:
        """Cut what is left."""
        if self._listener is None:
            self._socket.close()
        else:
            self._listener.close()


def _load() -> type[GrpcServices]:
    from shipway.serving.rpc.services import GrpcServices  # noqa: PLC0415  - what takes long

    return GrpcServices
