"""A worker with gRPC in a process of its own: says where it listens, ends when stdin does."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.serving_rig import eventually, running

from shipway.serving.rpc.options import GrpcOptions


def main() -> int:
    """Serve until nobody holds the other end of stdin."""
    with (
        tempfile.TemporaryDirectory() as run,
        running(Path(run), grpc=GrpcOptions()) as world,
    ):
        eventually(lambda: world.get("/readyz").status == 200)
        print(world.grpc, flush=True)  # noqa: T201
        sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
