"""``POST /invocations``, where MLflow's scoring protocol and SageMaker's container contract meet.

MLflow: a JSON object with exactly one of ``dataframe_split``, ``dataframe_records``, ``instances``
and ``inputs`` beside ``params``, or CSV. SageMaker: the same forms, CSV without names
(``text/csv; header=absent``), and the Open Inference Protocol as its Triton container takes it,
in JSON or with binary tensors behind it.
"""

from __future__ import annotations

from typing import Any

from shipway.contract.schema import Contract
from shipway.errors import MalformedRequest, UnsupportedMedia
from shipway.serving.protocols.bounds import Bounds
from shipway.serving.protocols.csv_table import CsvReader
from shipway.serving.protocols.decoded import Decoded
from shipway.serving.protocols.documents import Documents, Table, read_object
from shipway.serving.protocols.media import CSV, JSON, MediaType, media_type
from shipway.serving.protocols.oip_codec import Codec
from shipway.serving.protocols.predictions import PredictionWriter

TRITON = "application/vnd.sagemaker-triton.binary+json"
FIELDS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_HEADER_SIZE = "json-header-size"
_TENSOR = frozenset({"name", "shape", "datatype"})
_PARAMETERS = {
    JSON: frozenset[str](),
    CSV: frozenset({"header"}),
    TRITON: frozenset({_HEADER_SIZE}),
}


class InvocationsCodec:
    """Reads what is posted to ``/invocations`` for one version."""

    def __init__(
        self, contract: Contract, writer: PredictionWriter, codec: Codec, bounds: Bounds
    ) -> None:
        self._documents = Documents(contract, bounds)
        self._csv = CsvReader(contract, bounds)
        self._writer = writer
        self._codec = codec
        self._bounds = bounds

    def decode(self, header: bytes, body: bytes | bytearray) -> Decoded:
        """The request in *body*, by the Content-Type *header*.

        Raises UnsupportedMedia for a type that is not read, MalformedRequest for a body that is
        not of its type, TooLarge for too many values.
        """
        name = header.partition(b";")[0].strip().lower().decode("latin-1")
        kind = media_type(header, known=_PARAMETERS.get(name, frozenset()))
        if kind.name == CSV:
            return self._writer.decoded(self._csv.read(body, header=_has_header(kind)))
        if kind.name == TRITON:
            return self._codec.decode(body, _header_size(kind))
        if kind.name == JSON:
            return self._json(body)
        raise UnsupportedMedia(
            f"This predictor only supports the following content types: {CSV}, {JSON}, {TRITON}."
            f" Got {kind.name[:64]!r}.",
            next_step=f"send {JSON} or {CSV}",
        )

    def _json(self, body: bytes | bytearray) -> Decoded:
        try:
            document = read_object(body, self._bounds)
        except MalformedRequest as error:
            raise MalformedRequest(
                f"{_one_field()} {error.message}", next_step=error.next_step
            ) from error
        given = [field for field in FIELDS if field in document]
        if len(given) != 1:
            found = ", ".join(repr(name[:32]) for name in list(document)[:5]) or "nothing"
            raise MalformedRequest(
                f"{_one_field()} Received dictionary with input fields: {found}.",
                next_step='send {"dataframe_split": {"columns": […], "data": [[…], …]}}',
            )
        (field,) = given
        if field == "inputs" and _are_tensors(document["inputs"]):
            return self._codec.decode(body, None)
        params = document.get("params")
        if not isinstance(params, dict | None):
            raise MalformedRequest(
                "params is no object", next_step='send {"params": {"prediction": "score"}}'
            )
        table = self._table(field, document[field])
        form = (params or {}).get("prediction")
        return self._writer.decoded(table, id=document.get("id"), form=form)

    def _table(self, field: str, value: Any) -> Table:
        if field == "dataframe_split":
            return self._documents.split(value, field)
        if field == "inputs":
            return self._documents.columns(value, field)
        return self._documents.rows(value, field)


def _one_field() -> str:
    fields = ", ".join(FIELDS)
    return f"The input must be a JSON dictionary with exactly one of the input fields {{{fields}}}."


def _are_tensors(inputs: object) -> bool:
    """Whether *inputs* are the tensors of the Open Inference Protocol rather than rows."""
    return (
        isinstance(inputs, list)
        and bool(inputs)
        and all(isinstance(one, dict) and one.keys() >= _TENSOR for one in inputs)
    )


def _has_header(kind: MediaType) -> bool:
    given = kind.parameters.get("header", "present").lower()
    if given not in {"present", "absent"}:
        raise UnsupportedMedia(
            f"header={given[:32]!r} says neither present nor absent",
            next_step="leave it out where the first line has the columns' names",
        )
    return given == "present"


def _header_size(kind: MediaType) -> int | None:
    given = kind.parameters.get(_HEADER_SIZE)
    if given is None:
        return None
    if not given.isascii() or not given.isdigit() or len(given) > 19:
        raise MalformedRequest(
            f"{_HEADER_SIZE} is {given[:32]!r}",
            next_step="send the length of the JSON part in bytes",
        )
    return int(given)
