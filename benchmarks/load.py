"""Load on a server: ``wrk`` where it is installed, else a small client of our own.

Both keep every connection busy with one request after the other and count what is answered. wrk
takes much less of its core, so figures of the two are not to be compared.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

_SCALES = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


@dataclass(frozen=True, slots=True)
class Job:
    """One POST to be sent again and again on so many connections."""

    url: str
    body: bytes
    headers: Mapping[str, str]
    connections: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of it: answers a second, two quantiles of latency, and answers other than 200."""

    per_second: float
    p50_ms: float
    p99_ms: float
    answers: int
    failed: int


def cores() -> tuple[int, int]:
    """The core for the server and the one for the load; the same where there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Within the block, this thread and what it starts run on *core* alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def client_name() -> str:
    """Which client sends the load."""
    return "wrk" if shutil.which("wrk") else "our own client"


def run(job: Job) -> Loaded:
    """Send *job* from the core of the load."""
    with on_core(cores()[1]):
        return _wrk(job) if shutil.which("wrk") else asyncio.run(_send(job))


def _wrk(job: Job) -> Loaded:
    lines = ['wrk.method = "POST"', f"wrk.body = {_lua(job.body.decode())}"]
    lines += [f"wrk.headers[{_lua(k)}] = {_lua(v)}" for k, v in job.headers.items()]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "job.lua"
        script.write_text("\n".join(lines), encoding="utf-8")
        command = ["wrk", "-t1", f"-c{job.connections}", f"-d{job.seconds:g}s", "--latency"]
        done = subprocess.run(
            [*command, "-s", str(script), job.url], capture_output=True, text=True, check=True
        )
    return _read_wrk(done.stdout)


def _read_wrk(said: str) -> Loaded:
    quantiles = {
        found[1]: float(found[2]) * _SCALES[found[3]]
        for found in re.finditer(r"^\s+(50|99)%\s+([\d.]+)(us|ms|s|m)$", said, re.MULTILINE)
    }
    answers = re.search(r"(\d+) requests in", said)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    if answers is None or rate is None:
        raise RuntimeError(f"wrk said what is not understood: {said}")
    return Loaded(
        per_second=float(rate[1]),
        p50_ms=quantiles["50"],
        p99_ms=quantiles["99"],
        answers=int(answers[1]),
        failed=int(failed[1]) if failed else 0,
    )


def _lua(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


class _Client(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    def __init__(self, request: bytes, until: float) -> None:
        self.latencies: list[float] = []
        self.failed = 0
        self.done = asyncio.get_running_loop().create_future()
        self._request = request
        self._until = until
        self._buffer = b""
        self._asked = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask(transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, gap, rest = self._buffer.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if not gap or length is None or len(rest) < int(length[1]) or self._transport is None:
            return
        now = time.perf_counter()
        self.latencies.append(now - self._asked)
        self.failed += not head.startswith(b"HTTP/1.1 200")
        self._buffer = b""
        if now < self._until:
            self._ask(self._transport)
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def _ask(self, transport: asyncio.Transport) -> None:
        self._asked = time.perf_counter()
        transport.write(self._request)


async def _send(job: Job) -> Loaded:
    address = urlsplit(job.url)
    lines = [f"POST {address.path} HTTP/1.1", f"Host: {address.netloc}"]
    lines += [f"{name}: {value}" for name, value in job.headers.items()]
    lines += [f"Content-Length: {len(job.body)}", "", ""]
    request = "\r\n".join(lines).encode() + job.body
    loop = asyncio.get_running_loop()
    start = time.perf_counter()
    clients = []
    for _ in range(job.connections):
        _, client = await loop.create_connection(
            lambda: _Client(request, start + job.seconds),
            address.hostname or "",
            address.port or 80,
        )
        clients.append(client)
    await asyncio.gather(*(client.done for client in clients))
    seconds = time.perf_counter() - start
    latencies = sorted(one for client in clients for one in client.latencies)
    return Loaded(
        per_second=len(latencies) / seconds,
        p50_ms=latencies[len(latencies) // 2] * 1e3,
        p99_ms=latencies[int(len(latencies) * 0.99)] * 1e3,
        answers=len(latencies),
        failed=sum(client.failed for client in clients),
    )
