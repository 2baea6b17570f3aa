"""A worker in a process of its own: ``python -m tests.soak.server FOLDER LIMITS``.

It serves the small model of ``serving_rig`` and keeps no events, so that what grows in it is a
leak. ``Server`` is the other end: it starts one, and reads what the system says of it.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
from tests.serving_rig import MemoryRouting, Wire, eventually

from shipway.domain.events import PredictionEvent
from shipway.serving.child import Child
from shipway.serving.http.limits import Limits
from shipway.serving.worker import WorkerOptions, run_worker

ROOT = Path(__file__).parents[2]
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
KIB = 1024


class Nowhere:
    """A sink that keeps nothing."""

    def append(self, events: Sequence[PredictionEvent]) -> None:
        """Forget *events*."""


@dataclass(frozen=True)
class Server:
    """A worker's process, seen from outside."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def resident_bytes(self) -> int:
        """How much memory it has now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None, "the server has ended"
        return int(found[1]) * KIB

    @property
    def descriptors(self) -> int:
        """How many files and sockets it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))  # noqa: PTH208

    @property
    def cpu_s(self) -> float:
        """How long it has computed."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def is_well(self) -> bool:
        """Whether it answers a good request."""
        wire = Wire(self.port)
        try:
            return wire.send(LIVEZ).reply().status == 200
        finally:
            wire.close()

    def begin_body(self, size: int) -> Wire:
        """A connection that has sent a body of *size* but for its last byte."""
        head = f"GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"
        return Wire(self.port).send(head.encode() + bytes(size - 1))

    def settled_bytes(self, *, readings: int = 5, within: int = 100 * KIB) -> int:
        """How much memory it has once that is the same for a while."""
        last: list[int] = []
        for _ in range(500):
            last = [*last, self.resident_bytes][-readings:]
            if len(last) == readings and max(last) - min(last) <= within:
                break
            time.sleep(0.02)
        return last[-1]


@contextmanager
def serving(folder: Path, limits: Limits) -> Iterator[Server]:
    """A server that is ready; it is ended afterwards."""
    told = msgspec.json.encode(asdict(limits)).decode()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.soak.server", str(folder), told],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        server = Server(int(process.stdout.readline()), process)
        eventually(server.is_well)
        yield server
        assert process.poll() is None, "the server has crashed"
    finally:
        process.terminate()
        process.communicate(timeout=20)


def main(folder: str, limits: str) -> int:
    """Serve until SIGTERM; the port is the one line on stdout."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(listening.getsockname()[1], flush=True)  # noqa: T201
    return run_worker(
        Child("worker-0", listening),
        open_source=MemoryRouting,
        sink=Nowhere(),
        options=WorkerOptions(
            run=Path(folder),
            authentication=False,
            limits=msgspec.json.decode(limits, type=Limits),
            drain_wait_s=0.0,
            drain_timeout_s=1.0,
        ),
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
