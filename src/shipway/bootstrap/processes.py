"""The server's child processes: what they are told, and how each is wired.

The supervisor starts ``python -m shipway.bootstrap.worker`` and ``….control`` with one JSON
argument; nothing secret is in it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from shipway.config.settings import ServeSettings
from shipway.serving.http.limits import Limits
from shipway.serving.supervisor import ServerPlan


class ProcessPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a child process needs to know; folders are absolute."""

    home: str
    model: str
    serve: ServeSettings

    @property
    def home_path(self) -> Path:
        """The folder of the store."""
        return Path(self.home)

    @property
    def run(self) -> Path:
        """Where processes report their state."""
        return self.home_path / "run"

    @property
    def keys_file(self) -> Path | None:
        """A mounted file of key records."""
        return Path(self.serve.keys_file) if self.serve.keys_file else None

    @property
    def limits(self) -> Limits:
        """What one worker accepts."""
        return Limits(
            max_body_bytes=self.serve.max_body_bytes,
            request_timeout_s=self.serve.request_timeout_s,
            header_timeout_s=self.serve.header_timeout_s,
            queue_rows=self.serve.queue_rows,
        )


def server_plan(home: Path, model: str, serve: ServeSettings) -> ServerPlan:
    """How the supervisor runs the server of the store in *home*."""
    plan = ProcessPlan(home=str(home.resolve()), model=model, serve=serve)
    argument = msgspec.json.encode(plan).decode()
    return ServerPlan(
        host=serve.host,
        port=serve.port,
        control_port=serve.control_port,
        workers=serve.workers,
        worker_command=(sys.executable, "-m", "shipway.bootstrap.worker", argument),
        control_command=(sys.executable, "-m", "shipway.bootstrap.control", argument),
        run=plan.run,
        authentication=serve.authentication,
        drain_wait_s=serve.drain_wait_s,
        drain_timeout_s=serve.drain_timeout_s,
    )


def read_process_plan(arguments: list[str]) -> ProcessPlan:
    """The plan in the one argument that :func:`server_plan` wrote."""
    (argument,) = arguments
    return msgspec.json.decode(argument, type=ProcessPlan)
