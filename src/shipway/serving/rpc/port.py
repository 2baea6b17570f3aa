"""The gRPC port as the worker sees it: its libraries load after the worker answers over HTTP."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from shipway.errors import ShipwayError
from shipway.serving.dataplane import DataPlane
from shipway.serving.http.limits import Limits
from shipway.serving.rpc.options import GrpcOptions

if TYPE_CHECKING:
    from shipway.serving.rpc.server import GrpcServer


class GrpcPort:
    """Opened once and closed once, both on the loop's thread; ``number`` is its port while open.

    ``busy`` from its opening until every call has ended after :meth:`close`.
    """

    def __init__(
        self,
        plane: DataPlane,
        *,
        options: GrpcOptions,
        limits: Limits,
        metrics: Path,
        refused: Callable[[ShipwayError], None],
    ) -> None:
        self.busy = False
        self._plane = plane
        self._options = options
        self._limits = limits
        self._metrics = metrics
        self._refused = refused
        self._server: GrpcServer | None = None

    @property
    def number(self) -> int:
        """The port, 0 until it is open."""
        return 0 if self._server is None else self._server.port

    async def open(self) -> None:
        """Load gRPC in a thread, for it takes a tenth of a second, then answer."""
        kind = await asyncio.to_thread(_load)
        server = kind(
            self._plane,
            options=self._options,
            limits=self._limits,
            metrics=self._metrics,
            refused=self._refused,
        )
        self.busy = True
        await server.start()
        self._server = server

    def changed(self) -> None:
        """Readiness, or what is served, may be another now."""
        if self._server is not None:
            self._server.changed()

    async def close(self, grace_s: float) -> None:
        """Take no more calls and wait for those under way, for so long; the rest is cut."""
        if self._server is not None:
            await self._server.stop(grace_s)
        self.busy = False


def _load() -> type[GrpcServer]:
    # The core writes of bad clients to stderr in a form of its own; a log of ours is JSON.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from shipway.serving.rpc.server import GrpcServer  # noqa: PLC0415  - what takes long

    return GrpcServer
