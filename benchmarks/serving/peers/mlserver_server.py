"""MLServer: as it is installed, with one worker beside the process that serves, or tuned.

Tuned, the model is in the process that serves, and metrics, packing and debugging are off. Its
adaptive batching is off in both: with a model this fast it waits longer than it saves.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from scoring import arguments

if __name__ == "__main__":
    told = arguments()
    folder = Path(told.folder)
    server = {
        "host": "127.0.0.1",
        "http_port": told.http_port,
        "grpc_port": told.grpc_port,
        "metrics_port": told.grpc_port + 1,
    }
    if os.environ["PEER"] == "mlserver_tuned":
        server |= {
            "debug": False,
            "metrics_endpoint": None,
            "parallel_workers": 0,
            "gzip_enabled": False,
        }
    model = {
        "name": told.kind,
        "implementation": "mlserver_runtime.OnnxRuntime",
        "parameters": {"uri": told.model, "version": "1"},
    }
    (folder / "settings.json").write_text(json.dumps(server))
    (folder / "model-settings.json").write_text(json.dumps(model))
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    program = Path(sys.executable).with_name("mlserver")
    os.execve(program, [str(program), "start", str(folder)], environ)
