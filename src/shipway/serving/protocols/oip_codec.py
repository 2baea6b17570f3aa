"""Between the Open Inference Protocol and one version's columns, both ways.

Structure is judged here (shapes, datatypes, sizes; HTTP 400); values are the contract's business
(HTTP 422). Every fault of a request is told at once.
"""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from shipway.contract.block import Layout, RowMajor
from shipway.contract.requests import SMALL_ROWS
from shipway.contract.schema import Column, Role
from shipway.domain.events import Scalar
from shipway.domain.metrics import Task
from shipway.domain.model import DATATYPE_OF, Kind
from shipway.domain.names import new_id
from shipway.domain.text import text_of
from shipway.errors import MalformedRequest, Problem
from shipway.inference.decision import DecisionRule
from shipway.inference.predictor import Answer, RequestColumn, RequestColumns, ServedVersion
from shipway.serving.protocols.decoded import Decoded, Written
from shipway.serving.protocols.oip import (
    BYTES,
    DATATYPES,
    NUMERIC,
    InferRequest,
    InferResponse,
    InputTensor,
    ModelMetadata,
    OutputTensor,
    TensorMetadata,
    decode_request,
    encode,
)
from shipway.serving.protocols.oip_sight import NumbersRequest, read_columns, read_numbers
from shipway.serving.protocols.tensors import read_tensor, write_tensor

BINARY = b"application/octet-stream"
_LIMIT = 100
_ID_LENGTH = 128
_NOTHING: frozenset[str] = frozenset()


