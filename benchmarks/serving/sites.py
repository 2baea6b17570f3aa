"""A server at its place: started with a model, and ready to say how it is put under a load."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.serving import environments, forms, load
from benchmarks.serving.faults import Unmeasured
from benchmarks.serving.kinds import Model
from benchmarks.serving.lineup import Peer
from benchmarks.serving.results import Case, Wire
from benchmarks.serving.servers import Running, Start, free_port, memory_mb, started
from shipway.config.settings import ServeSettings
from shipway.serving.status import read_server, read_workers

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]
_GRPC_SETTING = "grpc_port"
_WARM_UP_S = 0.4
_TIMEOUT_S = 30.0
_SETTLE_S = 0.5


@dataclass(frozen=True, slots=True)
class Site:
    """A server that runs; ``job`` says how it is asked, or raises Unmeasured."""

    running: Running
    job: Callable[[Case, int], load.Job]
    worker_mb: Callable[[], float]

    def warm_up(self, case: Case) -> None:
        """Ask one request after the other for a moment."""
        job = self.job(case, 0)
        address = urlsplit(job.url)
        until = time.perf_counter() + _WARM_UP_S
        connection = HTTPConnection(address.netloc, timeout=_TIMEOUT_S)
        with closing(connection), suppress(OSError, HTTPException), load.on_core(load.cores()[1]):
            while time.perf_counter() < until:
                connection.request("POST", address.path, job.body, dict(job.headers))
                connection.getresponse().read()

    def measure(self, case: Case, seconds: int) -> load.Loaded:
        """Put the server under *case* for so long; raises Unmeasured."""
        job = self.job(case, seconds)
        if case.wire is not Wire.GRPC:
            return load.http(job)
        _prove_grpc(job)
        return load.grpc(job)


@contextmanager
def shipway(model: Model, folder: Path, *, guarded: bool = True) -> Iterator[Site]:
    """``shipway serve`` as users run it with one worker, or the same without its guards."""
    grpc_port = free_port() if _GRPC_SETTING in ServeSettings.__struct_fields__ else 0
    authorisation = {"authorization": f"Bearer {model.key}"} if guarded else {}
    path = f"/v2/models/{model.name}/infer"
    run = Path(model.run)

    def job(case: Case, seconds: int) -> load.Job:
        rows = model.table.head(case.rows)
        if case.wire is Wire.GRPC:
            if not grpc_port:
                raise Unmeasured("there is no setting serve.grpc_port")
            url = f"http://127.0.0.1:{grpc_port}{forms.GRPC_METHOD}"
            message = forms.framed(model.messages[case.rows])
            return load.Job(url, message, authorisation, case.connections, seconds)
        body = forms.oip(rows) if case.wire is Wire.JSON else forms.oip_binary(rows)
        headers = {**body.headers, **authorisation}
        return load.Job(running.url + path, body.content, headers, case.connections, seconds)

    first = forms.oip(model.table.head(1))
    port = free_port()
    environ = {**os.environ, "PYTHONPATH": str(_ROOT), "SHIPWAY_SERVE__PORT": str(port)}
    if grpc_port:
        environ[f"SHIPWAY_SERVE__{_GRPC_SETTING.upper()}"] = str(grpc_port)
    start = Start(
        command=_shipway_command(Path(model.project), guarded=guarded),
        ready=lambda _: f"http://127.0.0.1:{port}",
        path=path,
        body=first.content,
        headers={**first.headers, **authorisation},
        log=folder / "log",
        environ=environ,
    )
    with started(start) as running:
        _settle(run, running.pid)
        yield Site(running, job, lambda: sum(memory_mb(one.pid) for one in read_workers(run)))


@contextmanager
def peer(which: Peer, model: Model, folder: Path) -> Iterator[Site]:
    """A peer with the file of the model; raises Unmeasured if it is not there or fails."""
    home = which.shares or which.name
    python = environments.python_of(home)
    http_port, grpc_port = free_port(), free_port()
    program = environments.PROGRAMS / f"{home}_server.py"
    told = [model.peer_file, model.kind, str(http_port), str(grpc_port), str(folder)]
    command = [str(python), str(program), *told]
    path = which.path.format(kind=model.kind)
    environ = {**_peer_environment(python, folder), "PEER": which.name}
    if which.prepared:
        _prepare([*command, "prepare"], environ)
    url = f"http://127.0.0.1:{http_port}"
    bare = model.table.bare()

    def job(case: Case, seconds: int) -> load.Job:
        if case.wire is Wire.GRPC:
            address = f"http://127.0.0.1:{grpc_port}{forms.GRPC_METHOD}"
            message = forms.framed(model.bare_messages[case.rows])
            return load.Job(address, message, {}, case.connections, seconds)
        body = which.form(bare.head(case.rows))
        return load.Job(url + path, body.content, body.headers, case.connections, seconds)

    first = which.form(bare.head(1))
    start = Start(
        command=command,
        ready=lambda _: url,
        path=path,
        body=first.content,
        headers=first.headers,
        log=folder / "log",
        environ=environ,
    )
    with started(start) as running:
        yield Site(running, job, running.memory_mb)


def _shipway_command(project: Path, *, guarded: bool) -> list[str]:
    if not guarded:
        return [sys.executable, "-m", "benchmarks.serving.unguarded", str(project)]
    words = ["serve", "--project", str(project), "--control-port", "0"]
    return [sys.executable, "-m", "shipway", *words, "--workers", "1"]


def _settle(run: Path, pid: int) -> None:
    """Wait until the control process runs too, which begins once the first worker answers."""
    until = time.perf_counter() + _TIMEOUT_S
    while time.perf_counter() < until:
        record = read_server(run)
        if record is not None and record.pid == pid:
            time.sleep(_SETTLE_S)
            return
        time.sleep(0.02)
    raise Unmeasured("it answers, and its control process does not begin")


def _peer_environment(python: Path, folder: Path) -> Mapping[str, str]:
    """What a peer sees: its own programs, its own folder, no telemetry, one thread."""
    return {
        "PATH": f"{python.parent}:{os.environ.get('PATH', os.defpath)}",
        "HOME": str(folder),
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_NUM_THREADS": "1",
    }


def _prepare(command: list[str], environ: Mapping[str, str]) -> None:
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unmeasured(f"it cannot take the model: {done.stderr.strip()[-300:]}")


def _prove_grpc(job: load.Job) -> None:
    """Ask once with grpcio, in a process of its own: h2load does not understand answers."""
    command = [sys.executable, str(_HERE / "grpc_proof.py"), job.url]
    command += [f"{name}={value}" for name, value in job.headers.items()]
    done = subprocess.run(command, input=job.body, capture_output=True, check=False, timeout=60)
    if done.returncode:
        raise Unmeasured(f"it fails over gRPC: {done.stderr.decode().strip()[-300:]}")
