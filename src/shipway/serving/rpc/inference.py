"""The service of the Open Inference Protocol: predictions, readiness, metadata, figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError, Message

from shipway import __version__
from shipway.errors import MalformedRequest, NotFoundError, UsageError
from shipway.serving.batching import Batcher
from shipway.serving.http.limits import Limits
from shipway.serving.protocols.bounds import Bounds
from shipway.serving.protocols.oip import EXTENSIONS
from shipway.serving.routes import DESCRIBE, PREDICT, read_only, shown
from shipway.serving.routing import Routing, Served
from shipway.serving.rpc import open_inference_pb2 as messages
from shipway.serving.rpc.calls import Call, Method, Streaming, Unary
from shipway.serving.rpc.refusing import CallRefused
from shipway.serving.rpc.statuses import Status
from shipway.serving.rpc.tensors import TensorCodec
from shipway.serving.triton import model_config, statistics

SERVICE = messages.DESCRIPTOR.services_by_name["GRPCInferenceService"]
_NEVER = float("inf")
_M = TypeVar("_M", bound=Message)


class Plane(Protocol):
    """What is served now; the data plane of HTTP is one."""

    routing: Routing
    ready: bool
    draining: bool

    @property
    def batcher(self) -> Batcher:
        """Where requests wait for their model."""


@dataclass(frozen=True, slots=True)
class _Target:
    served: Served
    codec: TensorCodec


class Inference:
    """Answers for *plane*; *metrics* is the folder of the workers' counters."""

    def __init__(self, plane: Plane, limits: Limits, metrics: Path) -> None:
        self._plane = plane
        self._limits = limits
        self._metrics = metrics
        self._bounds = Bounds(
            max_json_depth=limits.max_json_depth, max_elements=limits.max_elements
        )
        self._known: tuple[Routing, dict[str, _Target]] = (Routing(), {})

    def methods(self) -> dict[str, Method]:
        """The methods of the service, and those of Triton that a client is told the way from."""
        answered: dict[str, Method] = {
            "ServerLive": Unary(None, _server_live, bare=True),
            "ServerReady": Unary(None, self._server_ready, bare=True),
            "ServerMetadata": Unary(DESCRIBE, _server_metadata, bare=True),
            "ModelReady": Unary(DESCRIBE, self._model_ready),
            "ModelMetadata": Unary(DESCRIBE, self._model_metadata),
            "ModelInfer": Unary(PREDICT, self._infer),
            "ModelConfig": Unary(DESCRIBE, self._model_config),
            "ModelStatistics": Unary(DESCRIBE, self._model_statistics),
            "RepositoryIndex": Unary(DESCRIBE, self._index),
            "RepositoryModelLoad": Unary(DESCRIBE, _not_from_here, bare=True),
            "RepositoryModelUnload": Unary(DESCRIBE, _not_from_here, bare=True),
            "ModelStreamInfer": Streaming(DESCRIBE, _not_streamed, _not_streamed, _nothing),
        }
        return {f"/{SERVICE.full_name}/{name}": method for name, method in answered.items()}

    def is_ready(self, name: str) -> bool | None:
        """Whether the model *name* can answer; None if there is none of that name."""
        return None if name not in self._targets() else not self._plane.draining

    @property
    def serving(self) -> bool:
        """Whether the server as a whole is ready."""
        return self._plane.ready and not self._plane.draining

    # ---- predictions --------------------------------------------------------------------------

    def _infer(self, call: Call, body: bytes) -> None:
        request = _read(messages.ModelInferRequest, body)
        target = self._target(request.model_name, request.model_version)
        decoded = target.codec.decode(request)
        self._bounds.check_elements(decoded.rows * len(decoded.columns))
        self._plane.routing.access.charge(call.caller, decoded.rows)
        if decoded.timeout_s != _NEVER:
            call.deadline = min(call.deadline, call.received + decoded.timeout_s)
        call.write = decoded.write
        self._plane.batcher.add(call, decoded, target.served.predictor)

    # ---- what there is ------------------------------------------------------------------------

    def _server_ready(self, call: Call, _: bytes) -> bytes:
        return messages.ServerReadyResponse(ready=self.serving).SerializeToString()

    def _model_ready(self, call: Call, body: bytes) -> bytes:
        request = _read(messages.ModelReadyRequest, body)
        try:
            self._target(request.name, request.version)
            ready = not self._plane.draining
        except NotFoundError:
            ready = False
        return messages.ModelReadyResponse(ready=ready).SerializeToString()

    def _model_metadata(self, call: Call, body: bytes) -> bytes:
        request = _read(messages.ModelMetadataRequest, body)
        served = self._target(request.name, request.version).served
        return _told(messages.ModelMetadataResponse(), msgspec.json.decode(served.metadata))

    def _model_config(self, call: Call, body: bytes) -> bytes:
        request = _read(messages.ModelConfigRequest, body)
        served = self._target(request.name, request.version).served
        return _told(messages.ModelConfigResponse(), {"config": model_config(served)})

    def _model_statistics(self, call: Call, body: bytes) -> bytes:
        request = _read(messages.ModelStatisticsRequest, body)
        if request.name:
            served = [self._target(request.name, request.version).served]
        else:
            served = [*self._plane.routing.endpoints.values()]
        return _told(messages.ModelStatisticsResponse(), statistics(served, self._metrics))

    def _index(self, call: Call, body: bytes) -> bytes:
        # All that is served is ready: none is left out.
        _read(messages.RepositoryIndexRequest, body)
        index = messages.RepositoryIndexResponse()
        for name, target in self._targets().items():
            number = str(target.served.predictor.served.number)
            index.models.add(name=name, version=number, state="READY")
        return index.SerializeToString()

    # ---- models -------------------------------------------------------------------------------

    def _targets(self) -> dict[str, _Target]:
        routing, targets = self._known
        if routing is not self._plane.routing:
            routing = self._plane.routing
            made = {served: _Target(served, TensorCodec(served)) for served in _each(routing)}
            targets = {name: made[served] for name, served in routing.by_name().items()}
            self._known = (routing, targets)
        return targets

    def _target(self, name: str, version: str) -> _Target:
        target = self._targets().get(name)
        told = shown(name.encode())
        if target is None:
            raise NotFoundError(
                f"Request for unknown model: {told} is not served here",
                next_step="see `shipway versions` and promote one, or mend the name",
            )
        number = target.served.predictor.served.number
        if version and version != str(number):
            wanted = shown(version.encode())
            raise NotFoundError(
                f"Request for unknown model: {told} version {wanted} is not live",
                next_step=f"ask for version {number}, or leave the version out",
            )
        return target


