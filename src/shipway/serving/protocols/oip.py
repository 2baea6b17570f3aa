"""The Open Inference Protocol v2 as it stands on the wire: requests, responses, metadata.

Only shapes are here. ``codec`` gives them the meaning of one version's contract, ``tensors``
knows the binary form.
"""

from __future__ import annotations

from typing import Any

import msgspec

from shipway.domain.events import Scalar
from shipway.errors import MalformedRequest

BINARY_EXTENSION = "binary_tensor_data"
EXTENSIONS = (
    BINARY_EXTENSION,
    "statistics",
    "model_configuration",
    "model_repository",
    "parameters",
)

NUMERIC = frozenset(
    {
        "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
        "FP16", "BF16", "FP32", "FP64",
    }
)  # fmt: skip
HALVES = frozenset({"FP16", "BF16"})
"""They have no form in JSON, and come in binary alone."""
NUMBERS = NUMERIC - {"BOOL"} - HALVES
"""What a plain number in JSON may be called."""
BYTES = frozenset({"BYTES"})
DATATYPES = NUMERIC | BYTES


class InputTensor(msgspec.Struct, gc=False):
    """One column of a request: ``shape`` is [n] or [n, 1], ``data`` flat or nested alike."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Scalar | list[Scalar]] | None = None
    parameters: dict[str, Any] | None = None


class RequestedOutput(msgspec.Struct, gc=False):
    """One output that the client wants."""

    name: str
    parameters: dict[str, Any] | None = None


class InferRequest(msgspec.Struct, gc=False):
    """The body of ``POST /v2/models/{model}/infer``."""

    inputs: list[InputTensor]
    id: str | None = None
    outputs: list[RequestedOutput] | None = None
    parameters: dict[str, Any] | None = None


class OutputTensor(msgspec.Struct, gc=False, omit_defaults=True):
    """One output: ``data`` is flat and row-major, absent where it follows in binary."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] = {}
    data: list[Any] | None = None


class InferResponse(msgspec.Struct, gc=False, omit_defaults=True):
    """The answer; ``parameters`` count the rows that broke a soft rule, as ``warning.<code>``."""

    model_name: str
    model_version: str
    id: str
    outputs: list[OutputTensor]
    parameters: dict[str, Any] = {}


class TensorMetadata(msgspec.Struct, omit_defaults=True):
    """One input or output as the metadata describes it."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Scalar] = {}


class ModelMetadata(msgspec.Struct):
    """The body of ``GET /v2/models/{model}``."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    parameters: dict[str, Scalar] = {}


encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(InferRequest).decode


def decode_request(body: bytes | bytearray | memoryview) -> InferRequest:
    """The request in *body*, which is JSON; raises MalformedRequest with the place of the fault."""
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        reason = str(error)
    except RecursionError:
        reason = "it is nested too deeply"
    raise MalformedRequest(
        f"the body is not an inference request: {reason}",
        next_step='send {"inputs": [{"name", "shape", "datatype", "data"}, …]}, one a column',
    )
