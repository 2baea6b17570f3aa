"""The kserve SDK's gRPC client, as it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.serving_rig import MemoryRouting, eventually, make_key, running

from shipway.serving.rpc.options import GrpcOptions

KEY, RECORD = make_key()
ROOT = Path(__file__).parents[2]


def test_kserve(tmp_path: Path) -> None:
    """It finds server and model ready, predicts with typed and raw tensors, and reads metadata."""
    routing = MemoryRouting(keys=[RECORD])
    options = GrpcOptions()
    with running(tmp_path, routing=routing, authentication=True, grpc=options) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        command = [sys.executable, "-m", "tests.clients.kserve_grpc", world.grpc, KEY]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert "no key came with the request" in told.pop("refused")
    assert told == {
        "live": True,
        "ready": True,
        "model": True,
        "nope": False,
        "scores-False": [0.1, 0.9],
        "scores-True": [0.1, 0.9],
        "id-False": "k",
        "id-True": "k",
        "server": "shipway",
        "inputs": ["city", "distance", "hour", "rain"],
    }
