"""The binary tensor extension."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.serving.protocols.tensors import read_tensor, write_tensor


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=20), max_size=20))
def test_strings(values: list[str]) -> None:
    """Strings come back as they went, whatever is in them."""
    blob = write_tensor("BYTES", values)
    assert read_tensor("BYTES", memoryview(blob), len(values)) == values


@pytest.mark.parametrize(
    ("datatype", "values"),
    [
        ("FP64", [0.1, -1e300, 5e-324]),
        ("FP32", [0.5, -2.0, 1e38]),
        ("FP16", [0.5, -2.0, 0.0]),
        ("INT64", [-(2**63), 0, 2**63 - 1]),
        ("INT8", [-128, 0, 127]),
        ("UINT64", [0, 2**64 - 1]),
        ("BOOL", [True, False, True]),
    ],
)
def test_numbers(datatype: str, values: list[Any]) -> None:
    """Numbers and booleans come back as they went."""
    array = read_tensor(datatype, memoryview(write_tensor(datatype, values)), len(values))
    assert isinstance(array, np.ndarray)
    assert array.tolist() == pytest.approx(values)


def test_bf16() -> None:
    """A bfloat16 is the upper half of a float32."""
    array = read_tensor("BF16", memoryview(b"\x80\x3f\x00\xc0"), 2)
    assert isinstance(array, np.ndarray)
    assert array.tolist() == [1.0, -2.0]


@given(st.binary(max_size=60), st.integers(0, 5), st.sampled_from(["BYTES", "BOOL", "FP64"]))
def test_any_blob(blob: bytes, rows: int, datatype: str) -> None:
    """Any bytes are either exactly so many values or a ValueError."""
    try:
        values = read_tensor(datatype, memoryview(blob), rows)
    except ValueError:
        return
    assert len(values) == rows


@given(st.lists(st.text() | st.integers() | st.just("a\nb"), max_size=5))
def test_strings_are_written_one_by_one(values: list[Any]) -> None:
    """Each element has its own length before it, whatever lines or types it is made of."""
    blob = write_tensor("BYTES", values)
    assert read_tensor("BYTES", memoryview(blob), len(values)) == [str(one) for one in values]
