"""The processes of a test server: ``python -m tests.serving_child ROLE HOME``.

The registry is a JSON file, ``registry.json``, in the folder that is named; the sink appends one
line an event to ``events.jsonl``.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from tests.serving_rig import MODEL, FakeModel, PassedTrial, served

from shipway.domain.events import Label, PredictionEvent
from shipway.errors import ConfigError, ModelFileError
from shipway.registry.records import EndpointChange, EndpointState, Version
from shipway.serving.access import Admission
from shipway.serving.child import read_child
from shipway.serving.control import ControlOptions, Move, run_control
from shipway.serving.plan import ServerPlan
from shipway.serving.routing import LoadedVersion, RoutingState, Trial
from shipway.serving.status import wait_for_workers
from shipway.serving.supervisor import supervise
from shipway.serving.tls import TlsFiles
from shipway.serving.worker import WorkerOptions, run_worker
from shipway.serving.zygote import read_zygote, run_zygote


class FileRegistry:
    """One endpoint in a file; a routing source."""

    def __init__(self, home: Path) -> None:
        self._path = home / "registry.json"

    def promote(self, live: int) -> EndpointState:
        """Make *live* the live version."""
        sequence = (self.revision() if self._path.exists() else 0) + 1
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps({"live": live, "sequence": sequence}))
        temporary.replace(self._path)
        return self.state().endpoints[0]

    def revision(self) -> int:
        """The sequence of the one endpoint."""
        sequence: int = json.loads(self._path.read_text())["sequence"]
        return sequence

    def state(self) -> RoutingState:
        """The one endpoint."""
        data = json.loads(self._path.read_text())
        endpoint = EndpointState(endpoint=MODEL, model=MODEL, **data)
        return RoutingState(revision=data["sequence"], endpoints=(endpoint,))

    def trial(self, endpoint: EndpointState) -> Trial:
        """One that was passed."""
        return PassedTrial()

    def load(self, endpoint: EndpointState) -> LoadedVersion:
        """A fake model; version 13 cannot be loaded, and 14 takes for ever."""
        if endpoint.live == 14:
            time.sleep(600)
        if endpoint.live == 13:
            raise ModelFileError("version 13 is broken", next_step="promote another")
        return LoadedVersion(served=served(endpoint.live or 0), model=FakeModel())

    def close(self) -> None:
        """Nothing to give back."""


class FileSink:
    """Events as lines of JSON."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def append(self, events: Sequence[PredictionEvent]) -> None:
        """One write an append."""
        self._file.write(b"".join(msgspec.json.encode(event) + b"\n" for event in events))


class Unheard:
    """Refusals that nobody is told of."""

    def refused(self, entry: object, actor: object) -> None:
        """Do nothing."""


class FileServices:
    """The control plane's services over the file registry."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._registry = FileRegistry(home)

    def status(self) -> dict[str, Any]:
        """Nothing of interest."""
        return {"alerts": []}

    def endpoints(self) -> Sequence[EndpointState]:
        """The one endpoint."""
        return self._registry.state().endpoints

    def versions(self, model: str | None) -> Sequence[Version]:
        """None."""
        return ()

    def history(self, endpoint: str) -> Sequence[EndpointChange]:
        """None."""
        return ()

    def add_labels(self, labels: Sequence[Label], *, by: str) -> int:
        """Append them to ``labels.jsonl``."""
        with (self._home / "labels.jsonl").open("ab") as file:
            file.write(b"".join(msgspec.json.encode(label) + b"\n" for label in labels))
        return len(labels)

    def move(self, move: Move) -> EndpointState:
        """Change the file, and wait for the workers."""
        state = self._registry.promote(int(move.version or 1))
        wait_for_workers(self._home / "run", MODEL, state.sequence, timeout_s=10)
        return state


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How the server is run; read from ``options.json`` at the start and at each SIGHUP."""

    workers: int = 1
    zygote: bool = True
    grpc: bool = False
    tls: TlsFiles | None = None
    drain_wait_s: float = 0.3
    drain_timeout_s: float = 5.0


def plan_of(home: Path) -> ServerPlan:
    """A whole server on ports of the system's choice, told by ``run/server.json``."""
    try:
        options = msgspec.json.decode((home / "options.json").read_bytes(), type=Options)
    except msgspec.DecodeError as error:
        raise ConfigError("options.json is wrong", next_step="mend it") from error
    command = (sys.executable, "-m", "tests.serving_child")
    return ServerPlan(
        host="127.0.0.1",
        port=0,
        control_port=0,
        grpc_port=0 if options.grpc else None,
        workers=options.workers,
        worker_command=(*command, "worker", str(home)),
        control_command=(*command, "control", str(home)),
        zygote_command=(*command, "zygote", str(home)) if options.zygote else None,
        environment={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        run=home / "run",
        tls=options.tls,
        drain_wait_s=options.drain_wait_s,
        drain_timeout_s=options.drain_timeout_s,
    )


def server(home: Path) -> int:
    """The supervisor."""
    return supervise(
        plan_of(home),
        announce=lambda record: print(record.url, flush=True),  # noqa: T201
        reread=lambda: plan_of(home),
    )


def worker(home: Path, arguments: Sequence[str]) -> int:
    """A worker; with a file ``crash`` it ends at once, with ``spawn`` it has a child."""
    child, _ = read_child(arguments)
    if (home / "crash").exists():
        return 3
    if (home / "spawn").exists():
        sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        with (home / "spawned").open("a") as file:
            file.write(f"{sleeper.pid}\n")
    plan = plan_of(home)
    return run_worker(
        child,
        open_source=lambda: FileRegistry(home),
        sink=FileSink(home / "events.jsonl"),
        options=WorkerOptions(
            run=plan.run,
            admission=Admission(authentication=False),
            tls=plan.tls,
            drain_wait_s=plan.drain_wait_s,
            drain_timeout_s=plan.drain_timeout_s,
            poll_s=0.02,
        ),
    )


def control(home: Path, arguments: Sequence[str]) -> int:
    """The control process."""
    child, _ = read_child(arguments)
    plan = plan_of(home)
    options = ControlOptions(
        run=plan.run, refusals=Unheard(), tls=plan.tls, drain_timeout_s=plan.drain_timeout_s
    )
    return run_control(
        child,
        services=FileServices(home),
        keys=lambda: (),
        options=options,
        admission=Admission(authentication=False),
    )


def main(arguments: list[str]) -> int:
    """Be what the first argument says."""
    role, home, rest = arguments[0], Path(arguments[1]), arguments[2:]
    logging.basicConfig(level=logging.INFO)
    if role == "server":
        return server(home)
    roles = {"worker": partial(worker, home), "control": partial(control, home)}
    if role == "zygote" and (home / "crash-zygote").exists():
        return 3
    if role == "zygote":
        conversation, _ = read_zygote(rest)
        return run_zygote(conversation, roles)
    return roles[role](rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
