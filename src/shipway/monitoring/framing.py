"""How records lie in an append-only file, so that a torn end is seen and never misread.

A frame is a header of 12 bytes (length of the payload, CRC-32 of the payload, CRC-32 of those
eight bytes, all little-endian) and the payload. The header has a checksum of its own so that a
damaged payload can be skipped by a length that is known to be right; without one a reader would
have to search for the next frame, and bytes that a caller chose could pose as one.

Pure: bytes in, payloads out. Who writes and who syncs stands in ``journal`` and ``labels``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from zlib import crc32

HEADER_BYTES = 12
LARGEST_PAYLOAD_BYTES = 1 << 30

_HEADER = struct.Struct("<III")
_BODY = struct.Struct("<II")


def frame(payload: bytes) -> bytes:
    """The frame around *payload*, which has 1 byte to 1 GiB.

    >>> scan(frame(b"one") + frame(b"two")).payloads
    (b'one', b'two')
    """
    return header(payload) + payload


def header(payload: bytes) -> bytes:
    """What a frame has before its *payload*."""
    size = len(payload)
    if not 0 < size <= LARGEST_PAYLOAD_BYTES:
        raise ValueError(f"a frame holds 1 to {LARGEST_PAYLOAD_BYTES} bytes, not {size}")
    body = _BODY.pack(size, crc32(payload))
    return body + crc32(body).to_bytes(4, "little")


@dataclass(frozen=True, slots=True)
class Scan:
    """What a reader found.

    ``places`` are those of the payloads among all whole frames, from 0. ``end`` is the offset
    after the last whole frame; bytes from there on are torn, or are being written just now.
    ``damaged`` counts whole frames before ``end`` whose payload had changed.
    """

    payloads: tuple[bytes, ...]
    places: tuple[int, ...]
    end: int
    damaged: int = 0


def scan(data: bytes, start: int = 0) -> Scan:
    """Every whole frame of *data* from *start* on, in order.

    It ends at the first header that is cut short or whose checksum is wrong, because from there
    on nothing says where a frame begins.
    """
    payloads: list[bytes] = []
    places: list[int] = []
    damaged = 0
    at = start
    while at + HEADER_BYTES <= len(data):
        size, checksum, header_checksum = _HEADER.unpack_from(data, at)
        known = crc32(data[at : at + _BODY.size]) == header_checksum and size > 0
        if not known or at + HEADER_BYTES + size > len(data):
            break
        payload = data[at + HEADER_BYTES : at + HEADER_BYTES + size]
        if crc32(payload) == checksum:
            places.append(len(payloads) + damaged)
            payloads.append(payload)
        else:
            damaged += 1
        at += HEADER_BYTES + size
    return Scan(tuple(payloads), tuple(places), at, damaged)
