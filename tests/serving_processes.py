"""A server as a user runs it: a supervisor and its processes, to be cruel to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from tests.serving_child import FileRegistry, Options
from tests.serving_rig import Wire, eventually, infer

from shipway.serving.status import (
    ServerRecord,
    WorkerStatus,
    is_alive,
    read_controls,
    read_server,
    read_workers,
)

ROOT = Path(__file__).parents[1]


@dataclass
class Processes:
    """A server in the folder ``home``; ``supervisor`` is its first process."""

    home: Path
    supervisor: subprocess.Popen[bytes]

    @property
    def run(self) -> Path:
        """Where its state is."""
        return self.home / "run"

    @property
    def record(self) -> ServerRecord:
        """Its addresses."""
        record = read_server(self.run)
        assert record is not None
        return record

    @property
    def port(self) -> int:
        """The data plane's port."""
        return int(self.record.url.rpartition(":")[2])

    @property
    def workers(self) -> tuple[WorkerStatus, ...]:
        """The workers that are ready."""
        return tuple(one for one in read_workers(self.run) if one.ready)

    @property
    def pids(self) -> set[int]:
        """The workers that are ready, by number."""
        return {one.pid for one in self.workers}

    def refilled(self, victim: int, workers: int) -> bool:
        """Whether all *workers* are ready and *victim* is none of them."""
        pids = self.pids
        return len(pids) == workers and victim not in pids

    @property
    def control(self) -> int:
        """The control process."""
        (pid,) = read_controls(self.run)
        return pid

    @property
    def registry(self) -> FileRegistry:
        """What it serves."""
        return FileRegistry(self.home)

    @property
    def log(self) -> str:
        """What its processes have said."""
        return (self.home / "log").read_text(errors="replace")

    @property
    def children(self) -> list[int]:
        """The process ids of everything that the supervisor has started, and they."""
        return _children(self.supervisor.pid)

    @property
    def zygote(self) -> int:
        """The process that the others were forked from."""
        (pid,) = _direct(self.supervisor.pid)
        return pid

    def configure(self, **options: Any) -> None:
        """Change how it is run, from the next SIGHUP on."""
        (self.home / "options.json").write_bytes(msgspec.json.encode(Options(**options)))


@contextmanager
def processes(home: Path, *, wait: bool = True, **options: Any) -> Iterator[Processes]:
    """A server that begins with version 1; what is left of it at the end is killed."""
    home.mkdir(exist_ok=True)
    if not (home / "registry.json").exists():
        FileRegistry(home).promote(1)
    (home / "options.json").write_bytes(msgspec.json.encode(Options(**options)))
    with (home / "log").open("ab") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "tests.serving_child", "server", str(home)],
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )
    server = Processes(home, supervisor)
    try:
        if wait:
            workers = Options(**options).workers
            eventually(lambda: read_server(server.run) and len(server.workers) == workers)
        yield server
    finally:
        left = server.children if supervisor.poll() is None else []
        supervisor.kill()
        supervisor.wait()
        for pid in left:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)


def ask(port: int) -> tuple[int, str]:
    """The status and the version of an answer on a connection of its own."""
    wire = Wire(port)
    try:
        reply = wire.send(infer(close=True)).reply()
        return reply.status, str(reply.json.get("model_version"))
    finally:
        wire.close()


def _direct(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]


def _children(pid: int) -> list[int]:
    direct = _direct(pid)
    return direct + [far for near in direct for far in _children(near)]
