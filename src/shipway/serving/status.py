"""The files under ``run/`` by which the processes of one server know of each other.

``server.json`` says where the server is. ``worker-<pid>.json`` says what a worker really serves,
so that a promotion can wait until every worker does. ``control-<pid>.json`` is there while a
control process answers. A file counts only while the process that
wrote it lives; one left by a killed process is passed over.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from shipway.domain.events import Losses
from shipway.errors import EnvironmentFailure

_SERVER = "server.json"
_Record = TypeVar("_Record", bound=msgspec.Struct)


class ServerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A running server: its supervisor, and the addresses of its planes.

    ``grpc_url`` is what a gRPC client takes (``127.0.0.1:8082``), "" without gRPC;
    ``certificate`` the file that it shows, "" without TLS.
    """

    pid: int
    url: str
    control_url: str
    started_at: datetime
    grpc_url: str = ""
    certificate: str = ""


class EndpointStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker answers with for an endpoint.

    ``sequence`` is of the newest state that it has acted on; ``live`` the version that answers,
    which is an older one, and ``error`` says why, when the newest could not be loaded.
    """

    model: str
    live: int | None
    sequence: int
    error: str = ""


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One worker: ready once every endpoint that has a live version is answered for.

    ``lost`` are predictions that were answered and could not be remembered, so that monitoring
    will not see them.
    """

    pid: int
    name: str
    revision: int = -1
    ready: bool = False
    endpoints: dict[str, EndpointStatus] = {}
    error: str = ""
    lost: Losses = Losses()

    def acknowledges(self, endpoint: str, sequence: int) -> bool:
        """Whether the worker has acted on the state *sequence* of *endpoint*, or a newer one."""
        status = self.endpoints.get(endpoint)
        return status is not None and status.sequence >= sequence


def write_server(run: Path, record: ServerRecord) -> None:
    """Keep *record* as the running server's."""
    _write(run / _SERVER, record)


def remove_server(run: Path) -> None:
    """Forget the server, at the end of it."""
    (run / _SERVER).unlink(missing_ok=True)


def read_server(run: Path) -> ServerRecord | None:
    """The server that runs on this store, or None."""
    record = _read(run / _SERVER, ServerRecord)
    return record if record is not None and is_alive(record.pid) else None


def write_worker(run: Path, status: WorkerStatus) -> None:
    """Keep *status* as the worker's."""
    _write(_worker_path(run, status.pid), status)


def write_control(run: Path) -> None:
    """Say that this process answers on the control plane."""
    run.mkdir(parents=True, exist_ok=True)
    _control_path(run, os.getpid()).touch()


def read_controls(run: Path) -> frozenset[int]:
    """The processes that answer on the control plane; two while one takes over."""
    found = (path.stem.rpartition("-")[2] for path in run.glob("control-*.json"))
    return frozenset(int(pid) for pid in found if pid.isdigit() and is_alive(int(pid)))


def remove_process(run: Path, pid: int) -> None:
    """Forget what the child *pid* has said of itself."""
    _worker_path(run, pid).unlink(missing_ok=True)
    _control_path(run, pid).unlink(missing_ok=True)


def read_workers(run: Path) -> tuple[WorkerStatus, ...]:
    """The workers that are alive, by name."""
    found = (_read(path, WorkerStatus) for path in run.glob("worker-*.json"))
    alive = [status for status in found if status is not None and is_alive(status.pid)]
    return tuple(sorted(alive, key=lambda status: status.name))


def wait_for_workers(
    run: Path,
    endpoint: str,
    sequence: int,
    *,
    timeout_s: float = 30.0,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[WorkerStatus, ...]:
    """Wait until every live worker has acted on the state *sequence* of *endpoint*.

    From then on no request is answered by the state before it. Returns the workers; one that
    could not load the version says so in its ``endpoints[endpoint].error`` and still answers with
    the old one. Returns () at once when no worker runs. Raises
    :class:`~shipway.errors.EnvironmentFailure` after *timeout_s*.
    """
    until = clock() + timeout_s
    while True:
        workers = read_workers(run)
        late = [one for one in workers if not one.acknowledges(endpoint, sequence)]
        if not late:
            return workers
        if clock() >= until:
            names = ", ".join(f"{one.name} (pid {one.pid})" for one in late)
            raise EnvironmentFailure(
                f"{names} did not follow the change of {endpoint!r} within {timeout_s:g} s",
                next_step="the change is recorded; see `shipway status` and the server's log",
            )
        sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether a process *pid* exists and has not ended (a zombie has)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return True
    return state not in {"Z", "X"}


def _control_path(run: Path, pid: int) -> Path:
    return run / f"control-{pid}.json"


def _worker_path(run: Path, pid: int) -> Path:
    return run / f"worker-{pid}.json"


def _write(path: Path, record: msgspec.Struct) -> None:
    """Replace the file whole. Not synced: after a crash of the machine nobody runs anyway."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(msgspec.json.encode(record))
    temporary.replace(path)


def _read(path: Path, kind: type[_Record]) -> _Record | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
