"""Between the Open Inference Protocol and one version's columns, both ways.

Structure is judged here (shapes, datatypes, sizes; HTTP 400); values are the contract's business
(HTTP 422). Every fault of a request is told at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import msgspec
import numpy as np

from shipway.contract.block import Layout, RowMajor
from shipway.contract.requests import SMALL_ROWS
from shipway.domain.events import Scalar
from shipway.domain.metrics import Task
from shipway.domain.model import Kind
from shipway.domain.names import Ids
from shipway.errors import MalformedRequest, Problem
from shipway.inference.decision import DecisionRule
from shipway.inference.predictor import Answer, RequestColumn, RequestColumns, ServedVersion
from shipway.serving.protocols.decoded import Decoded, Writer, Written
from shipway.serving.protocols.ids import ID_FAULT, is_id
from shipway.serving.protocols.oip import (
    BYTES,
    HALVES,
    NUMERIC,
    InferRequest,
    InferResponse,
    OutputTensor,
    decode_request,
    encode,
)
from shipway.serving.protocols.oip_answers import BINARY, WholeAnswers
from shipway.serving.protocols.oip_faults import malformed, note
from shipway.serving.protocols.oip_forms import Forms, frame_fault
from shipway.serving.protocols.oip_inputs import InputReader, blob_of
from shipway.serving.protocols.oip_metadata import model_metadata
from shipway.serving.protocols.oip_sight import (
    Check,
    NumbersRequest,
    read_columns,
    read_numbers,
)
from shipway.serving.protocols.tensors import write_tensor

_NOTHING: frozenset[str] = frozenset()
_NEVER = float("inf")
_REMEMBERED = 4096


def _unchecked(_: bytes | bytearray | memoryview) -> None:
    """For bodies whose bounds were looked at already."""


class Wanted(msgspec.Struct, frozen=True):
    """Which outputs the client wants, which of them in binary, and whether as a data frame."""

    names: tuple[str, ...]
    binary: frozenset[str] = _NOTHING
    frame: bool = False


class _Head(NamedTuple):
    """The JSON of a request that is followed by a matrix of *rows* rows, and what it means."""

    json: bytes
    size: int
    dtype: np.dtype[Any]
    layout: Layout
    rows: int
    write: Writer


class Codec:
    """Reads requests to one version and writes its answers; compiled once, when it is loaded."""

    def __init__(self, served: ServedVersion, rule: DecisionRule) -> None:
        self._served = served
        self._rule = rule
        self._allowed = {
            column.name: NUMERIC
            if column.kind in (Kind.NUMBER, Kind.INTEGER, Kind.BOOLEAN)
            else BYTES
            for column in served.contract.request_columns
        }
        self._plain = {name: allowed - HALVES for name, allowed in self._allowed.items()}
        score = "probabilities" if served.spec.task is Task.MULTICLASS else "score"
        label = {"b": "BOOL", "i": "INT64", "f": "FP64"}.get(rule.values.dtype.kind, "BYTES")
        self._datatypes = {
            "label": "FP64" if rule.width is None else label,
            score: "FP64",
            "prediction_id": "BYTES",
        }
        self._all = Wanted(tuple(self._datatypes))
        self._all_binary = Wanted(self._all.names, frozenset(self._all.names))
        self._number = str(served.number)
        self._layout = Layout.of(served.contract)
        self._numbers = frozenset(
            column.name
            for column in served.contract.request_columns
            if column.kind in (Kind.NUMBER, Kind.INTEGER)
        )
        self._inputs = InputReader(self._allowed)
        self._forms = Forms(served.contract)
        self._score = score
        classes = len(rule.values) if score == "probabilities" else None
        self._whole = WholeAnswers(served.model, self._number, self._datatypes, classes)
        self._ids = Ids()
        self._head: _Head | None = None

    @property
    def allowed(self) -> Mapping[str, frozenset[str]]:
        """The datatypes in which each column may come."""
        return self._allowed

    @property
    def datatypes(self) -> Mapping[str, str]:
        """The datatype of each output."""
        return self._datatypes

    # ---- requests ---------------------------------------------------------------------------

    def decode(
        self, body: bytes | bytearray, json_length: int | None, check: Check = _unchecked
    ) -> Decoded:
        """The request in *body*; *json_length* is set when tensors follow the JSON in binary.

        A *json_length* of 0 says that there is no JSON and the body is the one input's bytes.
        Raises :class:`~shipway.errors.MalformedRequest` with every structural fault. *check* is
        asked about JSON that may nest or be larger than it looks, before it is decoded.
        """
        if json_length == 0:
            return self._raw(body)
        if json_length is not None:
            return self._known_head(body, json_length) or self._binary(body, json_length, check)
        if self._layout is not None and (numbers := read_numbers(body, self._layout, check)):
            return self._decoded(*numbers, numbers[1].rows)
        check(body)
        request = decode_request(body)
        if seen := read_columns(request, self._plain):
            return self._decoded(request, *seen)
        return self._read(request, memoryview(b""))

    def _known_head(self, body: bytes | bytearray, json_length: int) -> Decoded | None:
        """The request, if its JSON is that of the last one and its rows are as many bytes."""
        head = self._head
        if head is None or len(head.json) != json_length or len(body) != head.size:
            return None
        if not body.startswith(head.json):
            return None
        values = np.frombuffer(body, head.dtype, offset=json_length)
        return Decoded(
            self._ids.new(), RowMajor(head.layout, values, head.rows), head.rows, head.write
        )

    def _binary(self, body: bytes | bytearray, json_length: int, check: Check) -> Decoded:
        """The request whose tensors follow its JSON; a matrix's head is remembered."""
        if not 0 < json_length <= len(body):
            raise MalformedRequest(
                f"Inference-Header-Content-Length is {json_length} and the body {len(body)} bytes",
                next_step="send the length of the JSON that comes before the binary tensors",
            )
        view = memoryview(body)
        check(view[:json_length])
        request = decode_request(view[:json_length])
        decoded = self._read(request, view[json_length:])
        rows = decoded.columns
        plain = request.id is None and decoded.timeout_s == _NEVER
        if plain and isinstance(rows, RowMajor) and json_length <= _REMEMBERED:
            values = rows.numbers
            if isinstance(values, np.ndarray) and values.nbytes == len(body) - json_length:
                known = bytes(view[:json_length])
                self._head = _Head(
                    known, len(body), values.dtype, rows.layout, rows.rows, decoded.write
                )
        return decoded

    def _read(self, request: InferRequest, blobs: memoryview) -> Decoded:
        """The request, whatever form it has, or every fault of it."""
        faults: list[Problem] = []
        if self._forms.is_matrix(request.inputs):
            return self._matrix(request, blobs, faults)
        columns: dict[str, RequestColumn] = {}
        rows = -1
        for tensor in request.inputs:
            values, blobs = self._inputs.read(tensor, blobs, faults)
            if values is None:
                continue
            if rows < 0:
                rows = len(values)
            elif len(values) != rows:
                note(faults, tensor.name, f"has {len(values)} rows, the inputs before it {rows}")
            if tensor.name in columns:
                note(faults, tensor.name, "is there twice")
            columns[tensor.name] = self._listed(tensor.name, values)
        if len(blobs):
            note(faults, "", f"{len(blobs)} bytes follow the last binary tensor")
        if not request.inputs or rows == 0:
            note(faults, "", "there is no row to predict")
        return self._decoded(request, columns, rows, faults)

    def _listed(self, name: str, values: RequestColumn) -> RequestColumn:
        """*values* as a list where they are few: loops beat numpy there, which pays by the call."""
        if isinstance(values, list) or len(values) > SMALL_ROWS or name not in self._numbers:
            return values
        plain: list[Scalar] = values.tolist()  # type: ignore[union-attr]
        return [None if one != one else one for one in plain]  # noqa: PLR0124 - NaN is missing

    def _raw(self, body: bytes | bytearray) -> Decoded:
        """A body without JSON; its answer has every output in binary."""
        try:
            columns, rows = self._forms.raw(body)
        except ValueError as error:
            raise MalformedRequest(
                f"Inference-Header-Content-Length is 0: {error}",
                next_step="send JSON with its length, or the bytes of the one input",
            ) from error
        return Decoded(self._ids.new(), columns, rows, self._writer(self._all_binary))

    def _matrix(self, request: InferRequest, blobs: memoryview, faults: list[Problem]) -> Decoded:
        """A request whose one input has a row of all features a line."""
        (tensor,) = request.inputs
        columns: RequestColumns = {}
        try:
            blob = None if tensor.data is not None else blob_of(tensor, blobs)
            columns = self._forms.matrix(tensor, blob)
            blobs = blobs[len(blob or b"") :]
        except ValueError as error:
            note(faults, tensor.name, str(error))
        else:
            if len(blobs):
                note(faults, "", f"{len(blobs)} bytes follow the last binary tensor")
            if tensor.shape[0] < 1:
                note(faults, "", "there is no row to predict")
        return self._decoded(request, columns, tensor.shape[0], faults)

    def _decoded(
        self,
        request: InferRequest | NumbersRequest,
        columns: RequestColumns,
        rows: int,
        faults: list[Problem] | None = None,
    ) -> Decoded:
        """The request with its id and the outputs that it wants, unless there are faults."""
        faults = [] if faults is None else faults
        plain = request.outputs is None and request.parameters is None
        wanted, timeout_s = self._all, _NEVER
        if not plain:
            wanted = self._wanted(request, faults)
            timeout_s = _timeout_s(request.parameters or {}, faults)
        request_id = self._id(request, faults) if request.id else self._ids.new()
        if faults:
            raise malformed(faults)
        return Decoded(request_id, columns, rows, self._writer(wanted), timeout_s)

    def _wanted(self, request: InferRequest | NumbersRequest, faults: list[Problem]) -> Wanted:
        parameters = request.parameters or {}
        all_binary = _flag(parameters, "binary_data_output", default=False, faults=faults)
        frame = "content_type" in parameters
        if fault := frame_fault(parameters):
            note(faults, "", fault)
        if not request.outputs:
            names = self._all.names
            return Wanted(names, frozenset(names if all_binary else ()), frame)
        chosen = []
        binary = set()
        for output in request.outputs:
            if output.name not in self._datatypes:
                known = ", ".join(self._datatypes)
                note(faults, output.name, f"is no output; there are {known}")
            chosen.append(output.name)
            named = output.parameters or {}
            if _flag(named, "binary_data", default=all_binary, faults=faults):
                binary.add(output.name)
        return Wanted(tuple(dict.fromkeys(chosen)), frozenset(binary), frame)

    def _id(self, request: InferRequest | NumbersRequest, faults: list[Problem]) -> str:
        given = request.id or ""
        if not is_id(given):
            note(faults, "", ID_FAULT)
        return given

    # ---- answers ----------------------------------------------------------------------------

    def _writer(self, wanted: Wanted) -> Writer:
        if wanted is self._all or wanted == self._all:
            return self._tell_all
        return self._tell_all_binary if wanted == self._all_binary else partial(self.encode, wanted)

    def _tell_all(self, answer: Answer) -> Written:
        return self.encode(self._all, answer) if answer.warnings else self._whole.json(answer)

    def _tell_all_binary(self, answer: Answer) -> Written:
        if answer.warnings:
            return self.encode(self._all_binary, answer)
        return self._whole.binary(answer)

    def encode(self, wanted: Wanted, answer: Answer) -> Written:
        """The bytes that tell the outputs *wanted* of *answer*."""
        outputs, blobs = [], []
        for name in wanted.names:
            data, shape = self.output(name, answer)
            tensor = OutputTensor(name, self._datatypes[name], shape)
            if name in wanted.binary:
                blob = write_tensor(tensor.datatype, data)
                tensor.parameters = {"binary_data_size": len(blob)}
                blobs.append(blob)
            else:
                tensor.data = data
            if wanted.frame and tensor.datatype == "BYTES":
                tensor.parameters |= {"content_type": "str"}
            outputs.append(tensor)
        response = InferResponse(self._served.model, self._number, answer.request_id, outputs)
        if answer.warnings:
            response.parameters = {f"warning.{code}": n for code, n in answer.warnings.items()}
        if wanted.frame:
            response.parameters |= {"content_type": "pd"}
        body = encode(response)
        if not wanted.binary:
            return Written(body)
        length = b"Inference-Header-Content-Length: %d\r\n" % len(body)
        return Written(b"".join((body, *blobs)), BINARY, length)

    def output(self, name: str, answer: Answer) -> tuple[list[Any], list[int]]:
        """The values of the output *name*, flat and row-major, and their shape."""
        rows = len(answer.prediction_ids)
        if name == "label":
            return answer.labels, [rows]
        if name == "prediction_id":
            return list(answer.prediction_ids), [rows]
        if name == "score":
            return answer.scores, [rows]
        flat = [value for row in answer.scores for value in row]  # type: ignore[union-attr]
        return flat, [rows, len(self._rule.values)]

    def metadata(self) -> bytes:
        """The body of ``GET /v2/models/{model}``."""
        return model_metadata(self._served, self._rule, self._datatypes)


def _timeout_s(parameters: dict[str, Any], faults: list[Problem]) -> float:
    """Triton's ``timeout``, in whole microseconds; 0 is none."""
    given = parameters.get("timeout")
    if given is None:
        return _NEVER
    if not isinstance(given, int) or isinstance(given, bool) or given < 0:
        note(faults, "", "the parameter timeout is no whole number of microseconds")
        return _NEVER
    return given / 1e6 if given else _NEVER


def _flag(parameters: dict[str, Any], name: str, *, default: bool, faults: list[Problem]) -> bool:
    given = parameters.get(name, default)
    if not isinstance(given, bool):
        note(faults, "", f"the parameter {name} is neither true nor false")
        return default
    return given
