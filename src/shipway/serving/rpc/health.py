"""The health service of gRPC: the server's readiness, and that of each model by its name.

Anybody may check the whole server, as a probe does; a model's name is told to callers alone, and
only they may keep a watch. Source: ``grpc.health.v1``, the gRPC health checking protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from shipway.errors import MalformedRequest, NotFoundError, ShipwayError
from shipway.serving.routes import DESCRIBE
from shipway.serving.rpc.door import Call, Method, Stream, Unary

SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"]
_Status = health_pb2.HealthCheckResponse


class Health:
    """Tells what *is_ready* says of a name: None where there is nothing of it.

    *whole* are the names that mean the server itself; *authorise* raises for whoever is no caller.
    """

    def __init__(
        self,
        is_ready: Callable[[str], bool | None],
        *,
        whole: frozenset[str],
        authorise: Callable[[Call], None],
    ) -> None:
        self._is_ready = is_ready
        self._whole = whole
        self._authorise = authorise
        self._changed = asyncio.Event()

    def methods(self) -> dict[str, Method]:
        """The methods of the service."""
        return {
            f"/{SERVICE.full_name}/Check": Unary(None, self._check),
            f"/{SERVICE.full_name}/Watch": Stream(DESCRIBE, self._watch),
        }

    def changed(self) -> None:
        """Have whoever watches look again."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _check(self, call: Call, body: bytes) -> bytes | ShipwayError:
        name = _named(body)
        if name not in self._whole:
            self._authorise(call)
        ready = self._is_ready(name)
        if ready is None:
            return NotFoundError(
                "there is no service or model of that name here",
                next_step="leave the name out to ask for the server, or name a model of it",
            )
        return _response(ready)

    async def _watch(self, call: Call) -> None:
        name = _named(await call.receive())
        last: bytes | None = None
        while True:
            changed = self._changed
            now = _response(self._is_ready(name))
            if now != last:
                await call.context.write(now)
                last = now
            await changed.wait()


def _named(body: bytes) -> str:
    try:
        name: str = health_pb2.HealthCheckRequest.FromString(body).service
    except DecodeError as error:
        raise MalformedRequest(
            "the message is no HealthCheckRequest", next_step="send one of grpc.health.v1"
        ) from error
    return name


def _response(ready: bool | None) -> bytes:
    if ready is None:
        status = _Status.SERVICE_UNKNOWN
    else:
        status = _Status.SERVING if ready else _Status.NOT_SERVING
    told: bytes = _Status(status=status).SerializeToString()
    return told
