"""The routes of the data plane that predict: every protocol's, for one version or for the only one.

A protocol decodes; what all of them share is here: limits, the client's own deadline, the queue.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from shipway.errors import (
    MalformedRequest,
    NotFoundError,
    ShipwayError,
    UnsupportedMedia,
    UsageError,
)
from shipway.serving.batching import Batcher
from shipway.serving.http.exchange import Exchange
from shipway.serving.http.responses import Refusal
from shipway.serving.protocols.bounds import Bounds
from shipway.serving.protocols.decoded import JSON, Decoded
from shipway.serving.protocols.instances import CLOUD_EVENT, InstancesCodec
from shipway.serving.protocols.invocations import InvocationsCodec
from shipway.serving.protocols.oip_codec import Codec
from shipway.serving.protocols.predictions import PredictionWriter
from shipway.serving.routes import POST, PREDICT, Handler, Route, Table, shown
from shipway.serving.routing import Served
from shipway.serving.statuses import mlflow_error_body

Charge = Callable[[str, int], None]
"""Counts so many rows for a caller, or raises."""

Decode = Callable[[Exchange, "bytes | bytearray"], Decoded]
_OIP_TYPES = (b"", b"application/json", b"application/octet-stream")
_JSON_TYPES = (b"", b"application/json")
_NEVER = float("inf")


class Predicting:
    """Makes the predicting routes; all of them end in one batcher."""

    def __init__(self, batcher: Batcher, bounds: Bounds, *, charge: Charge) -> None:
        self._batcher = batcher
        self._bounds = bounds
        self._charge = charge

    def of_model(self, name: str, served: Served) -> Table:
        """The routes below the names of one model."""
        version = served.predictor.served
        instances = self._instances(served)
        infer = Route(POST, PREDICT, self._handler(served, partial(self._oip, served.codec)))
        predict = Route(POST, PREDICT, self._handler(served, partial(_v1, instances)))
        explain = Route(POST, PREDICT, _explain)
        table: Table = {}
        for stem in (f"/v2/models/{name}", f"/v2/models/{name}/versions/{version.number}"):
            table[f"{stem}/infer".encode()] = infer
        for stem in (f"/v1/models/{name}", f"/v1/models/{name}/versions/{version.number}"):
            table[f"{stem}:predict".encode()] = predict
            table[f"{stem}:explain".encode()] = explain
        return table

    def invocations(self, served: list[Served]) -> Route:
        """``POST /invocations``, which names no model: there must be one endpoint alone."""
        if len(served) != 1:
            return Route(POST, PREDICT, partial(_which, len(served)), mlflow_error_body)
        (only,) = served
        version = only.predictor.served
        writer = PredictionWriter(version, only.predictor.rule)
        codec = InvocationsCodec(version.contract, writer, only.codec, self._bounds)
        handle = self._handler(only, partial(_invocation, codec))
        return Route(POST, PREDICT, handle, mlflow_error_body)

    def rows(self, served: list[Served]) -> Route:
        """Vertex's route, whose predictions are whole rows: Vertex passes on nothing else."""
        if len(served) != 1:
            return Route(POST, PREDICT, partial(_which, len(served)))
        instances = self._instances(served[0], form="row")
        return Route(POST, PREDICT, self._handler(served[0], partial(_v1, instances)))

    def _instances(self, served: Served, *, form: str = "label") -> InstancesCodec:
        version = served.predictor.served
        writer = PredictionWriter(version, served.predictor.rule)
        return InstancesCodec(version.contract, writer, self._bounds, form=form)

    def _handler(self, served: Served, decode: Decode) -> Handler:
        return partial(self._predict, served, decode)

    def _predict(
        self, served: Served, decode: Decode, exchange: Exchange, body: bytes | bytearray
    ) -> None:
        try:
            decoded = decode(exchange, body)
            if len(body) > self._bounds.max_elements:  # a value takes a byte at the least
                self._bounds.check_elements(decoded.rows * len(decoded.columns))
            self._charge(exchange.caller, decoded.rows)
            exchange.write = decoded.write
            if decoded.timeout_s != _NEVER:
                due = exchange.received + decoded.timeout_s
                exchange.deadline = min(exchange.deadline, due)
            self._batcher.add(exchange, decoded, served.predictor)
        except ShipwayError as error:
            raise Refusal(error) from error

    def _oip(self, codec: Codec, exchange: Exchange, body: bytes | bytearray) -> Decoded:
        headers = exchange.headers
        if headers.get(b"content-type") != JSON:
            check_type(headers, _OIP_TYPES)
        given = headers.get(b"inference-header-content-length")
        if given is None:
            return codec.decode(body, None, self._bounds.check)
        if not given.isdigit() or len(given) > 19:
            raise _bad_length(given)
        return codec.decode(body, int(given), self._bounds.check)


def check_type(headers: dict[bytes, bytes], types: tuple[bytes, ...]) -> bytes:
    """The media type of a request, which must be one of *types*."""
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind not in types:
        raise _unsupported(f"a body of type {shown(kind)} is not read here")
    return kind


def _v1(codec: InstancesCodec, exchange: Exchange, body: bytes | bytearray) -> Decoded:
    kind = check_type(exchange.headers, (*_JSON_TYPES, CLOUD_EVENT))
    return codec.decode_event(body) if kind == CLOUD_EVENT else codec.decode(body)


def _invocation(codec: InvocationsCodec, exchange: Exchange, body: bytes | bytearray) -> Decoded:
    return codec.decode(exchange.headers.get(b"content-type", b""), body)


def _explain(exchange: Exchange, body: bytes | bytearray) -> None:
    error = UsageError(
        "explanations are not offered", next_step="ask for predictions with :predict"
    )
    raise Refusal(error, status=501)


def _which(count: int, exchange: Exchange, body: bytes | bytearray) -> None:
    message = "no model is served" if not count else f"{count} models are served, and none is named"
    step = "use /v2/models/{model}/infer or /v1/models/{model}:predict"
    raise Refusal(NotFoundError(message, next_step=step))


def _unsupported(message: str) -> UnsupportedMedia:
    step = "send Content-Type: application/json"
    return UnsupportedMedia(message, next_step=step)


def _bad_length(given: bytes) -> MalformedRequest:
    return MalformedRequest(
        f"Inference-Header-Content-Length is {shown(given)}",
        next_step="send the length of the JSON part in bytes",
    )
