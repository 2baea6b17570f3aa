"""What goes to a client of HTTP/2: within its windows, whole, in order."""

from __future__ import annotations

from dataclasses import dataclass, field

import hpack
from hypothesis import given
from hypothesis import strategies as st

from shipway.errors import NotFoundError, Overloaded
from shipway.serving.http2.streams import Block, Outflow, Stream
from shipway.serving.rpc.blocks import HEAD, WELL, escaped, refusal
from shipway.serving.rpc.statuses import Status


@dataclass
class Line:
    """A connection: what it wrote, and which streams are done."""

    wrote: bytearray = field(default_factory=bytearray)
    done: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.outflow = Outflow(self.wrote.extend)

    @staticmethod
    def clock() -> float:
        return 0.0

    def finished(self, stream: Stream) -> None:
        stream.over = True
        self.done.append(stream.number)

    def due(self, deadline: float) -> None:
        assert deadline == self.clock()

    def frames(self) -> list[tuple[int, int, int, bytes]]:
        """Kind, flags, stream and payload of each."""
        found, at = [], 0
        while at < len(self.wrote):
            size = int.from_bytes(self.wrote[at : at + 3], "big")
            number = int.from_bytes(self.wrote[at + 5 : at + 9], "big")
            payload = bytes(self.wrote[at + 9 : at + 9 + size])
            found.append((self.wrote[at + 3], self.wrote[at + 4], number, payload))
            at += 9 + size
        return found


def test_a_small_answer() -> None:
    """What fits goes out whole: a head, the message, the end."""
    line = Line()
    line.outflow.send(Stream(line, 5), HEAD, b"message", WELL)
    assert line.frames() == [
        (1, 4, 5, HEAD.fields),
        (0, 0, 5, b"message"),
        (1, 5, 5, WELL.fields),
    ]
    assert line.done == [5]


@given(
    sizes=st.lists(st.integers(0, 70_000), min_size=1, max_size=4),
    widths=st.lists(st.integers(1, 60_000), min_size=1, max_size=60),
    paused=st.booleans(),
)
def test_any_windows(sizes: list[int], widths: list[int], paused: bool) -> None:
    """However windows open, every answer comes whole and in order, and never beyond a window."""
    line = Line()
    flow = line.outflow
    streams = [Stream(line, 2 * place + 1) for place in range(len(sizes))]
    messages = [bytes([65 + place]) * size for place, size in enumerate(sizes)]
    flow.paused = paused
    for stream, message in zip(streams, messages, strict=True):
        flow.send(stream, HEAD, message, WELL)
    flow.paused = False
    flow.go_on()
    assert flow.window >= 0
    for width in widths * 40:
        if len(line.done) == len(streams):
            break
        flow.widen(None, width)
        for stream in streams:
            if not stream.over:
                flow.widen(stream, width)
        assert flow.window >= 0
        assert all(stream.window >= 0 for stream in streams)
    for stream, message in zip(streams, messages, strict=True):
        mine = [found for found in line.frames() if found[2] == stream.number]
        sent = b"".join(payload for kind, _, _, payload in mine if kind == 0)
        assert message.startswith(sent)
        assert all(len(payload) <= 16_384 for *_, payload in mine)
        if stream.over:
            assert sent == message
            assert mine[-1][0] == 1
            assert mine[-1][1] & 1


def test_a_long_head_goes_in_pieces() -> None:
    """A block that one frame does not hold is continued, and reads as one."""
    line = Line()
    fields = b"".join(b"\x00\x01a\x7f\x81\x7d" + b"x" * 16_128 for _ in range(3))
    line.outflow.send_head_alone(Stream(line, 1), Block.of(fields))
    first, *rest = line.frames()
    assert first[:2] == (1, 1)
    assert [kind for kind, *_ in rest] == [9] * len(rest)
    assert rest[-1][1] == 4
    assert b"".join(payload for *_, payload in line.frames()) == fields


def decoded(block: Block) -> dict[bytes, bytes]:
    """The fields of *block*, as anybody reads them."""
    return dict(hpack.Decoder().decode(block.fields, raw=True))


def test_blocks_are_hpack() -> None:
    """What is written by hand reads as the fields that it means."""
    assert decoded(HEAD) == {
        b":status": b"200",
        b"content-type": b"application/grpc",
        b"grpc-accept-encoding": b"identity,gzip",
    }
    error = Overloaded("voll ü", next_step="wait", retry_after_s=3)
    told = decoded(refusal(error, Status.RESOURCE_EXHAUSTED, begun=False))
    assert told[b":status"] == b"200"
    assert told[b"grpc-status"] == b"8"
    assert told[b"grpc-message"] == b"voll %C3%BC. Next: wait"
    assert told[b"shipway-code"] == b"limit.overloaded"
    assert not told[b"grpc-status-details-bin"].endswith(b"=")
    begun = refusal(NotFoundError("no", next_step="yes"), Status.NOT_FOUND, begun=True)
    assert b":status" not in decoded(begun)


@given(st.text(max_size=3000))
def test_any_message_is_escaped(text: str) -> None:
    """A text is told in printable ASCII, and not without end."""
    told = escaped(text)
    assert told.isascii()
    assert told.isprintable()
    assert len(told) <= 4096
