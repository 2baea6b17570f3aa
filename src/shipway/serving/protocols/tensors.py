"""The binary tensor extension: little-endian values after the JSON, one blob a tensor.

Source: the ``binary_tensor_data`` extension of the Open Inference Protocol. BOOL is one byte;
BYTES is, for each element, a 4-byte length and so many bytes of UTF-8.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shipway.domain.events import Scalar

_DTYPES = {
    "BOOL": "<u1", "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8",
    "INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8",
    "FP16": "<f2", "BF16": "<u2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
_CODES = {"INT64": "q", "FP64": "d"}
_FEW = 256
_LENGTH = struct.Struct("<I")


def size_of(datatype: str) -> int:
    """Bytes of one value of *datatype*, which is not BYTES."""
    return np.dtype(_DTYPES[datatype]).itemsize


def read_tensor(datatype: str, blob: memoryview, rows: int) -> NDArray[np.generic] | list[Scalar]:
    """The *rows* values in *blob*: strings as a list, everything else as an array.

    Raises ValueError, saying what is wrong, if the blob does not hold exactly so many.
    """
    if datatype == "BYTES":
        return _read_strings(blob, rows)
    dtype = np.dtype(_DTYPES[datatype])
    if len(blob) != rows * dtype.itemsize:
        raise ValueError(f"{len(blob)} bytes are not {rows} values of {datatype}")
    array = np.frombuffer(blob, dtype=dtype)
    if datatype == "BOOL":
        if array.size and array.max() > 1:
            raise ValueError("a BOOL is a byte that is 0 or 1")
        return array.astype(np.bool_)
    if datatype == "BF16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array


def write_tensor(datatype: str, values: list[Any]) -> bytes:
    """*values* as a blob."""
    if datatype == "BYTES":
        texts = _encoded(values)
        lengths = {size: _LENGTH.pack(size) for size in set(map(len, texts))}
        return b"".join([part for text in texts for part in (lengths[len(text)], text)])
    if len(values) <= _FEW and (code := _CODES.get(datatype)) is not None:
        return struct.pack(f"<{len(values)}{code}", *values)  # numpy pays by the call
    return np.asarray(values, dtype=_DTYPES[datatype]).tobytes()


def _encoded(values: list[Any]) -> list[bytes]:
    """Each of *values* in UTF-8; all at once where they are texts of one line."""
    try:
        texts = "\n".join(values).encode().split(b"\n")
    except TypeError:
        texts = []
    return texts if len(texts) == len(values) else [str(value).encode() for value in values]


def _read_strings(blob: memoryview, rows: int) -> list[Scalar]:
    values: list[Scalar] = []
    position, end = 0, len(blob)
    while position < end:
        if position + 4 > end or len(values) == rows:
            break
        (length,) = _LENGTH.unpack_from(blob, position)
        position += 4 + length
        if position > end:
            break
        try:
            values.append(str(blob[position - length : position], "utf-8"))
        except UnicodeDecodeError as error:
            raise ValueError(f"element {len(values)} is not UTF-8") from error
    if position != end or len(values) != rows:
        raise ValueError(f"{end} bytes are not {rows} strings with their lengths")
    return values
