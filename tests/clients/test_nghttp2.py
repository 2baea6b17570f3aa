"""Another HTTP/2 that others wrote: nghttp2's load generator gets every answer it asks for."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from tests.grpc_rig import INFER, infer_request
from tests.serving_rig import eventually, running

from shipway.serving.rpc.options import GrpcOptions


@pytest.mark.needs("h2load")
@pytest.mark.parametrize(("connections", "streams"), [(1, 1), (1, 100), (8, 4)])
def test_h2load(tmp_path: Path, connections: int, streams: int) -> None:
    """However many calls at a time, each is answered, and with a message."""
    message = infer_request().SerializeToString()
    body = tmp_path / "body"
    body.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
    with running(tmp_path / "run", grpc=GrpcOptions()) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        headers = ["-Hcontent-type: application/grpc", "-Hte: trailers"]
        counts = ["-n400", f"-c{connections}", f"-m{streams}", "-t1", f"-d{body}"]
        done = subprocess.run(
            ["h2load", *counts, *headers, f"http://{world.grpc}{INFER}"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    assert "400 succeeded, 0 failed, 0 errored" in done.stdout
    data = re.search(r"\((\d+)\) data", done.stdout)
    assert data is not None
    assert int(data[1]) > 400 * 50
