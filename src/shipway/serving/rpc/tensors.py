"""Between the messages of gRPC and one version's columns, both ways.

Structure is judged here (shapes, datatypes, sizes); values are the contract's business, as they
are for the same request in JSON. Every fault of a request is told at once.

A missing number is NaN. What has no NaN (BYTES, whole numbers, BOOL) names its missing rows in the
input's parameter ``nulls``: ``"0,17"``; what stands in their place does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shipway.contract.block import Layout, RowMajor
from shipway.contract.requests import SMALL_ROWS
from shipway.domain.names import new_id
from shipway.errors import Problem
from shipway.inference.predictor import Answer, RequestColumn, RequestColumns
from shipway.serving.protocols.decoded import Decoded, Written
from shipway.serving.protocols.ids import ID_FAULT, is_id
from shipway.serving.protocols.oip import BYTES, DATATYPES, HALVES, NUMERIC
from shipway.serving.protocols.oip_faults import malformed, note
from shipway.serving.protocols.oip_forms import Forms
from shipway.serving.protocols.tensors import read_tensor, write_tensor
from shipway.serving.routing import Served
from shipway.serving.rpc.open_inference_pb2 import ModelInferRequest, ModelInferResponse

PROTOBUF = b"application/protobuf"
NULLS = "nulls"
_SHARED = "shared_memory_region"
_NOT_SHARED = "is in shared memory, which is not read: send its values"
_NEVER = float("inf")
_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents", "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}  # fmt: skip
_WIDTHS = {"FP32": 4, "FP64": 8}
_FLOATS = HALVES | {"FP32", "FP64"}

Tensor = ModelInferRequest.InferInputTensor


class TensorCodec:
    """Reads requests to one version and writes its answers; compiled once, when it is routed to."""

    def __init__(self, served: Served) -> None:
        version = served.predictor.served
        self._codec = served.codec
        self._layout = Layout.of(version.contract)
        self._model = version.model
        self._number = str(version.number)
        self._forms = Forms(version.contract)
        self._names = tuple(column.name for column in version.contract.features)
        self._all = tuple(served.codec.datatypes)

    # ---- requests ---------------------------------------------------------------------------

    def decode(self, request: ModelInferRequest) -> Decoded:
        """What *request* asks for.

        Raises :class:`~shipway.errors.MalformedRequest` with every structural fault.
        """
        faults: list[Problem] = []
        raw = request.raw_input_contents
        columns: RequestColumns
        if self._forms.is_matrix(request.inputs):
            columns = self._matrix(request.inputs[0], raw, faults)
        else:
            columns = self._columns(request.inputs, raw, faults)
        rows = columns.rows if isinstance(columns, RowMajor) else _length(columns)
        if rows == 0 and not faults:
            note(faults, "", "there is no row to predict")
        names = self._wanted(request, faults)
        timeout_s = _timeout_s(request, faults) if request.parameters else _NEVER
        request_id = request.id or new_id()
        if not is_id(request_id):
            note(faults, "", ID_FAULT)
        if faults:
            raise malformed(faults, "ModelMetadata describes")
        write = partial(self.encode, names, bool(raw))
        return Decoded(request_id, columns, rows, write, timeout_s)

    def _matrix(
        self, tensor: Tensor, raw: Sequence[bytes], faults: list[Problem]
    ) -> RequestColumns:
        """The columns of a single input that has a row of all features a line."""
        rows, width = tensor.shape
        try:
            if tensor.datatype not in NUMERIC:
                raise ValueError(f"has the datatype {tensor.datatype[:16]!r}, a number's is due")
            if len(raw) > 1:
                raise ValueError(f"is the only input, and there are {len(raw)} raw_input_contents")
            values: Any = _values(tensor, raw[0] if raw else None, max(0, rows * width))
        except ValueError as error:
            note(faults, tensor.name, str(error))
            return {}
        if self._layout is None or tensor.datatype == "BOOL":
            return {name: values[place::width] for place, name in enumerate(self._names)}
        if isinstance(values, list) and tensor.datatype not in _FLOATS:
            values = [None if value is None else float(value) for value in values]
        return RowMajor(self._layout, values, max(0, rows))

    def _columns(
        self, inputs: Sequence[Tensor], raw: Sequence[bytes], faults: list[Problem]
    ) -> RequestColumns:
        if raw and len(raw) != len(inputs):
            for tensor in inputs:
                if _SHARED in tensor.parameters:
                    note(faults, tensor.name, _NOT_SHARED)
            note(faults, "", f"there are {len(inputs)} inputs and {len(raw)} raw_input_contents")
            return {}
        columns: dict[str, RequestColumn] = {}
        allowed = self._codec.allowed
        rows, floats = -1, self._layout is not None
        for position, tensor in enumerate(inputs):
            name, datatype = tensor.name, tensor.datatype
            shape = tensor.shape
            if datatype not in (due := allowed.get(name, DATATYPES)):
                wanted = "BYTES" if due is BYTES else "a number's datatype or BOOL"
                note(faults, name, f"has the datatype {datatype[:16]!r}, {wanted} is due")
                continue
            count = shape[0] if shape else -1
            if count < 0 or (len(shape) != 1 and (len(shape) != 2 or shape[1] != 1)):
                note(faults, name, f"has the shape {shape[:4]}; [n] and [n, 1] are taken")
                continue
            try:
                values = _values(tensor, raw[position] if raw else None, count)
            except ValueError as error:
                note(faults, name, str(error))
                continue
            if rows < 0:
                rows = count
            elif count != rows:
                note(faults, name, f"has {count} rows, the inputs before it {rows}")
            if name in columns:
                note(faults, name, "is there twice")
            columns[name] = values
            floats = floats and datatype in _FLOATS
        return self._in_one_piece(columns, rows) if floats else columns

    def _in_one_piece(self, columns: dict[str, RequestColumn], rows: int) -> RequestColumns:
        """*columns* as rows of numbers, where they are few and in the contract's order."""
        layout = self._layout
        if layout is None or not 0 < rows <= SMALL_ROWS or tuple(columns) != layout.names:
            return columns
        if any(len(values) != rows for values in columns.values()):
            return columns
        numbers = list(chain.from_iterable(zip(*columns.values(), strict=True)))
        return RowMajor(layout, numbers, rows)

    def _wanted(self, request: ModelInferRequest, faults: list[Problem]) -> tuple[str, ...]:
        if not request.outputs:
            return self._all
        names = dict.fromkeys(output.name for output in request.outputs)
        for name in names:
            if name not in self._all:
                note(faults, name, f"is no output; there are {', '.join(self._all)}")
        for output in request.outputs:
            if _SHARED in output.parameters:
                note(faults, output.name, "asks for shared memory, which is not used")
        return tuple(names)

    # ---- answers ----------------------------------------------------------------------------

    def encode(self, names: Iterable[str], raw: bool, answer: Answer) -> Written:
        """The message that tells the outputs *names* of *answer*, their values *raw* or typed."""
        response = ModelInferResponse(
            model_name=self._model, model_version=self._number, id=answer.request_id
        )
        for name in names:
            data, shape = self._codec.output(name, answer)
            datatype = self._codec.datatypes[name]
            tensor = response.outputs.add(name=name, datatype=datatype, shape=shape)
            if raw:
                response.raw_output_contents.append(write_tensor(datatype, data))
            elif datatype == "BYTES":
                tensor.contents.bytes_contents.extend(str(value).encode() for value in data)
            else:
                getattr(tensor.contents, _CONTENTS[datatype]).extend(data)
        for code, count in answer.warnings.items():
            response.parameters[f"warning.{code}"].int64_param = count
        return Written(response.SerializeToString(), PROTOBUF)


