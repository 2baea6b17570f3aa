"""One tensor of a request into one column: its shape, its datatype, its values or its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shipway.errors import Problem
from shipway.inference.predictor import RequestColumn
from shipway.serving.protocols.oip import BYTES, DATATYPES, HALVES, InputTensor
from shipway.serving.protocols.oip_faults import note
from shipway.serving.protocols.oip_forms import converted, halves_in_json
from shipway.serving.protocols.tensors import read_tensor


class InputReader:
    """Reads tensors; *allowed* has the datatypes that each column of the contract may have."""

    def __init__(self, allowed: Mapping[str, frozenset[str]]) -> None:
        self._allowed = allowed

    def read(
        self, tensor: InputTensor, blobs: memoryview, faults: list[Problem]
    ) -> tuple[RequestColumn | None, memoryview]:
        """The column in *tensor*, None if it is at fault, and the blobs after its own."""
        shape, data, name = tensor.shape, tensor.data, tensor.name
        rows = shape[0] if shape else -1
        if rows < 0 or (len(shape) != 1 and (len(shape) != 2 or shape[1] != 1)):
            note(faults, name, f"has the shape {shape[:4]}; [n] and [n, 1] are taken")
            return None, blobs
        allowed = self._allowed.get(name, DATATYPES)
        if tensor.datatype not in allowed:
            wanted = "BYTES" if allowed is BYTES else "a number's datatype or BOOL"
            note(faults, name, f"has the datatype {tensor.datatype[:16]!r}, {wanted} is due")
            return None, blobs
        if data is None:
            return self._binary(tensor, blobs, rows, faults)
        return _json(tensor, data, rows, faults), blobs

    def _binary(
        self, tensor: InputTensor, blobs: memoryview, rows: int, faults: list[Problem]
    ) -> tuple[RequestColumn | None, memoryview]:
        try:
            blob = blob_of(tensor, blobs)
        except ValueError as error:
            note(faults, tensor.name, str(error))
            return None, blobs
        try:
            values = read_tensor(tensor.datatype, blob, rows)
        except ValueError as error:
            note(faults, tensor.name, str(error))
            return None, blobs[len(blob) :]
        return _converted(tensor, values, faults), blobs[len(blob) :]


def _json(
    tensor: InputTensor, data: list[Any], rows: int, faults: list[Problem]
) -> RequestColumn | None:
    """The values of *data*, flat or nested, None if it is at fault."""
    if tensor.datatype in HALVES:
        note(faults, tensor.name, halves_in_json(tensor.datatype))
        return None
    if len(data) != rows:
        note(faults, tensor.name, f"has {len(data)} values and the shape {tensor.shape}")
        return None
    if rows and data[0].__class__ is list:
        return _converted(tensor, _unnested(tensor, data, faults), faults)
    return _converted(tensor, data, faults)  # a later list is no scalar: the contract says so


def blob_of(tensor: InputTensor, blobs: memoryview) -> memoryview:
    """The bytes of *tensor*, the first of *blobs*; raises ValueError if they are not there."""
    parameters = tensor.parameters or {}
    if "shared_memory_region" in parameters:
        raise ValueError("is in shared memory, which this server does not read; send its bytes")
    size = parameters.get("binary_data_size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(blobs):
        raise ValueError("has neither data nor a binary_data_size that fits")
    return blobs[:size]


def _unnested(tensor: InputTensor, data: list[Any], faults: list[Problem]) -> RequestColumn | None:
    """The values of nested *data*, [[1], [2]], which only the shape [n, 1] may have."""
    if len(tensor.shape) == 2 and all(row.__class__ is list and len(row) == 1 for row in data):
        return [row[0] for row in data]
    note(faults, tensor.name, f"has data nested unlike its shape {tensor.shape}")
    return None


def _converted(
    tensor: InputTensor, values: RequestColumn | None, faults: list[Problem]
) -> RequestColumn | None:
    """*values* as the tensor's content type means them, None if they cannot be."""
    if values is None or tensor.parameters is None:
        return values
    try:
        return converted(tensor, values)
    except ValueError as error:
        note(faults, tensor.name, str(error))
        return None
