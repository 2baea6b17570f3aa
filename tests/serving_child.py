"""The processes of a test server: ``python -m tests.serving_child worker|control|server``.

The registry is a JSON file, ``registry.json``, in the folder that is named; the sink appends one
line an event to ``events.jsonl``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from tests.serving_rig import MODEL, FakeModel, served

from shipway.domain.events import Label, PredictionEvent
from shipway.errors import ModelFileError
from shipway.registry.records import EndpointChange, EndpointState, Version
from shipway.serving.child import read_child
from shipway.serving.control import ControlOptions, Move, run_control
from shipway.serving.plan import ServerPlan
from shipway.serving.routing import LoadedVersion, RoutingState
from shipway.serving.status import wait_for_workers
from shipway.serving.supervisor import supervise
from shipway.serving.worker import WorkerOptions, run_worker


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

    def load(self, endpoint: EndpointState) -> LoadedVersion:
        """A fake model; version 13 cannot be loaded."""
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


def server(home: Path, workers: int) -> int:
    """A whole server on ports of the system's choice, told by ``run/server.json``."""
    command = (sys.executable, "-m", "tests.serving_child")
    return supervise(
        ServerPlan(
            host="127.0.0.1",
            port=0,
            control_port=0,
            workers=workers,
            worker_command=(*command, "worker", str(home)),
            control_command=(*command, "control", str(home)),
            run=home / "run",
            drain_wait_s=0.3,
            drain_timeout_s=5.0,
        ),
        announce=lambda record: print(record.url, flush=True),  # noqa: T201
    )


def main(arguments: list[str]) -> int:
    """Be what the first argument says."""
    role, home = arguments[0], Path(arguments[1])
    if role == "server":
        return server(home, int(arguments[2]))
    child, _ = read_child(arguments[2:])
    run = home / "run"
    if role == "control":
        options = ControlOptions(run=run, drain_timeout_s=5.0)
        return run_control(child, services=FileServices(home), keys=lambda: None, options=options)
    if (home / "crash").exists():
        return 3
    return run_worker(
        child,
        open_source=lambda: FileRegistry(home),
        sink=FileSink(home / "events.jsonl"),
        options=WorkerOptions(
            run=run, authentication=False, drain_wait_s=0.3, drain_timeout_s=5.0, poll_s=0.02
        ),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
