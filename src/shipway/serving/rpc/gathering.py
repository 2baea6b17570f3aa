"""Messages that come in pieces, or packed, within bounds whatever comes.

A message begins with a byte that says whether it is packed and four of its size (gRPC over HTTP/2,
"Length-Prefixed-Message"). Unpacked bytes are what counts against the limit.
"""

from __future__ import annotations

from shipway.errors import MalformedRequest, Overloaded, TooLarge
from shipway.serving.http.bodies import Room
from shipway.serving.http.coding import STEP_BYTES, Unpacker
from shipway.serving.http.limits import MIB, Limits

PREFIX = 5
_TURN_BYTES = MIB


class Gathering:
    """The pieces of one call's messages; *packed* says that they may be.

    None may be larger than *most_bytes*. What is held counts in *room*, with what all others hold.
    """

    __slots__ = ("_held", "_limits", "_most_bytes", "_packed", "_part", "_pieces", "_room")

    def __init__(self, limits: Limits, room: Room, most_bytes: int, *, packed: bool) -> None:
        self._limits = limits
        self._room = room
        self._most_bytes = most_bytes
        self._packed = packed
        self._part = bytearray()
        self._held = 0
        self._pieces = 0

    @property
    def cut_short(self) -> bool:
        """Whether there is a part of a message."""
        return bool(self._part)

    def feed(self, piece: bytes) -> list[tuple[bool, bytes]]:
        """The messages that are whole with *piece*, and whether each is packed.

        Raises MalformedRequest, TooLarge and Overloaded.
        """
        part = self._part
        part += piece
        self._hold(len(piece))
        self._pieces += 1
        if self._pieces > self._limits.max_chunks:
            raise TooLarge(
                f"the message came in more than {self._limits.max_chunks} pieces",
                next_step="send larger ones, or raise serve.max_chunks",
            )
        whole: list[tuple[bool, bytes]] = []
        at = 0
        while (stop := self._stop_of_next(at)) <= len(part):
            whole.append((part[at] == 1, bytes(part[at + PREFIX : stop])))
            at = stop
        del part[:at]
        return whole

    def release(self) -> None:
        """Give back the room."""
        self._room.taken -= self._held
        self._held = 0
        self._part = bytearray()

    def _stop_of_next(self, at: int) -> int:
        """Where the message that begins at *at* ends, as far as that is known."""
        part = self._part
        start = at + PREFIX
        if start > len(part):
            return start
        if part[at] > 1 or (part[at] and not self._packed):
            raise MalformedRequest(
                "a message says that it is packed, and the call does not say how",
                next_step="send grpc-encoding: gzip with it, or the message as it is",
            )
        size = int.from_bytes(part[at + 1 : start], "big")
        if size > self._most_bytes:
            raise too_large(self._most_bytes)
        return start + size

    def _hold(self, size: int) -> None:
        """Count what is held; one call alone may always send its message."""
        room = self._room
        room.taken += size
        self._held += size
        if room.taken > room.limit and room.taken > self._held:
            raise Overloaded(
                f"messages of over {room.limit} bytes are being received already",
                next_step="try again in a second, or raise serve.max_receiving_bytes",
                retry_after_s=1,
            )


class Unpacking:
    """Unpacks one message, a turn's worth at a time, so that it does not stop the others."""

    def __init__(self, message: bytes, most_bytes: int) -> None:
        self._message = message
        self._most_bytes = most_bytes
        self._unpacker = Unpacker(b"gzip")
        self._at = 0
        self._whole = bytearray()

    def turn(self) -> bytes | None:
        """The message once it is whole; raises MalformedRequest and TooLarge."""
        whole, end = self._whole, len(self._message)
        until = len(whole) + _TURN_BYTES
        while self._at < end and len(whole) < until:
            piece = self._message[self._at : self._at + STEP_BYTES]
            self._at += len(piece)
            whole += self._unpacker.feed(piece, self._most_bytes - len(whole))
            if len(whole) > self._most_bytes:
                raise too_large(self._most_bytes)
        if self._at < end:
            return None
        self._unpacker.end()
        return bytes(whole)


def too_large(most_bytes: int) -> TooLarge:
    """The refusal of a message above the limit, packed or unpacked."""
    return TooLarge(
        f"the message is larger than {most_bytes} bytes",
        next_step="send fewer rows a call, or raise serve.max_body_bytes",
    )
