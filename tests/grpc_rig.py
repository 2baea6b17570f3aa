"""Calls over gRPC in our own messages, and raw HTTP/2 for what no client sends."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from tests.serving_rig import MODEL, columns

from shipway.serving.protocols.tensors import write_tensor
from shipway.serving.rpc.open_inference_pb2 import ModelInferRequest, ModelInferResponse

SERVICE = "inference.GRPCInferenceService"
INFER = f"/{SERVICE}/ModelInfer"
FIELDS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
DATATYPES = {"city": "BYTES", "distance": "FP64", "hour": "INT64", "rain": "BOOL"}


@dataclass
class Answered:
    """How a call ended: its message where it went well, and what gRPC told."""

    code: grpc.StatusCode
    body: bytes
    details: str
    trailers: dict[str, str | bytes]

    @property
    def response(self) -> ModelInferResponse:
        """The message of a prediction."""
        assert self.code is grpc.StatusCode.OK, self.details
        return ModelInferResponse.FromString(self.body)


@contextmanager
def channel(target: str, **options: int) -> Iterator[grpc.Channel]:
    """A connection of its own to *target*."""
    given = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0), *options.items()]
    made = grpc.insecure_channel(target, options=given)
    try:
        yield made
    finally:
        made.close()


def ask(
    open_channel: grpc.Channel,
    method: str,
    body: bytes = b"",
    *metadata: tuple[str, str],
    timeout_s: float = 20,
    compression: grpc.Compression | None = None,
) -> Answered:
    """Call *method* with *body* as it is."""
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = open_channel.unary_unary(method)
    try:
        answer, done = call.with_call(
            body, metadata=metadata, timeout=timeout_s, compression=compression
        )
    except grpc.RpcError as error:
        return _answered(error, b"")
    return _answered(done, answer)


def _answered(done: Any, body: bytes) -> Answered:
    return Answered(done.code(), body, done.details() or "", dict(done.trailing_metadata() or ()))


def begin(
    open_channel: grpc.Channel,
    message: bytes | Iterator[bytes],
    *metadata: tuple[str, str],
    method: str = INFER,
    timeout_s: float = 20,
) -> Any:
    """A call under way: of one message, or of whatever an iterator gives."""
    kind: Any = (
        open_channel.unary_unary if isinstance(message, bytes) else open_channel.stream_unary
    )
    return kind(method).future(message, timeout=timeout_s, metadata=metadata)


def bearer(key: str) -> tuple[str, str]:
    """The metadata that a key is sent in."""
    return ("authorization", f"Bearer {key}")


def infer_request(
    data: Mapping[str, Sequence[Any]] | None = None,
    *,
    raw: bool = False,
    datatypes: Mapping[str, str] | None = None,
    **fields: Any,
) -> ModelInferRequest:
    """A request for *data*, one good row by default; None among values is a missing one."""
    request = ModelInferRequest(**{"model_name": MODEL, **fields})
    for name, values in (columns() if data is None else data).items():
        datatype = (datatypes or DATATYPES).get(name, "BYTES")
        tensor = request.inputs.add(name=name, datatype=datatype, shape=[len(values)])
        plain = _filled(tensor, values)
        if raw:
            request.raw_input_contents.append(write_tensor(datatype, plain))
        elif datatype == "BYTES":
            tensor.contents.bytes_contents.extend(str(value).encode() for value in plain)
        else:
            getattr(tensor.contents, FIELDS[datatype]).extend(plain)
    return request


def _filled(tensor: Any, values: Sequence[Any]) -> list[Any]:
    """*values* with something in the place of what is missing, which the tensor names."""
    missing = [row for row, value in enumerate(values) if value is None]
    if not missing:
        return list(values)
    if tensor.datatype in ("FP32", "FP64"):
        return [np.nan if value is None else value for value in values]
    tensor.parameters["nulls"].string_param = ",".join(map(str, missing))
    return ["" if value is None else value for value in values]


def outputs(response: ModelInferResponse) -> dict[str, list[Any]]:
    """The values of each output, whether they came typed or raw."""
    found: dict[str, list[Any]] = {}
    for position, tensor in enumerate(response.outputs):
        if response.raw_output_contents:
            found[tensor.name] = _unpacked(tensor.datatype, response.raw_output_contents[position])
        else:
            values = list(getattr(tensor.contents, FIELDS[tensor.datatype]))
            if tensor.datatype == "BYTES":
                values = [value.decode() for value in values]
            found[tensor.name] = values
    return found


def _unpacked(datatype: str, blob: bytes) -> list[Any]:
    if datatype != "BYTES":
        dtype = {"FP64": "<f8", "INT64": "<i8", "BOOL": "?"}[datatype]
        values: list[Any] = np.frombuffer(blob, dtype=dtype).tolist()
        return values
    texts = []
    while blob:
        (length,) = struct.unpack_from("<I", blob)
        texts.append(blob[4 : 4 + length].decode())
        blob = blob[4 + length :]
    return texts


# ---- HTTP/2, by hand ----------------------------------------------------------------------------

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """One frame."""
    head = len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big")
    return head + payload


def header_block(path: str = INFER, *further: tuple[str, str]) -> bytes:
    """The head of a call, its fields written out in full (RFC 7541, never indexed)."""
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "x"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        *further,
    ]
    return b"".join(b"\x10" + _string(name) + _string(value) for name, value in fields)


def _string(text: str) -> bytes:
    data = text.encode()
    if len(data) < 127:
        return bytes((len(data),)) + data
    rest, parts = len(data) - 127, bytearray(b"\x7f")
    while rest > 127:
        parts.append(rest & 127 | 128)
        rest >>= 7
    parts.append(rest)
    return bytes(parts) + data


class Http2:
    """A connection that sends what it is told to, *first* instead of what HTTP/2 begins with."""

    def __init__(
        self, target: str, first: bytes = PREFACE + frame(SETTINGS), *, narrow: bool = False
    ) -> None:
        host, _, port = target.rpartition(":")
        self.socket = socket.socket()
        self.socket.settimeout(20)
        if narrow:  # so that little fits between the two ends
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect((host, int(port)))
        self.socket.sendall(first)
        self._data = b""

    def send(self, data: bytes) -> bool:
        """Send *data*; False once the server has hung up."""
        try:
            self.socket.sendall(data)
        except OSError:
            return False
        return True

    def frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        """What the server sends, until it hangs up: kind, flags, stream and payload."""
        while True:
            while len(self._data) < 9 or len(self._data) < 9 + self._length():
                try:
                    more = self.socket.recv(65536)
                except ConnectionResetError:
                    return
                if not more:
                    return
                self._data += more
            end = 9 + self._length()
            head, payload, self._data = self._data[:9], self._data[9:end], self._data[end:]
            yield head[3], head[4], int.from_bytes(head[5:9], "big"), payload

    def goaway(self) -> tuple[int, bytes] | None:
        """The error code and the text of the GOAWAY that ends the connection; None without one."""
        told = None
        for kind, _, _, payload in self.frames():
            if kind == GOAWAY:
                told = (int.from_bytes(payload[4:8], "big"), payload[8:])
        return told

    def shut(self) -> None:
        """Send nothing more."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Hang up."""
        self.socket.close()

    def _length(self) -> int:
        return int.from_bytes(self._data[:3], "big")
