"""The two programs that are measured, started and asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.serving.environments import python_of
from benchmarks.serving.faults import Unmeasured

PEERS = Path(__file__).parent / "peers"
MLFLOW = "mlflow_registry"
_ROOT = Path(__file__).parents[2]


class Side:
    """One program at work; what it says beside its answers goes to *log*."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._log = log
        environment = {**os.environ, "PYTHONPATH": str(_ROOT), "MLFLOW_DISABLE_TELEMETRY": "true"}
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment,
                cwd=log.parent,
            )

    def ask(self, line: str) -> tuple[float, object]:
        """How many seconds *line* took, and what came of it; raises Unmeasured."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, and then it says nothing either
        answer = self._process.stdout.readline()
        while answer and not answer.startswith("{"):  # what a library prints
            answer = self._process.stdout.readline()
        if not answer:
            raise Unmeasured(f"{line!r} failed: {self._log.read_text()[-400:]}")
        read = json.loads(answer)
        return float(read["seconds"]), read["result"]

    def end(self) -> None:
        """Let it end, and wait for that."""
        self._process.communicate()


@contextmanager
def shipway(folder: Path, models: Path) -> Iterator[Side]:
    """Ours, with its store in *folder*."""
    module = "benchmarks.registries.shipway_program"
    yield from _side([sys.executable, "-m", module, str(folder / "shipway"), str(models)], folder)


@contextmanager
def mlflow(folder: Path, models: Path) -> Iterator[Side]:
    """MLflow's, in its own environment; raises Unmeasured where that is not installed."""
    program = PEERS / f"{MLFLOW}_program.py"
    python = python_of(MLFLOW, PEERS)
    yield from _side([str(python), str(program), str(folder / "mlflow"), str(models)], folder)


def _side(command: list[str], folder: Path) -> Iterator[Side]:
    side = Side(command, folder / f"{Path(command[-2]).name}.log")
    try:
        yield side
    finally:
        side.end()
