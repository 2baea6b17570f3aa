"""The gRPC port of a worker: opened after the HTTP port, drained with it.

gRPC's own threads read and write the wire; every call runs on the worker's loop, so that calls of
both protocols share its batches, its counters and its routing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from grpc import aio

from shipway.errors import PortInUse, ShipwayError
from shipway.serving.http.limits import Limits
from shipway.serving.routes import DESCRIBE
from shipway.serving.rpc import inference
from shipway.serving.rpc.door import OPEN_CALLS, Call, Door
from shipway.serving.rpc.health import Health
from shipway.serving.rpc.inference import Inference, Plane
from shipway.serving.rpc.options import GrpcOptions
from shipway.serving.rpc.reflection import Reflection
from shipway.serving.rpc.tls import credentials

_IDENTITY_ONLY = 1
_STRIKES = 2
_BEING_REFUSED = 256


class GrpcServer:
    """One worker's gRPC port; make it, start it and stop it on the loop's thread."""

    def __init__(
        self,
        plane: Plane,
        *,
        options: GrpcOptions,
        limits: Limits,
        metrics: Path,
        refused: Callable[[ShipwayError], None],
    ) -> None:
        self.port = 0
        self._options = options
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
            max_calls=options.max_calls,
            refused=refused,
        )
        self._server = aio.server(
            options=_arguments(options, limits),
            maximum_concurrent_rpcs=options.max_calls + OPEN_CALLS + _BEING_REFUSED,
        )
        self._server.add_generic_rpc_handlers((self.door,))

    async def start(self) -> None:
        """Answer from now on; raises PortInUse, or ConfigError for certificates that are none."""
        options = self._options
        try:
            if options.certificate is None:
                self.port = self._server.add_insecure_port(options.address)
            else:
                self.port = self._server.add_secure_port(
                    options.address, credentials(options.certificate, options)
                )
        except RuntimeError as error:
            raise PortInUse(
                f"{options.address} cannot be listened to for gRPC",
                next_step="set serve.grpc_port to a free port, or to 0",
            ) from error
        await self._server.start()

    def changed(self) -> None:
        """The routing or the readiness is another: tell whoever watches."""
        self._health.changed()

    async def stop(self, grace_s: float) -> None:
        """Tell clients to go elsewhere, finish what is under way within *grace_s*, then close."""
        self.door.end_streams()
        await self._server.stop(grace_s)

    def _is_ready(self, name: str) -> bool | None:
        if name in ("", inference.SERVICE.full_name):
            return self._inference.serving
        return self._inference.is_ready(name)

    def _authorise(self, call: Call) -> None:
        self.door.authorise(DESCRIBE, call.context)


def _arguments(options: GrpcOptions, limits: Limits) -> list[tuple[str, int]]:
    """What gRPC's core is told. Compressed messages are not read: it unpacks them without bound."""
    return [
        ("grpc.so_reuseport", 1),
        ("grpc.max_receive_message_length", limits.max_body_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.compression_enabled_algorithms_bitset", _IDENTITY_ONLY),
        ("grpc.max_metadata_size", options.max_metadata_bytes),
        ("grpc.absolute_max_metadata_size", options.max_metadata_bytes),
        ("grpc.max_concurrent_streams", options.max_streams),
        ("grpc.server_handshake_timeout_ms", _ms(limits.header_timeout_s)),
        ("grpc.http2.min_ping_interval_without_data_ms", _ms(options.least_ping_interval_s)),
        ("grpc.http2.max_ping_strikes", _STRIKES),
        ("grpc.max_allowed_incoming_connections", options.max_connections),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.keepalive_time_ms", _ms(options.keepalive_s)),
        ("grpc.keepalive_timeout_ms", _ms(options.keepalive_s / 3)),
        ("grpc.max_connection_idle_ms", _ms(options.max_idle_s)),
    ]


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
