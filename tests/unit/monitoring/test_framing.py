"""Frames: what was written whole is read back, whatever happened to the end of the file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.monitoring.framing import HEADER_BYTES, frame, scan

payloads = st.lists(st.binary(min_size=1, max_size=60), max_size=8)


@given(payloads)
def test_whole_frames_are_read_back_in_order(written: list[bytes]) -> None:
    """Every payload comes back, in order, and nothing is left over."""
    data = b"".join(map(frame, written))
    found = scan(data)
    assert (list(found.payloads), found.end, found.damaged) == (written, len(data), 0)


@given(payloads, st.binary(min_size=1, max_size=60), st.data())
def test_a_torn_tail_loses_only_itself(
    written: list[bytes], last: bytes, data: st.DataObject
) -> None:
    """However short the last frame was cut, all before it are read and its start is the end."""
    whole = b"".join(map(frame, written))
    cut = data.draw(st.integers(0, HEADER_BYTES + len(last) - 1))
    found = scan(whole + frame(last)[:cut])
    assert (list(found.payloads), found.end) == (written, len(whole))


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=2, max_size=6), st.data())
def test_a_changed_payload_is_skipped_and_counted(
    written: list[bytes], data: st.DataObject
) -> None:
    """One flipped bit in one payload costs that frame and no other."""
    which = data.draw(st.integers(0, len(written) - 1))
    frames = [bytearray(frame(payload)) for payload in written]
    at = data.draw(st.integers(HEADER_BYTES, len(frames[which]) - 1))
    frames[which][at] ^= 1 << data.draw(st.integers(0, 7))
    found = scan(b"".join(frames))
    assert list(found.payloads) == written[:which] + written[which + 1 :]
    assert found.damaged == 1


@given(st.binary(max_size=200))
def test_bytes_that_are_no_frames_are_never_read_as_one(noise: bytes) -> None:
    """Behind a damaged header nothing is believed, not even a whole frame inside of it."""
    broken = bytearray(frame(noise or b"x"))
    broken[0] ^= 0xFF
    assert scan(bytes(broken) + frame(b"forged")).payloads == ()


def test_zeros_after_a_power_cut_are_a_torn_tail() -> None:
    """A file system that left zeros behind leaves no empty frames."""
    data = frame(b"kept") + bytes(4096)
    assert scan(data).end == len(frame(b"kept"))


def test_reading_begins_where_it_is_told() -> None:
    """A reader that remembers its offset reads only what came after."""
    first = frame(b"first")
    assert scan(first + frame(b"second"), len(first)).payloads == (b"second",)


def test_an_empty_payload_is_refused() -> None:
    """Nothing is not a record."""
    with pytest.raises(ValueError, match="1 to"):
        frame(b"")
