"""The health service of gRPC: the server's readiness, and that of each model by its name.

Anybody may check the whole server, as a probe does; a model's name is told to callers alone, and
only they may keep a watch. Source: ``grpc.health.v1``, the gRPC health checking protocol.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from shipway.errors import MalformedRequest, NotFoundError, ShipwayError
from shipway.serving.routes import DESCRIBE
from shipway.serving.rpc import health_pb2
from shipway.serving.rpc.calls import Call, Method, Streaming, Unary

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
        self._watches: dict[Call, _Watch] = {}

    def methods(self) -> dict[str, Method]:
        """The methods of the service."""
        return {
            f"/{SERVICE.full_name}/Check": Unary(None, self._check),
            f"/{SERVICE.full_name}/Watch": Streaming(
                DESCRIBE, self._watch, self._heard, self._left
            ),
        }

    def changed(self) -> None:
        """Tell whoever watches what is new."""
        for call in list(self._watches):
            self._tell(call)

    def _check(self, call: Call, body: bytes) -> bytes | ShipwayError:
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

    def _watch(self, call: Call, body: bytes) -> None:
        if call in self._watches:
            raise MalformedRequest("a watch asks for one name", next_step="begin another watch")
        self._watches[call] = _Watch(_named(body))
        self._tell(call)

    def _heard(self, call: Call) -> None:
        """The client has said all; the watch goes on, if there is one."""
        if call not in self._watches:
            raise MalformedRequest("the call came without a message", next_step="send one")

    def _left(self, call: Call) -> None:
        self._watches.pop(call, None)

    def _tell(self, call: Call) -> None:
        watch = self._watches[call]
        now = _response(self._is_ready(watch.name))
        if now != watch.told:
            watch.told = now
            call.say(now)


@dataclass(slots=True)
class _Watch:
    """Which name is watched, and what was told last."""

    name: str
    told: bytes = b""


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
