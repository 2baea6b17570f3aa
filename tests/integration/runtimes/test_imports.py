"""Libraries are loaded when a model of theirs is, not before."""

from __future__ import annotations

import subprocess
import sys

_HEAVY = ("sklearn", "skops", "lightgbm", "xgboost", "onnx", "onnxruntime", "skl2onnx", "pandas")
_SCRIPT = f"""
import sys
import shipway.runtimes.packing, shipway.runtimes.loading
loaded = [name for name in {_HEAVY!r} if name in sys.modules]
sys.exit(", ".join(loaded) or 0)
"""


def test_the_packer_and_the_loader_load_no_library() -> None:
    """Importing the runtimes imports none of the libraries that they run."""
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
