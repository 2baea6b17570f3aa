"""The frames of HTTP/2 (RFC 9113): their numbers, their bytes, and the two ways to be wrong."""

from __future__ import annotations

from enum import IntEnum

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_BYTES = 16_384
"""The largest payload, both ways: what every connection begins with."""
HEAD_BYTES = 9
LARGEST_ID = (1 << 31) - 1
LARGEST_WINDOW = (1 << 31) - 1
FIRST_WINDOW = 65_535

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE = 0, 1, 2, 3, 4, 5
PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 6, 7, 8, 9
END_STREAM = ACK = 0x01
END_HEADERS, PADDED, WITH_PRIORITY = 0x04, 0x08, 0x20

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS = 1, 2, 3
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = 4, 5, 6


class Code(IntEnum):
    """Why a stream or a connection ends (RFC 9113, 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


class ConnectionBroken(Exception):
    """What came cannot be followed by anything; *text* is told to the client with GOAWAY."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class StreamBroken(Exception):
    """One stream cannot go on; the connection does."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.name)
        self.code = code


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """One frame.

    >>> frame(PING, ACK, 0, b"12345678")[:9]
    b'\\x00\\x00\\x08\\x06\\x01\\x00\\x00\\x00\\x00'
    """
    start = (len(payload) << 16 | kind << 8 | flags).to_bytes(5, "big")
    return b"%b%b%b" % (start, stream_id.to_bytes(4, "big"), payload)


def settings(values: dict[int, int]) -> bytes:
    """A SETTINGS frame of *values*."""
    pairs = [key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in values.items()]
    return frame(SETTINGS, 0, 0, b"".join(pairs))


def window_update(stream_id: int, size: int) -> bytes:
    """The word that *size* bytes more may come."""
    return frame(WINDOW_UPDATE, 0, stream_id, size.to_bytes(4, "big"))


def goaway(last: int, code: int, text: str = "") -> bytes:
    """The word that no stream after *last* is answered, and why."""
    return frame(GOAWAY, 0, 0, b"%b%b%b" % (_four(last), _four(code), text.encode()[:1024]))


def reset(stream_id: int, code: int) -> bytes:
    """The end of one stream."""
    return frame(RST_STREAM, 0, stream_id, _four(code))


def _four(value: int) -> bytes:
    return value.to_bytes(4, "big")


def read_settings(payload: bytes) -> int | None:
    """Check the settings of a client; what is its streams' first window from now on, if told.

    The last one counts, for applying each would be work for nothing. Nothing else is of use here:
    frames never get larger than the least, and what is sent uses no table.
    """
    window: int | None = None
    for at in range(0, len(payload), 6):
        key = payload[at] << 8 | payload[at + 1]
        value = int.from_bytes(payload[at + 2 : at + 6], "big")
        if key == ENABLE_PUSH and value > 1:
            raise ConnectionBroken(Code.PROTOCOL_ERROR, "ENABLE_PUSH is neither 0 nor 1")
        if key == MAX_FRAME_SIZE and not FRAME_BYTES <= value < 1 << 24:
            raise ConnectionBroken(Code.PROTOCOL_ERROR, "MAX_FRAME_SIZE is no such size")
        if key == INITIAL_WINDOW_SIZE:
            if value > LARGEST_WINDOW:
                raise ConnectionBroken(
                    Code.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE is over 2^31 - 1"
                )
            window = value
    return window


def check(kind: int, stream_fits: bool, size_fits: bool) -> None:
    """Raise for a frame of the wrong size, or on a stream where it does not belong."""
    if not size_fits:
        raise ConnectionBroken(Code.FRAME_SIZE_ERROR, f"a frame of type {kind} has a wrong size")
    if not stream_fits:
        raise ConnectionBroken(Code.PROTOCOL_ERROR, f"a frame of type {kind} is on a wrong stream")
