"""Libraries are loaded when a model of theirs is, not before."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import shipway

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


def test_pickles_are_opened_in_one_module_alone() -> None:
    """No other module of the product as much as imports what could open a pickle."""
    source = Path(shipway.__file__).parent
    opens = re.compile(r"^\s*(import|from) (pickle|joblib|cloudpickle|dill|shelve|marshal)\b", re.M)
    found = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*.py")
        if "examples" not in path.parts  # the demo plays the user, who saves a pickle
        and opens.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"runtimes/unpickling.py"}
