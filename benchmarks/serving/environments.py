"""The peers' environments: one each, outside of the repository, made with pip when asked for."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

from benchmarks.serving.faults import Unmeasured

PROGRAMS = Path(__file__).parent / "peers"


def home() -> Path:
    """Where the environments are: ``$XDG_CACHE_HOME/shipway-bench``."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "shipway-bench"


def python_of(name: str, programs: Path = PROGRAMS) -> Path:
    """The Python of the peer *name*; raises Unmeasured if the peer is not installed as pinned."""
    if _stamp(name).is_file() and _stamp(name).read_text() == _wanted(name, programs):
        return home() / name / "bin" / "python"
    raise Unmeasured('not installed: make bench-serving ARGS="--install"')


def install(name: str, say: Callable[[str], None], programs: Path = PROGRAMS) -> None:
    """Make the environment of *name* anew unless it is as pinned; raises Unmeasured."""
    try:
        python_of(name, programs)
    except Unmeasured:
        say(f"Installing {name} into {home() / name} …")
        venv.create(home() / name, clear=True, with_pip=True)
        command = [str(home() / name / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        command += ["--disable-pip-version-check", "-r", str(programs / f"{name}.txt")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unmeasured(f"pip failed: {done.stderr.strip()[-300:]}") from None
        _stamp(name).write_text(_wanted(name, programs))


def _stamp(name: str) -> Path:
    return home() / name / "installed"


def _wanted(name: str, programs: Path) -> str:
    """What an environment is made of: a change of either makes it anew."""
    pins = (programs / f"{name}.txt").read_text()
    return f"python {sys.version_info.major}.{sys.version_info.minor}\n{pins}"
