"""mosec: a Rust server in front of one Python worker, which takes up to 32 requests at a time.

msgspec, which mosec depends on, reads and writes the JSON: it is faster than mosec's default.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import msgspec
from mosec import Server, Worker
from scoring import Scorer, arguments


class Inference(Worker):
    """The worker's process."""

    def __init__(self) -> None:
        super().__init__()
        self._scorer = Scorer(os.environ["PEER_MODEL"])
        self._decode = msgspec.json.Decoder().decode
        self._encode = msgspec.json.Encoder().encode

    def deserialize(self, data: bytes) -> Any:
        """A document."""
        return self._decode(data)

    def forward(self, data: list[Any]) -> list[dict[str, list[float]]]:
        """The answers to a batch."""
        return [{"scores": scores} for scores in self._scorer.documents(data)]

    def serialize(self, data: Any) -> bytes:
        """An answer as JSON."""
        return self._encode(data)


if __name__ == "__main__":
    told = arguments()
    os.environ["PEER_MODEL"] = told.model
    sys.argv[1:] = ["--address", "127.0.0.1", "--port", str(told.http_port)]
    sys.argv += ["--log-level", "warning"]
    server = Server()
    server.append_worker(Inference, num=1, max_batch_size=32, max_wait_time=1)
    server.run()
