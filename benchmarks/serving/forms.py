"""What is sent: the same rows in the form that each server takes, as JSON, in binary, over gRPC."""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

import msgspec

from benchmarks.serving.kinds import Table

JSON: Mapping[str, str] = {"Content-Type": "application/json"}
GRPC_METHOD = "/inference.GRPCInferenceService/ModelInfer"
_MATRIX = "rows"
_TYPECODES = {"FP64": "d", "INT64": "q"}
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Body:
    """The bytes of one request and the headers that they need."""

    content: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)


Form = Callable[[Table], Body]


class _Tensor(NamedTuple):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


def documents(table: Table) -> Body:
    """Rows as ``{"instances": [[…]]}``, columns as ``{"columns": {…}}``."""
    if table.matrix:
        return Body(msgspec.json.encode({"instances": _rows(table)}))
    return Body(msgspec.json.encode({"columns": table.columns}))


def mlflow(table: Table) -> Body:
    """Rows as ``inputs``, columns as ``dataframe_split``: what MLflow reads."""
    if table.matrix:
        return Body(msgspec.json.encode({"inputs": _rows(table)}))
    split = {"columns": list(table.columns), "data": _rows(table)}
    return Body(msgspec.json.encode({"dataframe_split": split}))


def oip(table: Table) -> Body:
    """The Open Inference Protocol v2: rows of numbers as one tensor, else a tensor a column."""
    return Body(msgspec.json.encode({"inputs": [one._asdict() for one in _tensors(table)]}))


def oip_binary(table: Table) -> Body:
    """The same with the binary tensor extension, there and back."""
    inputs, blobs = [], []
    for one in _tensors(table):
        blobs.append(_blob(one))
        inputs.append(
            {
                "name": one.name,
                "shape": one.shape,
                "datatype": one.datatype,
                "parameters": {"binary_data_size": len(blobs[-1])},
            }
        )
    head = msgspec.json.encode({"inputs": inputs, "parameters": {"binary_data_output": True}})
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(head)),
    }
    return Body(b"".join((head, *blobs)), headers)


def grpc_message(table: Table, model: str) -> bytes:
    """A ModelInferRequest of gRPC, raw contents as tritonclient sends them."""
    from tritonclient.grpc.service_pb2 import ModelInferRequest

    message = ModelInferRequest(model_name=model)
    for one in _tensors(table):
        message.inputs.add(name=one.name, datatype=one.datatype, shape=one.shape)
        message.raw_input_contents.append(_blob(one))
    content: bytes = message.SerializeToString()
    return content


def framed(message: bytes) -> bytes:
    """*message* as gRPC puts it on a stream: not compressed, its length before it."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def _tensors(table: Table) -> list[_Tensor]:
    if table.matrix:
        rows = _rows(table)
        flat = list(chain.from_iterable(rows))
        return [_Tensor(_MATRIX, [len(rows), len(rows[0])], "FP64", flat)]
    return [
        _Tensor(name, [len(values)], table.datatypes[name], values)
        for name, values in table.columns.items()
    ]


def _rows(table: Table) -> list[list[Any]]:
    return [list(row) for row in zip(*table.columns.values(), strict=True)]


def _blob(tensor: _Tensor) -> bytes:
    if tensor.datatype == "BYTES":
        texts = [str(value).encode() for value in tensor.data]
        return b"".join(_LENGTH.pack(len(text)) + text for text in texts)
    numbers = [math.nan if value is None else value for value in tensor.data]
    return array(_TYPECODES[tensor.datatype], numbers).tobytes()
