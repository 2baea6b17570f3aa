"""A fresh environment of exactly what a requirements file locks by digest."""

from __future__ import annotations

import sys
from pathlib import Path

from shipway.errors import EnvironmentFailure
from shipway.packaging.locking import Run, run_program

_REPORTED_LINES = 12


def is_locked(requirements: str) -> bool:
    """Whether *requirements* names a digest for everything that it names, so that pip checks it."""
    joined = requirements.replace("\\\n", " ")
    lines = [line.split("#")[0].strip() for line in joined.splitlines()]
    named = [line for line in lines if line and not line.startswith("-")]
    return bool(named) and all("--hash=" in line for line in named)


def fresh_environment(requirements: Path, folder: Path, *, run: Run = run_program) -> Path:
    """The Python of a new environment in *folder* with the locked *requirements*.

    Raises :class:`~shipway.errors.EnvironmentFailure` with pip's last lines.
    """
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    locked = ["--require-hashes", "--no-deps", "--requirement", str(requirements)]
    for command in ([sys.executable, "-m", "venv", str(folder)], [*pip, *locked]):
        done = run(command)
        if done.returncode != 0:
            lines = (done.stderr or done.stdout).strip().splitlines()[-_REPORTED_LINES:]
            raise EnvironmentFailure(
                "the recorded environment cannot be made: " + " | ".join(lines),
                next_step="check the connection and pip's settings; the packages may be gone",
            )
    return python