class Wanted(msgspec.Struct, frozen=True):
    """Which outputs the client wants, and which of them in binary."""

    names: tuple[str, ...]
    binary: frozenset[str] = _NOTHING


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
        score = "probabilities" if served.spec.task is Task.MULTICLASS else "score"
        label = {"b": "BOOL", "i": "INT64", "f": "FP64"}.get(rule.values.dtype.kind, "BYTES")
        self._datatypes = {
            "label": "FP64" if rule.width is None else label,
            score: "FP64",
            "prediction_id": "BYTES",
        }
        self._all = Wanted(tuple(self._datatypes))
        self._number = str(served.number)
        self._layout = Layout.of(served.contract)
        kinds = {column.kind for column in served.contract.features}
        numeric = kinds <= {Kind.NUMBER, Kind.INTEGER, Kind.BOOLEAN}
        self._numbers = frozenset(
            column.name
            for column in served.contract.request_columns
            if column.kind in (Kind.NUMBER, Kind.INTEGER)
        )
        self._matrix_width = len(served.contract.features) if numeric else 0
        self._score = score
        self._text = self._answer_text()

    # ---- requests ---------------------------------------------------------------------------

    def decode(self, body: bytes | bytearray, json_length: int | None) -> Decoded:
        """The request in *body*; *json_length* is set when tensors follow the JSON in binary.

        Raises :class:`~shipway.errors.MalformedRequest` with every structural fault.
        """
        blobs = memoryview(b"")
        if json_length is not None:
            request, blobs = self._split(body, json_length)
        else:
            if self._layout is not None and (numbers := read_numbers(body, self._layout)):
                return self._decoded(*numbers, numbers[1].rows)
            request = decode_request(body)
            if seen := read_columns(request, self._allowed):
                return self._decoded(request, *seen)
        faults: list[Problem] = []
        if self._is_matrix(request):
            return self._matrix(request, blobs, faults)
        columns: dict[str, RequestColumn] = {}
        rows = -1
        for tensor in request.inputs:
            values, blobs = self._values(tensor, blobs, faults)
            if values is None:
                continue
            if rows < 0:
                rows = len(values)
            elif len(values) != rows:
                _fault(faults, tensor.name, f"has {len(values)} rows, the inputs before it {rows}")
            if tensor.name in columns:
                _fault(faults, tensor.name, "is there twice")
            columns[tensor.name] = self._listed(tensor.name, values)
        if len(blobs):
            _fault(faults, "", f"{len(blobs)} bytes follow the last binary tensor")
        if not request.inputs or rows == 0:
            _fault(faults, "", "there is no row to predict")
        return self._decoded(request, columns, rows, faults)

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
        wanted = self._all if plain else self._wanted(request, faults)
        request_id = self._id(request, faults) if request.id else new_id()
        if faults:
            raise _malformed(faults)
        write = self._tell_all if wanted is self._all else partial(self.encode, wanted)
        return Decoded(request_id, columns, rows, write)

    def _listed(self, name: str, values: RequestColumn) -> RequestColumn:
        """*values* as a list where they are few: loops beat numpy there, which pays by the call."""
        if isinstance(values, list) or len(values) > SMALL_ROWS or name not in self._numbers:
            return values
        plain: list[Scalar] = values.tolist()  # type: ignore[union-attr]
        return [None if one != one else one for one in plain]  # noqa: PLR0124 - NaN is missing

    def _is_matrix(self, request: InferRequest) -> bool:
        """Whether all features come as one input of the shape [n, features]."""
        if len(request.inputs) != 1 or not self._matrix_width:
            return False
        (tensor,) = request.inputs
        shape = tensor.shape
        return (
            len(shape) == 2 and shape[1] == self._matrix_width and tensor.name not in self._allowed
        )

    def _matrix(self, request: InferRequest, blobs: memoryview, faults: list[Problem]) -> Decoded:
        """The rows of the one input, which has the features in the order of the contract."""
        (tensor,) = request.inputs
        width, rows = self._matrix_width, tensor.shape[0]
        flat = msgspec.structs.replace(tensor, shape=[rows * width])
        if tensor.data and all(one.__class__ is list for one in tensor.data):
            ragged = any(len(one) != width for one in tensor.data)  # type: ignore[arg-type]
            if ragged or len(tensor.data) != rows:
                _fault(faults, tensor.name, f"has data nested unlike its shape {tensor.shape}")
            flat.data = list(chain.from_iterable(tensor.data))  # type: ignore[arg-type]
        values, blobs = self._values(flat, blobs, faults)
        if tensor.datatype == "BYTES":
            _fault(faults, tensor.name, "has the datatype 'BYTES', a number's datatype is due")
        if rows < 1:
            _fault(faults, "", "there is no row to predict")
        if len(blobs):
            _fault(faults, "", f"{len(blobs)} bytes follow the last binary tensor")
        if values is None or faults:
            raise _malformed(faults)
        columns: RequestColumns
        if self._layout is not None and isinstance(values, np.ndarray) and values.dtype != np.bool_:
            columns = RowMajor(self._layout, values, rows)
        else:
            names = (column.name for column in self._served.contract.features)
            columns = {name: values[at::width] for at, name in enumerate(names)}
        return self._decoded(request, columns, rows, faults)

    def _split(self, body: bytes | bytearray, json_length: int) -> tuple[InferRequest, memoryview]:
        if not 0 < json_length <= len(body):
            raise MalformedRequest(
                f"Inference-Header-Content-Length is {json_length} and the body {len(body)} bytes",
                next_step="send the length of the JSON that comes before the binary tensors",
            )
        view = memoryview(body)
        return decode_request(view[:json_length]), view[json_length:]

    def _values(
        self, tensor: InputTensor, blobs: memoryview, faults: list[Problem]
    ) -> tuple[RequestColumn | None, memoryview]:
        """The column in *tensor*, None if it is at fault, and the blobs after its own."""
        shape, data, name = tensor.shape, tensor.data, tensor.name
        rows = shape[0] if shape else -1
        if rows < 0 or (len(shape) != 1 and (len(shape) != 2 or shape[1] != 1)):
            _fault(faults, name, f"has the shape {shape[:4]}; [n] and [n, 1] are taken")
            return None, blobs
        allowed = self._allowed.get(name, DATATYPES)
        if tensor.datatype not in allowed:
            wanted = "BYTES" if allowed is BYTES else "a number's datatype or BOOL"
            _fault(faults, name, f"has the datatype {tensor.datatype[:16]!r}, {wanted} is due")
            return None, blobs
        if data is None:
            return self._binary(tensor, blobs, rows, faults)
        if len(data) != rows:
            _fault(faults, name, f"has {len(data)} values and the shape {shape}")
            return None, blobs
        if rows and data[0].__class__ is list:
            return _unnested(tensor, data, faults), blobs
        return data, blobs  # type: ignore[return-value]  # a later list is no scalar: the contract says so

    def _binary(
        self, tensor: InputTensor, blobs: memoryview, rows: int, faults: list[Problem]
    ) -> tuple[RequestColumn | None, memoryview]:
        size = (tensor.parameters or {}).get("binary_data_size")
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(blobs):
            _fault(faults, tensor.name, "has neither data nor a binary_data_size that fits")
            return None, blobs
        try:
            return read_tensor(tensor.datatype, blobs[:size], rows), blobs[size:]
        except ValueError as error:
            _fault(faults, tensor.name, str(error))
            return None, blobs[size:]

    def _wanted(self, request: InferRequest | NumbersRequest, faults: list[Problem]) -> Wanted:
        all_binary = bool((request.parameters or {}).get("binary_data_output", False))
        if not request.outputs:
            return Wanted(self._all.names, frozenset(self._all.names)) if all_binary else self._all
        names = []
        binary = set()
        for output in request.outputs:
            if output.name not in self._datatypes:
                known = ", ".join(self._datatypes)
                _fault(faults, output.name, f"is no output; there are {known}")
            names.append(output.name)
            if (output.parameters or {}).get("binary_data", all_binary):
                binary.add(output.name)
        return Wanted(tuple(dict.fromkeys(names)), frozenset(binary))

    def _id(self, request: InferRequest | NumbersRequest, faults: list[Problem]) -> str:
        given = request.id or ""
        if len(given) > _ID_LENGTH or not given.isprintable():
            _fault(faults, "", f"the id is longer than {_ID_LENGTH} or has unprintable characters")
        return given

    # ---- answers ----------------------------------------------------------------------------

    def encode(self, wanted: Wanted, answer: Answer) -> Written:
        """The bytes that tell the outputs *wanted* of *answer*."""
        outputs, blobs = [], []
        for name in wanted.names:
            data, shape = self._output(name, answer)
            tensor = OutputTensor(name, self._datatypes[name], shape)
            if name in wanted.binary:
                blob = write_tensor(tensor.datatype, data)
                tensor.parameters = {"binary_data_size": len(blob)}
                blobs.append(blob)
            else:
                tensor.data = data
            outputs.append(tensor)
        response = InferResponse(self._served.model, self._number, answer.request_id, outputs)
        if answer.warnings:
            response.parameters = {f"warning.{code}": n for code, n in answer.warnings.items()}
        body = encode(response)
        if not wanted.binary:
            return Written(body)
        length = b"Inference-Header-Content-Length: %d\r\n" % len(body)
        return Written(b"".join((body, *blobs)), BINARY, length)

    def _tell_all(self, answer: Answer) -> Written:
        """The same as :meth:`encode` of all outputs, from a text that was made beforehand."""
        if answer.warnings:
            return self.encode(self._all, answer)
        rows = len(answer.prediction_ids)
        scores: list[Any] = answer.scores
        if self._score == "probabilities":
            scores = list(chain.from_iterable(scores))
        parts = (encode(answer.labels), encode(scores), encode(answer.prediction_ids))
        label, score, ids = parts
        return Written(
            self._text % (encode(answer.request_id), rows, label, rows, score, rows, ids)
        )

    def _output(self, name: str, answer: Answer) -> tuple[list[Any], list[int]]:
        rows = len(answer.prediction_ids)
        if name == "label":
            return answer.labels, [rows]
        if name == "prediction_id":
            return list(answer.prediction_ids), [rows]
        if name == "score":
            return answer.scores, [rows]
        flat = [value for row in answer.scores for value in row]  # type: ignore[union-attr]
        return flat, [rows, len(self._rule.values)]

    def _answer_text(self) -> bytes:
        """The JSON of an answer of all outputs, with places for what each answer differs in."""
        start = encode({"model_name": self._served.model, "model_version": self._number})
        outputs = []
        for name, datatype in self._datatypes.items():
            shape = f"%d,{self._width}" if name == "probabilities" else "%d"
            outputs.append(
                f'{{"name":"{name}","datatype":"{datatype}","shape":[{shape}],"data":%b}}'
            )
        text = start[:-1].replace(b"%", b"%%") + b',"id":%b,"outputs":['
        return text + ",".join(outputs).encode() + b"]}"

    # ---- metadata ---------------------------------------------------------------------------

    def metadata(self) -> bytes:
        """The body of ``GET /v2/models/{model}``."""
        served = self._served
        optional = [
            column.name
            for column in served.contract.request_columns
            if column.role is not Role.FEATURE
        ]
        outputs = [
            TensorMetadata(name, datatype, [-1] if name != "probabilities" else [-1, self._width])
            for name, datatype in self._datatypes.items()
        ]
        outputs[0].parameters = self._label_parameters()
        described: dict[str, Scalar] = {"task": served.spec.task.value, "digest": served.digest}
        if optional:
            described["optional_inputs"] = ",".join(optional)
        return encode(
            ModelMetadata(
                name=served.model,
                versions=[self._number],
                platform=f"shipway_{served.spec.format}",
                inputs=[_input(column) for column in served.contract.features],
                outputs=outputs,
                parameters=described,
            )
        )

    @property
    def _width(self) -> int:
        return len(self._rule.values)

    def _label_parameters(self) -> dict[str, Scalar]:
        rule = self._rule
        if rule.width is None:
            return {}
        texts = [text_of(value) for value in self._served.spec.classes]
        told: dict[str, Scalar] = {"classes": ",".join(texts)}
        if rule.positive is not None:
            told |= {"positive": texts[rule.positive], "threshold": rule.threshold}
        return told


