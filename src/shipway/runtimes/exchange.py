"""What a model's own process and the one that asks it say to each other.

A message is its length in four bytes, big-endian, and a msgpack document of a known type; numbers
travel as the bytes of their array. Nothing that is read here can run code.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from shipway.domain.events import Scalar
from shipway.runtimes.port import Columns

LARGEST_MESSAGE = (1 << 32) - 1
_LENGTH = struct.Struct("!I")
_CHUNK = 1 << 20
_Result = TypeVar("_Result")


class SentColumn(msgspec.Struct, frozen=True, array_like=True):
    """One column: the bytes of an array of *dtype*, or its values where they are objects."""

    name: str
    dtype: str
    data: bytes | list[Scalar]


class Ask(msgspec.Struct, frozen=True, tag="ask", array_like=True):
    """A call of the model."""

    columns: tuple[SentColumn, ...]


class Ready(msgspec.Struct, frozen=True, tag="ready", array_like=True):
    """The model is loaded; ``root`` says that its process could not give up root."""

    root: bool


class Answered(msgspec.Struct, frozen=True, tag="answered", array_like=True):
    """What the model answered: the bytes of a float64 array of this shape."""

    shape: tuple[int, ...]
    data: bytes


class Raised(msgspec.Struct, frozen=True, tag="raised", array_like=True):
    """The model raised; ``trace`` is for the log alone."""

    kind: str
    message: str
    trace: str


Reply = Ready | Answered | Raised

_encoder = msgspec.msgpack.Encoder()
_asked = msgspec.msgpack.Decoder(Ask)
_replied = msgspec.msgpack.Decoder(Reply)


class Ended(Exception):
    """The other side is gone."""


class Late(Exception):
    """The other side did not answer in time."""


def encode(message: Ask | Reply) -> bytes:
    """*message* as it goes over the socket."""
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


def ask_of(columns: Columns, names: tuple[str, ...]) -> Ask:
    """The call for the columns *names* of *columns*."""
    return Ask(tuple(_sent(name, columns[name]) for name in names))


def _sent(name: str, values: NDArray[np.generic]) -> SentColumn:
    if values.dtype.kind in "biufM":
        return SentColumn(name, values.dtype.str, values.tobytes())
    return SentColumn(name, "O", values.tolist())


def columns_of(ask: Ask) -> dict[str, NDArray[np.generic]]:
    """The arrays that *ask* carries, by name, in its order; they may be written to."""
    return {one.name: _received(one) for one in ask.columns}


def _received(column: SentColumn) -> NDArray[np.generic]:
    if isinstance(column.data, bytes):
        return np.frombuffer(bytearray(column.data), dtype=np.dtype(column.dtype))
    values = np.empty(len(column.data), dtype=object)
    values[:] = column.data
    return values


def array_of(answer: Answered) -> NDArray[np.float64]:
    """The array that *answer* carries; raises ValueError if its shape and bytes disagree."""
    return np.frombuffer(answer.data, dtype=np.float64).reshape(answer.shape)


def read_ask(connection: socket.socket) -> Ask | None:
    """The next call, waited for as long as it takes; None once nobody will ask any more."""
    try:
        return _asked.decode(_read(connection, LARGEST_MESSAGE, until=None))
    except Ended:
        return None


def read_reply(connection: socket.socket, *, largest: int, until: float) -> Reply:
    """The next reply, of at most *largest* bytes and by *until* (of the monotonic clock).

    Raises :class:`Ended`, :class:`Late`, and msgspec.DecodeError for what is no reply.
    """
    reply: Reply = _replied.decode(_read(connection, largest, until=until))
    return reply


def send(connection: socket.socket, message: Ask | Reply, *, until: float | None = None) -> None:
    """Send *message*, by *until*; raises :class:`Ended` and :class:`Late`."""
    _within(connection, until, lambda: connection.sendall(encode(message)))


def _read(connection: socket.socket, largest: int, *, until: float | None) -> bytes:
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size, until))
    if length > largest:
        raise msgspec.DecodeError(f"a message of {length} bytes where {largest} are the most")
    return _exactly(connection, length, until)


def _exactly(connection: socket.socket, size: int, until: float | None) -> bytes:
    content = bytearray()
    while len(content) < size:
        wanted = min(size - len(content), _CHUNK)
        part = _within(connection, until, lambda: connection.recv(wanted))  # noqa: B023
        if not part:
            raise Ended
        content += part
    return bytes(content)


def _within(connection: socket.socket, until: float | None, act: Callable[[], _Result]) -> _Result:
    left = None if until is None else until - time.monotonic()
    if left is not None and left <= 0:
        raise Late
    connection.settimeout(left)
    try:
        return act()
    except TimeoutError as late:
        raise Late from late
    except (BrokenPipeError, ConnectionResetError) as gone:
        raise Ended from gone