def _timeout_s(request: ModelInferRequest, faults: list[Problem]) -> float:
    """Triton's ``timeout``, in whole microseconds; 0 is none."""
    given = request.parameters.get("timeout")
    if given is None:
        return _NEVER
    kind = given.WhichOneof("parameter_choice")
    microseconds = getattr(given, kind) if kind in ("int64_param", "uint64_param") else -1
    if microseconds < 0:
        note(faults, "", "the parameter timeout is no whole number of microseconds")
    return microseconds / 1e6 if microseconds > 0 else _NEVER


def _values(tensor: Tensor, blob: bytes | None, count: int) -> list[Any] | NDArray[np.generic]:
    """The *count* values of *tensor*; raises ValueError, saying what is wrong with them.

    A list where they are few: the check is quicker with those.
    """
    parameters = tensor.parameters
    if parameters and _SHARED in parameters:
        raise ValueError(_NOT_SHARED)
    values: list[Any] | NDArray[np.generic]
    if blob is None:
        values = _typed(tensor, count)
    else:
        if tensor.HasField("contents"):
            raise ValueError("has contents, and there are raw_input_contents: send one of the two")
        values = read_tensor(tensor.datatype, memoryview(blob), count)
        if count <= SMALL_ROWS and not isinstance(values, list):
            values = values.tolist()
    if tensor.datatype in _FLOATS and isinstance(values, list):
        values = [value if value == value else None for value in values]  # noqa: PLR0124  NaN
    if parameters and NULLS in parameters:
        values = _with_nulls(values, parameters[NULLS].string_param)
    return values


def _typed(tensor: Tensor, count: int) -> list[Any]:
    datatype, contents = tensor.datatype, tensor.contents
    if datatype in HALVES:
        raise ValueError(f"is of {datatype}, which is sent in raw_input_contents alone")
    field = _CONTENTS[datatype]
    values: list[Any] = getattr(contents, field)[:]
    width = _WIDTHS.get(datatype)
    if width is not None and 0 < len(values) == count:
        # The size of these values and nothing else: the usual case, and quicker than to list it.
        size = count * width
        if contents.ByteSize() == size + (2 if size < 128 else 3) and size < 16_384:
            return values
    given = contents.ListFields()
    if count and (len(given) != 1 or given[0][0].name != field):
        names = ", ".join(described.name for described, _ in given) or "nothing"
        raise ValueError(f"is of {datatype}, whose values belong in {field}; there is {names}")
    if len(values) != count:
        raise ValueError(f"has {len(values)} values and the shape {list(tensor.shape)[:4]}")
    if datatype == "BYTES":
        try:
            values = [value.decode() for value in values]
        except UnicodeDecodeError as error:
            raise ValueError("is not UTF-8") from error
    return values


def _with_nulls(values: list[Any] | NDArray[np.generic], named: str) -> list[Any]:
    plain = values if isinstance(values, list) else values.tolist()
    for text in named.split(","):
        if not text.strip().isdecimal() or len(text) > 19 or int(text) >= len(plain):
            raise ValueError(
                f'has nulls {named[:32]!r}; its {len(plain)} rows are counted from 0: "0,17"'
            )
        plain[int(text)] = None
    return plain


def _length(columns: RequestColumns) -> int:
    return len(next(iter(columns.values()))) if columns else 0
