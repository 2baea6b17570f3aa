"""UBJSON is walked through before XGBoost reads it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.runtimes.ubjson import is_whole_ubjson

WHOLE = [
    b"Z",
    b"T",
    b"i\x05",
    b"D" + bytes(8),
    b"Si\x02ab",
    b"[]",
    b"{}",
    b"[i\x01[Si\x01x]]",
    b"{i\x01ai\x01L\x00\x00\x00\x00\x00\x00\x00\x01bF}",
    b"[$d#i\x02" + bytes(8),
    b"[#i\x02i\x01T",
    b"{#i\x01i\x01aT",
    b"{$i#i\x01i\x01a\x07",
]


@pytest.mark.parametrize("data", WHOLE)
def test_a_whole_value_is_whole_and_nothing_shorter_or_longer_is(data: bytes) -> None:
    """Exactly the whole of a value passes: no beginning of it, and nothing after it."""
    assert is_whole_ubjson(data)
    assert not any(is_whole_ubjson(data[:end]) for end in range(len(data)))
    assert not is_whole_ubjson(data + b"Z")


@given(st.binary(max_size=40))
def test_any_bytes_get_an_answer(data: bytes) -> None:
    """No bytes make the walk fail otherwise than by saying no."""
    assert is_whole_ubjson(data) in (True, False)


@pytest.mark.parametrize(
    "data", [b"[" * 1000, b"Si\xffab", b"[$d", b"[$d]", b"x", b"SSi\x01a", b"[$[#i\x01"]
)
def test_malformed_values_are_not_whole(data: bytes) -> None:
    """Depth without end, negative lengths and types without counts are refused."""
    assert not is_whole_ubjson(data)
