"""The body of one request as it comes in: by length or in chunks, packed or not, within bounds."""

from __future__ import annotations

from shipway.errors import MalformedRequest, Overloaded
from shipway.serving.http.chunks import ChunkReader
from shipway.serving.http.coding import STEP_BYTES, Unpacker
from shipway.serving.http.grammar import CHUNKED, Head, body_too_large
from shipway.serving.http.limits import Limits
from shipway.serving.http.responses import Refusal

_UNPACKED_PER_WORK = 1024


class Room:
    """What the bodies that are still coming in take together, on all connections of a worker."""

    __slots__ = ("limit", "taken")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0


class BodyReader:
    """Follows the body of one request; *unpacker* is None where it is not packed.

    ``value`` is what there is of it, ``wire_bytes`` how much came for it since ``began``, and
    ``refusal`` why it is dropped while it is still followed to its end. ``work`` grows by about
    one each microsecond.
    """

    __slots__ = (
        "_chunks",
        "_held",
        "_left",
        "_limits",
        "_room",
        "_unpacker",
        "began",
        "refusal",
        "value",
        "whole",
        "wire_bytes",
        "work",
    )

    def __init__(
        self, head: Head, limits: Limits, room: Room, began: float, unpacker: Unpacker | None
    ) -> None:
        self.value: bytes | bytearray = b""
        self.refusal: Refusal | None = None
        self.began = began
        self.whole = False
        self.wire_bytes = 0
        self.work = 0
        self._limits = limits
        self._room = room
        self._held = 0
        self._left = head.size
        self._chunks = ChunkReader(limits) if head.size == CHUNKED else None
        self._unpacker = unpacker

    def feed(self, data: bytes, at: int, end: int) -> int:
        """Read some of *data* from *at* to *end*; the place where reading stopped.

        Raises Refusal for what cannot be followed any further.
        """
        if self._unpacker is not None:
            end = min(end, at + STEP_BYTES)
        chunks = self._chunks
        if chunks is None:
            stop = min(end, at + self._left)
            self._left -= stop - at
            part = data[at:stop]
            self.whole = not self._left
        else:
            before = chunks.count
            stop, part = chunks.feed(data, at, end)
            self.work += chunks.count - before
            self.whole = chunks.done
        self.wire_bytes += stop - at
        if part and self.refusal is None:
            self._take(part)
        if self.whole and self._unpacker is not None and self.refusal is None:
            self._end(self._unpacker)
        return stop

    def release(self) -> None:
        """Give back the room that this body took, and what it holds."""
        self._room.taken -= self._held
        self._held = 0
        # The error in a refusal knows the frames that it came through, and they this body.
        self.value, self.refusal = b"", None

    def _take(self, part: bytes) -> None:
        if self._unpacker is not None:
            part = self._unpack(self._unpacker, part)
        if not self.value:
            self.value = part
        elif isinstance(self.value, bytearray):
            self.value += part
        else:
            self.value = bytearray(self.value)
            self.value += part
        self._hold(len(part))

    def _hold(self, size: int) -> None:
        """Count what is held; one body alone may always be received."""
        room = self._room
        room.taken += size
        self._held += size
        if room.taken > room.limit and room.taken > self._held:
            error = Overloaded(
                f"bodies of over {room.limit} bytes are being received already",
                next_step="try again after Retry-After seconds, or raise serve.max_receiving_bytes",
                retry_after_s=1,
            )
            raise Refusal(error, close=True)

    def _unpack(self, unpacker: Unpacker, part: bytes) -> bytes:
        allowed = self._limits.max_body_bytes - len(self.value)
        try:
            unpacked = unpacker.feed(part, allowed)
        except MalformedRequest as error:
            self.refusal, self.value = Refusal(error), b""
            return b""
        self.work += len(unpacked) // _UNPACKED_PER_WORK
        if len(unpacked) > allowed:
            raise body_too_large(self._limits)
        return unpacked

    def _end(self, unpacker: Unpacker) -> None:
        try:
            unpacker.end()
        except MalformedRequest as error:
            self.refusal = Refusal(error)
