"""What answers on the gRPC port of a worker: its services, behind their door.

It runs on the worker's loop, and calls of both protocols share its batches, its counters and its
routing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from shipway.errors import ShipwayError
from shipway.serving.http.limits import Limits
from shipway.serving.routes import DESCRIBE
from shipway.serving.rpc import inference
from shipway.serving.rpc.calls import Call
from shipway.serving.rpc.door import Door
from shipway.serving.rpc.health import Health
from shipway.serving.rpc.inference import Inference, Plane
from shipway.serving.rpc.reflection import Reflection


class GrpcServices:
    """The services of one worker; used on the loop's thread."""

    def __init__(
        self,
        plane: Plane,
        *,
        max_calls: int,
        limits: Limits,
        metrics: Path,
        refused: Callable[[ShipwayError], None],
    ) -> None:
        self._inference = Inference(plane, limits, metrics)
        self._health = Health(
            self._is_ready,
            whole=frozenset({"", inference.SERVICE.full_name}),
            authorise=self._authorise,
        )
        methods = self._inference.methods() | self._health.methods() | Reflection().methods()
        self.door = Door(
            methods,
            access=lambda: plane.routing.access,
            limits=limits,
            max_calls=max_calls,
            refused=refused,
        )

    def changed(self) -> None:
        """The routing or the readiness is another: tell whoever watches."""
        self._health.changed()

    def end_streams(self) -> None:
        """End the calls that never end by themselves."""
        self.door.end_streams()

    def _is_ready(self, name: str) -> bool | None:
        if name in ("", inference.SERVICE.full_name):
            return self._inference.serving
        return self._inference.is_ready(name)

    def _authorise(self, call: Call) -> None:
        self.door.authorise(DESCRIBE, call)