def _each(routing: Routing) -> set[Served]:
    return set(routing.by_name().values())


def _read(kind: type[_M], body: bytes) -> _M:
    try:
        return kind.FromString(body)
    except DecodeError as error:
        raise MalformedRequest(
            f"the message is no {kind.DESCRIPTOR.name}",
            next_step="make the client's code from the protocol; reflection tells it",
        ) from error


def _told(response: Message, document: dict[str, Any]) -> bytes:
    """*response* filled from what the same question over HTTP is answered with."""
    return ParseDict(document, response, ignore_unknown_fields=True).SerializeToString()


def _server_live(call: Call, _: bytes) -> bytes:
    return messages.ServerLiveResponse(live=True).SerializeToString()


def _server_metadata(call: Call, _: bytes) -> bytes:
    about = messages.ServerMetadataResponse(name="shipway", version=__version__)
    about.extensions.extend(EXTENSIONS)
    return about.SerializeToString()


def _not_from_here(call: Call, _: bytes) -> None:
    raise read_only()


def _not_streamed(call: Call, _: bytes = b"") -> None:
    # Not at the head: a client that is still sending would see that fail, not why.
    error = UsageError(
        "predictions are not streamed: every request has one answer",
        next_step="call ModelInfer; calls of one connection are answered at the same time",
    )
    raise CallRefused(error, Status.UNIMPLEMENTED)


def _nothing(_: Call) -> None:
    """Nothing is held for a call."""
