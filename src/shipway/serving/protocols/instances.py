"""KServe v1 and Vertex: ``{"instances": […]}`` in, ``{"predictions": […]}`` out.

Instances are rows (lists in the order of the features, records, or plain values where there is one
feature); ``inputs`` are columns, as TensorFlow Serving has them. A CloudEvent in structured form
is taken as well, and answered with one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec

from shipway.contract.schema import Contract
from shipway.domain.names import new_id
from shipway.errors import MalformedRequest
from shipway.serving.protocols.bounds import Bounds
from shipway.serving.protocols.decoded import Decoded, Written
from shipway.serving.protocols.documents import Documents, read_object
from shipway.serving.protocols.predictions import PredictionWriter

CLOUD_EVENT = b"application/cloudevents+json"
_ANSWERED = "io.kserve.inference.response"


class InstancesCodec:
    """Reads the documents of one version; *form* is what a prediction is unless a client says."""

    def __init__(
        self, contract: Contract, writer: PredictionWriter, bounds: Bounds, *, form: str = "label"
    ) -> None:
        self._documents = Documents(contract, bounds)
        self._writer = writer
        self._bounds = bounds
        self._form = form

    def decode(self, body: bytes | bytearray) -> Decoded:
        """The request in *body*; raises MalformedRequest if it is none."""
        return self._read(read_object(body, self._bounds), None)

    def decode_event(self, body: bytes | bytearray) -> Decoded:
        """The request in the CloudEvent *body*; its answer is one, too."""
        event = read_object(body, self._bounds)
        if event.get("specversion") != "1.0" or not isinstance(event.get("data"), dict):
            raise MalformedRequest(
                "the body is no CloudEvent 1.0 with an object as its data",
                next_step='send {"specversion": "1.0", "id", "source", "type", "data": {…}}',
            )
        data: dict[str, Any] = event["data"]
        data.setdefault("id", event.get("id"))
        return self._read(data, partial(_enveloped, self._writer.source))

    def _read(self, document: dict[str, Any], wrap: Any) -> Decoded:
        if ("instances" in document) == ("inputs" in document):
            found = "both" if "inputs" in document else "neither"
            raise MalformedRequest(
                f"the body has {found} of instances and inputs",
                next_step='send {"instances": [[…], …]}, a row each, or {"inputs": {…}} by column',
            )
        if "instances" in document:
            table = self._documents.rows(document["instances"], "instances")
        else:
            table = self._documents.columns(document["inputs"], "inputs")
        parameters = document.get("parameters")
        if not isinstance(parameters, dict | None):
            raise MalformedRequest(
                "parameters is no object", next_step='send {"parameters": {"prediction": "score"}}'
            )
        form = (parameters or {}).get("prediction", self._form)
        return self._writer.decoded(table, id=document.get("id"), form=form, wrap=wrap)


def _enveloped(source: str, written: Written) -> Written:
    """*written* as the data of a CloudEvent."""
    event = {
        "specversion": "1.0",
        "id": new_id(),
        "source": source,
        "type": _ANSWERED,
        "time": datetime.now(UTC),
        "datacontenttype": "application/json",
        "data": msgspec.Raw(written.body),
    }
    return Written(msgspec.json.encode(event), CLOUD_EVENT)
