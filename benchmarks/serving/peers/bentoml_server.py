"""BentoML: ``bentoml serve`` with one worker."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from scoring import arguments

if __name__ == "__main__":
    told = arguments()
    here = Path(__file__).parent
    environ = {**os.environ, "PEER_MODEL": told.model, "BENTOML_DO_NOT_TRACK": "True"}
    environ |= {"BENTOML_HOME": told.folder, "PYTHONPATH": str(here)}
    program = Path(sys.executable).with_name("bentoml")
    words = ["serve", "bentoml_service:Inference", "--working-dir", str(here)]
    words += ["--host", "127.0.0.1", "--port", str(told.http_port), "--quiet"]
    os.execve(program, [str(program), *words], environ)
