"""A worker to call, and a whole server of processes to be cruel to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.serving_child import FileRegistry
from tests.serving_rig import World, eventually, running

from shipway.serving.status import ServerRecord, WorkerStatus, read_server, read_workers

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A worker that asks for no key; shared by a module's tests."""
    with running(tmp_path_factory.mktemp("run")) as started:
        eventually(lambda: started.get("/readyz").status == 200)
        yield started


@dataclass
class Processes:
    """A server as a user runs it: a supervisor, its workers, its control process."""

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
    def registry(self) -> FileRegistry:
        """What it serves."""
        return FileRegistry(self.home)

    @property
    def children(self) -> list[int]:
        """The process ids of everything that the supervisor has started."""
        path = f"/proc/{self.supervisor.pid}/task/{self.supervisor.pid}/children"
        return [int(text) for text in Path(path).read_text().split()]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Processes]]:
    """Starts servers; whatever is left of them at the end is killed."""
    started: list[Processes] = []

    def begin(*, workers: int = 1, wait: bool = True) -> Processes:
        FileRegistry(tmp_path).promote(1)
        command = [sys.executable, "-m", "tests.serving_child", "server", str(tmp_path)]
        supervisor = subprocess.Popen(
            [*command, str(workers)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        server = Processes(tmp_path, supervisor)
        started.append(server)
        if wait:
            eventually(lambda: read_server(server.run) and len(server.workers) == workers)
        return server

    yield begin
    for server in started:
        left = server.children if server.supervisor.poll() is None else []
        server.supervisor.kill()
        server.supervisor.communicate()
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
