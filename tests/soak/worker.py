"""One real worker in a process of its own, with a model that behaves as it is told.

``python -m tests.soak.worker FOLDER KIND LIMITS`` is the child; :func:`started` is for tests.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from tests.serving_rig import FakeModel, MemoryRouting, served

from shipway.domain.events import Losses
from shipway.monitoring.journal import Journal
from shipway.registry.records import EndpointState
from shipway.runtimes.port import Columns
from shipway.serving.access import Admission
from shipway.serving.child import child_arguments, read_child
from shipway.serving.http.limits import Limits
from shipway.serving.routing import LoadedVersion
from shipway.serving.worker import WorkerOptions, run_worker

ROOT = Path(__file__).parents[2]
ROW_S = 0.005
"""What a row costs the slow model."""


class SlowModel(FakeModel):
    """Takes ``ROW_S`` a row, without holding the interpreter, as a library of C does."""

    def predict(self, columns: Columns) -> NDArray[np.float64]:
        """Answer in time."""
        time.sleep(ROW_S * len(columns["distance"]))
        self.calls.clear()
        return super().predict(columns)


class TidyModel(FakeModel):
    """Keeps nothing of what it was asked."""

    def predict(self, columns: Columns) -> NDArray[np.float64]:
        """Answer, and forget."""
        self.calls.clear()
        return super().predict(columns)


class LeakingModel(TidyModel):
    """Keeps a kilobyte of every row: what the check of memory must find."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[bytes] = []

    def predict(self, columns: Columns) -> NDArray[np.float64]:
        """Answer, and forget nothing."""
        self.kept.append(os.urandom(1024) * len(columns["distance"]))
        return super().predict(columns)


MODELS = {"tidy": TidyModel, "slow": SlowModel, "leaking": LeakingModel}


class OneModel(MemoryRouting):
    """A routing with one version of one kind of model."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def load(self, endpoint: EndpointState) -> LoadedVersion:
        """The model of the kind."""
        return LoadedVersion(served=served(endpoint.live or 0), model=MODELS[self.kind]())


@dataclass(frozen=True, slots=True)
class Running:
    """A worker that listens on ``port``."""

    port: int
    pid: int

    def rss_bytes(self) -> int:
        """Its memory: what is resident, without pages of files."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("the worker has ended")

    def cpu_s(self) -> float:
        """How long it has computed."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def steady_rss_bytes(self) -> int:
        """The same once it has come to rest: ten readings within 0.1 MiB of each other."""
        readings: list[int] = []
        for _ in range(200):
            readings = [*readings[-9:], self.rss_bytes()]
            if len(readings) == 10 and max(readings) - min(readings) < 0.1 * 2**20:
                break
            time.sleep(0.02)
        return readings[-1]


@contextmanager
def started(folder: Path, kind: str, limits: Limits | None = None) -> Iterator[Running]:
    """A worker that answers, ended with the block."""
    told = msgspec.json.encode(asdict(limits or Limits())).decode()
    (folder / "run").mkdir(parents=True, exist_ok=True)
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    watched, held = os.pipe()
    command = [sys.executable, "-m", "tests.soak.worker", str(folder), kind, told]
    command += child_arguments("worker-0", listening.fileno(), watched)
    process = subprocess.Popen(command, cwd=ROOT, pass_fds=(listening.fileno(), watched))
    try:
        port = listening.getsockname()[1]
        _wait_until_ready(port)
        yield Running(port, process.pid)
        assert process.poll() is None, "the worker has ended"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        listening.close()
        os.close(watched)
        os.close(held)


def _wait_until_ready(port: int) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as probe:
                probe.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                if probe.recv(12) == b"HTTP/1.1 200":
                    return
        except OSError:
            pass
        time.sleep(0.02)
    raise AssertionError("the worker is not ready")


def main(arguments: list[str]) -> int:
    """Be the worker."""
    child, (folder, kind, limits) = read_child(arguments)
    home = Path(folder)
    options = WorkerOptions(
        run=home / "run",
        admission=Admission(authentication=False),
        limits=msgspec.json.decode(limits, type=Limits),
        drain_wait_s=0.0,
    )
    with Journal(home / "events", child.name) as journal:
        return run_worker(
            child,
            open_source=lambda: OneModel(kind),
            sink=journal,
            options=options,
            losses=lambda: Losses(journal.status.lost_events, journal.status.last_error),
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
