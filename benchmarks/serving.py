"""The server as users run it, on one core: keys, contract, events and metrics on.

With ``--peer-python`` a hand-written FastAPI server, without any of those, runs beside it on the
same model and the same requests, for the ratio: absolute figures move with the machine.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from benchmarks import load, server
from benchmarks.figure import Figure
from benchmarks.flights import Workshop
from shipway.api.keys import create_key
from shipway.examples.flights.asking import infer_request

_CASES = ((1, 1), (1, 32), (32, 32))
_PEER = Path(__file__).parent / "peers" / "fastapi_server.py"


@dataclass(frozen=True, slots=True)
class _Case:
    """One load: so many rows a request on so many connections."""

    rows: int
    connections: int

    @property
    def name(self) -> str:
        return f"{self.rows}-row-{self.connections}-conn"


def run(workshop: Workshop) -> Iterator[Figure]:
    """Throughput, latency, CPU, memory and start; then the same of the peer, and the ratios."""
    ours = dict(_ours(workshop))
    for name, value in ours.items():
        yield _figure(f"serving.{name}", value, load.client_name())
    if workshop.peer_python is None:
        return
    peer = dict(_peer(workshop, workshop.peer_python))
    for name, value in peer.items():
        yield _figure(f"serving.fastapi.{name}", value, "hand-written FastAPI + onnxruntime")
    for name, value in ours.items():
        if name.endswith(".requests_per_s"):
            ratio = value / peer[name]
            yield Figure(f"serving.ratio.{name}", ratio, "times", "higher", "ours to FastAPI's")


def _figure(name: str, value: float, note: str) -> Figure:
    units = {
        "requests_per_s": "1/s",
        "p50_ms": "ms",
        "p99_ms": "ms",
        "cpu_us": "µs/request",
        "memory_mb": "MB",
        "first_answer_s": "s",
        "failed": "answers",
    }
    kind = name.rpartition(".")[2]
    return Figure(name, value, units[kind], "higher" if kind == "requests_per_s" else "lower", note)


def _ours(workshop: Workshop) -> Iterator[tuple[str, float]]:
    project = workshop.project
    key = create_key(project, name="benchmark", scopes=("predict",))
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key.secret}"}
    path = f"/v2/models/{project.model}/infer"
    first = infer_request(workshop.test.head(1))
    with server.started(
        server.shipway_command(project.folder),
        ready=server.shipway_ready(project.home / "run"),
        ask=lambda url: server.post(url + path, first, headers),
        log=workshop.folder / "serve.log",
    ) as running:
        yield from _measured(workshop, running, path, headers)


def _peer(workshop: Workshop, python: Path) -> Iterator[tuple[str, float]]:
    project = workshop.project
    files = project.registry.open_files(project.registry.version(project.model, 1))
    headers = {"Content-Type": "application/json"}
    address = workshop.folder / "peer.json"
    first = infer_request(workshop.test.head(1))

    def ready(process: subprocess.Popen[bytes]) -> tuple[str, int] | None:
        if not address.exists():
            return None
        port = msgspec.json.decode(address.read_bytes(), type=int)
        return f"http://127.0.0.1:{port}", process.pid

    address.unlink(missing_ok=True)
    with server.started(
        [str(python), str(_PEER), str(files["model.onnx"]), str(address)],
        ready=ready,
        ask=lambda url: server.post(f"{url}/infer", first, headers),
        log=workshop.folder / "peer.log",
    ) as running:
        yield from _measured(workshop, running, "/infer", headers)


def _measured(
    workshop: Workshop, running: server.Running, path: str, headers: dict[str, str]
) -> Iterator[tuple[str, float]]:
    seconds = 1.0 if workshop.quick else 5.0
    failed = 0
    for case in (_Case(*sizes) for sizes in _CASES):
        body = infer_request(workshop.test.head(case.rows))
        job = load.Job(running.url + path, body, headers, case.connections, seconds)
        load.run(replace(job, seconds=1.0))
        before = running.cpu_s()
        done = load.run(job)
        yield f"{case.name}.requests_per_s", done.per_second
        yield f"{case.name}.p50_ms", done.p50_ms
        yield f"{case.name}.p99_ms", done.p99_ms
        yield f"{case.name}.cpu_us", (running.cpu_s() - before) / max(1, done.answers) * 1e6
        failed += done.failed
    yield "failed", failed
    yield "memory_mb", running.memory_mb()
    yield "first_answer_s", running.seconds_to_first_answer
