"""Requests of the Open Inference Protocol that are clear at first sight, read by the shortest way.

Nearly all are: JSON, flat data, every input as it should be. What is not is left to the codec,
which reads anything the protocol allows and says what is wrong with the rest. Both make the same
request of the same bytes; a property test holds them together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

import msgspec

from shipway.contract.block import Layout, RowMajor
from shipway.inference.predictor import RequestColumns
from shipway.serving.protocols.oip import NUMBERS, InferRequest, RequestedOutput

Check = Callable[["bytes | bytearray | memoryview"], None]
"""Raises if JSON may cost more than is allowed: how deep it nests, how much it holds."""

_SHORT = 1 << 20


class Numbers(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """An input of numbers alone; whatever else it has in ``data`` is not clear at first sight."""

    name: str
    shape: list[int]
    datatype: str
    data: list[float | None]
    parameters: dict[str, Any] | None = None


class NumbersRequest(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A request of numbers alone."""

    inputs: list[Numbers]
    id: str | None = None
    outputs: list[RequestedOutput] | None = None
    parameters: dict[str, Any] | None = None


_decode_numbers = msgspec.json.Decoder(NumbersRequest).decode


def read_numbers(
    body: bytes | bytearray, layout: Layout, check: Check
) -> tuple[NumbersRequest, RowMajor] | None:
    """The request in *body* and its rows, where all features are numbers; None if unclear.

    A short body of nothing but flat numbers need not pass *check*: its type holds it in bounds.
    """
    if len(body) > _SHORT:
        check(body)
    try:
        request = _decode_numbers(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    inputs = request.inputs
    if request.parameters or request.outputs or any(one.parameters for one in inputs):
        check(body)
    if len(inputs) == 1 and (rows := _matrix(inputs[0], layout)) is not None:
        return request, rows
    if len(inputs) != layout.width:
        return None
    columns: list[list[float | None]] = []
    shape = inputs[0].shape
    count = len(inputs[0].data)
    if not count or shape not in ([count], [count, 1]):
        return None
    for one, name in zip(inputs, layout.names, strict=True):
        if (
            one.name != name
            or one.shape != shape
            or len(one.data) != count
            or one.datatype not in NUMBERS
        ):
            return None
        columns.append(one.data)
    numbers = list(chain.from_iterable(columns if count == 1 else zip(*columns, strict=True)))
    return request, RowMajor(layout, numbers, count)


def _matrix(one: Numbers, layout: Layout) -> RowMajor | None:
    """The rows of a single input of the shape [n, features]."""
    shape = one.shape
    if len(shape) != 2 or shape[1] != layout.width or one.datatype not in NUMBERS:
        return None
    if not one.data or shape[0] * shape[1] != len(one.data):
        return None
    return RowMajor(layout, one.data, shape[0])


def read_columns(
    request: InferRequest, allowed: Mapping[str, frozenset[str]]
) -> tuple[RequestColumns, int] | None:
    """The columns of *request* and how many rows they have; None if unclear."""
    inputs = request.inputs
    if not inputs or inputs[0].data is None:
        return None
    count = len(inputs[0].data)
    if not count:
        return None
    flat, tall = [count], [count, 1]
    columns: dict[str, Any] = {}
    for one in inputs:
        data = one.data
        if (
            data is None
            or len(data) != count
            or data[0].__class__ is list
            or one.shape not in (flat, tall)
            or one.datatype not in allowed.get(one.name, ())
            or one.parameters
        ):
            return None
        columns[one.name] = data
    return (columns, count) if len(columns) == len(inputs) else None
