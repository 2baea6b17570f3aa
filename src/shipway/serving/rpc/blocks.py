"""The header blocks of gRPC's answers: written once, or a field at a time, never indexed.

No table is used for what goes out, so a block is the same bytes on every connection (RFC 7541).
"""

from __future__ import annotations

from base64 import b64encode
from http import HTTPStatus

from shipway.errors import ShipwayError
from shipway.serving.http2.streams import Block
from shipway.serving.rpc.statuses import Status, told_text, trailers

_OK = b"\x88"  # :status 200, as the static table has it
_STATUS, _CONTENT_TYPE = 8, 31
_SHORT = 127
_TEXT = 4096
_AS_IT_IS = frozenset(range(0x20, 0x7F)) - {0x25}
TAKEN = "identity,gzip"
"""The codings of messages that are read here."""


def field(name: str, value: str) -> bytes:
    """A field, its name spelled out."""
    return b"\x00" + _string(name.encode()) + _string(value.encode())


def _known(index: int, value: str) -> bytes:
    """A field whose name is in the static table; *index* is at most 142."""
    prefix = bytes((index,)) if index < 15 else bytes((15, index - 15))
    return prefix + _string(value.encode())


def _string(data: bytes) -> bytes:
    size = len(data)
    if size < _SHORT:
        return bytes((size,)) + data
    parts = bytearray((_SHORT,))
    size -= _SHORT
    while size > 127:
        parts.append(size & 127 | 128)
        size >>= 7
    parts.append(size)
    return bytes(parts) + data


_GRPC = _OK + _known(_CONTENT_TYPE, "application/grpc")
_TAKEN = field("grpc-accept-encoding", TAKEN)
HEAD = Block.of(_GRPC + _TAKEN)
"""What every message begins with."""
WELL = Block.of(field("grpc-status", "0"))
"""The trailers of a call that went well."""


def refusal(error: ShipwayError, status: Status, *, begun: bool) -> Block:
    """What ends a call that did not: a head that is all, or trailers if it has *begun*."""
    parts = [b"" if begun else _GRPC, field("grpc-status", str(status.value))]
    if status is Status.UNIMPLEMENTED and not begun:
        parts.append(_TAKEN)
    parts.append(field("grpc-message", escaped(told_text(error))))
    for name, value in trailers(error, status):
        plain = value if isinstance(value, str) else b64encode(value).decode().rstrip("=")
        parts.append(field(name, plain))
    return Block.of(b"".join(parts))


def not_grpc(status: HTTPStatus) -> Block:
    """The answer to a request that is no call of gRPC."""
    return Block.of(_known(_STATUS, str(status.value)))


def escaped(text: str) -> str:
    """*text* as ``grpc-message`` has it: percent-encoded, and cut where it is far too long.

    >>> escaped("voll ü%")
    'voll %C3%BC%25'
    """
    parts: list[str] = []
    room = _TEXT
    for byte in text.encode():
        part = chr(byte) if byte in _AS_IT_IS else f"%{byte:02X}"
        room -= len(part)
        if room < 0:
            break
        parts.append(part)
    return "".join(parts)
