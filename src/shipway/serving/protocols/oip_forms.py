"""Forms of a request beside one plain input a column: matrices, raw bodies, content types.

A single input of the shape [n, features] holds whole rows where every feature is a number. A raw
body (``Inference-Header-Content-Length: 0``) is the bytes of the one input there is.
``content_type`` is MLServer's convention for what a tensor means beyond its datatype.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Protocol

import numpy as np

from shipway.contract.block import Layout, RowMajor
from shipway.contract.schema import Contract
from shipway.domain.events import Scalar
from shipway.domain.model import DATATYPE_OF, Kind
from shipway.inference.predictor import RequestColumn, RequestColumns
from shipway.serving.protocols.oip import HALVES, NUMERIC, InputTensor
from shipway.serving.protocols.tensors import read_tensor, size_of

FRAME_TYPES = frozenset({"pd", "np", "str"})
"""What a whole request may be, all of which mean the same here: one input a column."""

_TEXTS = frozenset({"str", "base64", "datetime"})
_NUMBERS = (Kind.NUMBER, Kind.INTEGER, Kind.BOOLEAN)


class Shaped(Protocol):
    """A tensor of any protocol, as far as its form tells what it is."""

    name: str

    @property
    def shape(self) -> Sequence[int]:
        """Its dimensions."""


class Forms:
    """The further forms of requests to one contract."""

    def __init__(self, contract: Contract) -> None:
        self._layout = Layout.of(contract)
        self._names = tuple(column.name for column in contract.features)
        self._kinds = tuple(column.kind for column in contract.features)
        self._accepted = frozenset(column.name for column in contract.request_columns)
        self._numeric = all(kind in _NUMBERS for kind in self._kinds)

    def is_matrix(self, inputs: Sequence[Shaped]) -> bool:
        """Whether *inputs* are one matrix, under a name that is no column's."""
        if len(inputs) != 1 or not self._numeric or inputs[0].name in self._accepted:
            return False
        shape = inputs[0].shape
        return len(shape) == 2 and shape[1] == len(self._names)

    def matrix(self, tensor: InputTensor, blob: memoryview | None) -> RequestColumns:
        """The rows of a matrix, in JSON (flat or nested) or in *blob*; raises ValueError."""
        rows, width = tensor.shape
        if tensor.datatype not in NUMERIC:
            raise ValueError(f"has the datatype {tensor.datatype[:16]!r}, a number's is due")
        if blob is not None:
            array = read_tensor(tensor.datatype, blob, rows * width)
            if self._layout is not None and tensor.datatype != "BOOL":
                return RowMajor(self._layout, array, rows)
            return self._by_name(np.asarray(array))
        data = tensor.data or []
        if tensor.datatype in HALVES:
            raise ValueError(halves_in_json(tensor.datatype))
        if len(data) == rows and all(row.__class__ is list for row in data):
            if any(len(row) != width for row in data):  # type: ignore[arg-type]
                raise ValueError(f"has data nested unlike its shape {tensor.shape}")
            data = list(chain.from_iterable(data))  # type: ignore[arg-type]
        if len(data) != rows * width:
            raise ValueError(f"has {len(data)} values and the shape {tensor.shape}")
        return self._by_name(data)

    def raw(self, body: bytes | bytearray) -> tuple[RequestColumns, int]:
        """Columns and rows of a *body* that is the one input's bytes; raises ValueError.

        One feature that is text: the body is one value. Numbers: values of the datatype that the
        metadata gives the feature, or, for several features, rows of FP64.
        """
        view, width = memoryview(body), len(self._names)
        if width == 1 and not self._numeric:
            try:
                return {self._names[0]: [str(view, "utf-8")]}, 1
            except UnicodeDecodeError as error:
                raise ValueError("the body is not UTF-8") from error
        if not self._numeric:
            raise ValueError(
                f"the model has {width} features, some of them text, and a raw body is one input"
            )
        datatype = DATATYPE_OF[self._kinds[0]] if width == 1 else "FP64"
        rows, rest = divmod(len(view), size_of(datatype) * width)
        if rest or not rows:
            raise ValueError(f"{len(view)} bytes are no whole rows of {width} {datatype} values")
        array = read_tensor(datatype, view, rows * width)
        if self._layout is not None:
            return RowMajor(self._layout, array, rows), rows
        return self._by_name(np.asarray(array)), rows

    def _by_name(self, flat: Any) -> dict[str, RequestColumn]:
        width = len(self._names)
        return {name: flat[place::width] for place, name in enumerate(self._names)}


def converted(tensor: InputTensor, values: RequestColumn) -> RequestColumn:
    """*values* as the tensor's ``content_type`` means them; raises ValueError."""
    kind = (tensor.parameters or {}).get("content_type")
    if kind is None or kind == "np":
        return values
    if kind not in _TEXTS:
        raise ValueError(
            f"has the content_type {str(kind)[:32]!r}; np, str, base64 and datetime are read"
        )
    if tensor.datatype != "BYTES":
        raise ValueError(
            f"has the content_type {kind} and the datatype {tensor.datatype}, not BYTES"
        )
    return values if kind != "base64" else [_from_base64(value) for value in values]


def frame_fault(parameters: Mapping[str, Any]) -> str:
    """What is wrong with a request's own ``content_type``, or nothing."""
    kind = parameters.get("content_type")
    if kind is None or kind in FRAME_TYPES:
        return ""
    return f"has the content_type {str(kind)[:32]!r}; pd, np and str are read"


def halves_in_json(datatype: str) -> str:
    """What is wrong with half-precision numbers that are JSON."""
    return f"has {datatype} as JSON, which has no such numbers; send them in binary, or as FP32"


def _from_base64(value: Scalar) -> Scalar:
    if not isinstance(value, str):
        return value
    try:
        return b64decode(value, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise ValueError("has a value that is no base64 of UTF-8 text") from error
