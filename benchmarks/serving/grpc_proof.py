"""One ModelInfer with grpcio: ``python grpc_proof.py URL NAME=VALUE…``, the message on stdin.

The message is framed as gRPC puts it on a stream. Exit code 0 if the answer has outputs; what is
wrong goes to stderr.
"""

from __future__ import annotations

import sys
from typing import Any
from urllib.parse import urlsplit

import grpc
from tritonclient.grpc.service_pb2 import ModelInferResponse

_PREFIX = 5


def main(url: str, headers: list[str]) -> str:
    """What is wrong, "" if nothing is."""
    address = urlsplit(url)
    metadata = tuple((name, value) for name, _, value in (each.partition("=") for each in headers))
    message = sys.stdin.buffer.read()[_PREFIX:]
    with grpc.insecure_channel(address.netloc) as channel:
        call: Any = channel.unary_unary(
            address.path, response_deserializer=ModelInferResponse.FromString
        )
        try:
            answer = call(message, metadata=metadata, timeout=20)
        except grpc.RpcError as error:
            return str(error)
    return "" if answer.outputs else "the answer has no outputs"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]) or 0)
