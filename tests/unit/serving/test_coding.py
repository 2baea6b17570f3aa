"""Content codings: what a client asks for, what is unpacked, and within which bounds."""

from __future__ import annotations

import gzip
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.corpus.raw import expand

from shipway.errors import MalformedRequest
from shipway.serving.http.coding import (
    PACK_STEP_BYTES,
    STEP_BYTES,
    Packer,
    Unpacker,
    accepted,
    unpacker,
)
from shipway.serving.http.responses import Refusal


@pytest.mark.parametrize(
    ("value", "coding", "must"),
    [
        (None, None, False),
        (b"", None, False),
        (b"gzip", b"gzip", False),
        (b"x-gzip", b"gzip", False),
        (b"GZIP", b"gzip", False),
        (b"deflate", b"deflate", False),
        (b"gzip, deflate, br, zstd", b"gzip", False),
        (b"deflate, gzip;q=0.9", b"deflate", False),
        (b"gzip;q=0.000, deflate;q=0.001", b"deflate", False),
        (b"gzip ; Q=0.5 ,deflate", b"deflate", False),
        (b"*", b"gzip", False),
        (b"gzip;q=0, *", b"deflate", False),
        (b"br", None, False),
        (b"gzip;q=0", None, False),
        (b"identity, gzip;q=0.5", None, False),
        (b"identity;q=0.5, gzip", b"gzip", False),
        (b"identity;q=0, gzip", b"gzip", True),
        (b"gzip, *;q=0", b"gzip", True),
        (b"identity, *;q=0", None, False),
        (b"*;q=0", None, True),
        (b"br, identity;q=0", None, True),
        (b"gzip;q=2, deflate", b"deflate", False),
        (b"gzip;level=9", None, False),
        (b",,gzip,,", b"gzip", False),
    ],
)
def test_accepted(value: bytes | None, coding: bytes | None, must: bool) -> None:
    """The best of what both know is taken, by weight; what is not weighed well is passed over."""
    found = accepted(value)
    assert (found.coding, found.must) == (coding, must)


def unpack(coding: bytes, data: bytes, size: int, allowed: int = 1 << 20) -> bytearray:
    unpacking, out = Unpacker(coding), bytearray()
    for start in range(0, len(data), size):
        out += unpacking.feed(data[start : start + size], allowed - len(out))
        if len(out) > allowed:
            return out
    unpacking.end()
    return out


PACKED = {name: expand(f"‹{name}›") for name in ("gzip", "zlib", "deflate")}


@pytest.mark.parametrize("name", PACKED)
@given(size=st.integers(1, 400))
def test_unpack(name: str, size: int) -> None:
    """gzip and both forms of deflate are unpacked, in whatever pieces they come."""
    coding = b"gzip" if name == "gzip" else b"deflate"
    assert unpack(coding, PACKED[name], size) == expand("‹good›")


@given(st.binary(max_size=60))
def test_noise(data: bytes) -> None:
    """What is not packed at all is a MalformedRequest and nothing else."""
    for coding in (b"gzip", b"deflate"):
        with suppress(MalformedRequest):
            unpack(coding, data, 7)


@pytest.mark.parametrize("size", [1, 100, STEP_BYTES])
def test_no_more_than_allowed(size: int) -> None:
    """One byte more than is allowed is the most that is ever made."""
    data = gzip.compress(bytes(10 << 20))
    for allowed in (0, 1, 1000, (10 << 20) - 1):
        assert len(unpack(b"gzip", data, size, allowed)) == allowed + 1
    assert len(unpack(b"gzip", data, size, 10 << 20)) == 10 << 20


@pytest.mark.parametrize("value", [b"br", b"gzip, gzip", b"gzip,", b"compress", b"aes128gcm"])
def test_unknown_codings(value: bytes) -> None:
    """Other codings, and several, are a 415 that says which there are."""
    with pytest.raises(Refusal) as caught:
        unpacker(value)
    assert caught.value.status == 415
    assert caught.value.headers == b"Accept-Encoding: gzip, deflate\r\n"


@pytest.mark.parametrize(("coding", "bits"), [(b"gzip", 31), (b"deflate", 15)])
@pytest.mark.parametrize("size", [0, 1, PACK_STEP_BYTES, 3 * PACK_STEP_BYTES + 7])
def test_pack(coding: bytes, bits: int, size: int) -> None:
    """An answer is packed in steps of bounded size, and unpacks to itself."""
    body = bytes(range(256)) * (size // 256) + bytes(size % 256)
    packer = Packer(coding, body)
    steps = 0
    while (packed := packer.step()) is None:
        steps += 1
    assert steps == max(0, -(-size // PACK_STEP_BYTES) - 1)
    assert zlib.decompress(packed, bits) == body