def _input(column: Column) -> TensorMetadata:
    told: dict[str, Scalar] = {"kind": column.kind.value, "nullable": column.nullable}
    if isinstance(column.example, float) and not np.isfinite(column.example):
        return TensorMetadata(column.name, DATATYPE_OF[column.kind], [-1], told)
    if column.example is not None:
        told["example"] = column.example
    return TensorMetadata(column.name, DATATYPE_OF[column.kind], [-1], told)


def _unnested(tensor: InputTensor, data: list[Any], faults: list[Problem]) -> RequestColumn | None:
    """The values of nested *data*, [[1], [2]], which only the shape [n, 1] may have."""
    if len(tensor.shape) == 2 and all(row.__class__ is list and len(row) == 1 for row in data):
        return [row[0] for row in data]
    _fault(faults, tensor.name, f"has data nested unlike its shape {tensor.shape}")
    return None


def _fault(faults: list[Problem], name: str, message: str) -> None:
    if len(faults) < _LIMIT:
        where = f"input {name[:64]}" if name else "the request"
        faults.append(Problem("request.malformed", message, where))


def _malformed(faults: list[Problem]) -> MalformedRequest:
    first = faults[0]
    return MalformedRequest(
        f"{first.where}: {first.message}" if len(faults) == 1 else f"{len(faults)} faults: {first}",
        next_step="send one input a column, as GET /v2/models/<model> describes them",
        problems=faults,
    )
