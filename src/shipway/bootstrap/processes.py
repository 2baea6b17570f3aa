"""The server's child processes: what they are told, and how each is wired.

The supervisor starts ``python -P -m shipway.bootstrap.worker`` and ``….control`` with one JSON
argument; nothing secret is in it, nor in their environment. ``-P`` keeps the working folder out
of the import path: a ``queue.py`` that lies there is the user's, and not to be run by a server.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from shipway.bootstrap.logs import configured_logs
from shipway.config.settings import ServeSettings
from shipway.errors import ShipwayError
from shipway.serving.child import Child, read_child
from shipway.serving.http.limits import Limits
from shipway.serving.supervisor import ServerPlan

_log = logging.getLogger(__name__)
_NOT_FOR_CHILDREN = frozenset({"SHIPWAY_KEY", "SHIPWAY_ALERTS__WEBHOOK"})
"""What only a client, or whoever sends alerts, has to know."""


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
            queue_s=self.serve.queue_s,
        )


def server_plan(
    home: Path, model: str, serve: ServeSettings, *, environ: Mapping[str, str]
) -> ServerPlan:
    """How the supervisor runs the server of the store in *home*.

    The children's environment is *environ* without what they need not know.
    """
    plan = ProcessPlan(home=str(home.resolve()), model=model, serve=serve)
    argument = msgspec.json.encode(plan).decode()
    python = (sys.executable, "-P", "-m")
    return ServerPlan(
        host=serve.host,
        port=serve.port,
        control_host=serve.control_host,
        control_port=serve.control_port,
        workers=serve.workers,
        worker_command=(*python, "shipway.bootstrap.worker", argument),
        control_command=(*python, "shipway.bootstrap.control", argument),
        run=plan.run,
        authentication=serve.authentication,
        drain_wait_s=serve.drain_wait_s,
        drain_timeout_s=serve.drain_timeout_s,
        environment={k: v for k, v in environ.items() if k not in _NOT_FOR_CHILDREN},
    )


def run_child(name: str, run: Callable[[Child, ProcessPlan], int]) -> int:
    """Run a child process by what the supervisor told it; the exit code of the process.

    *name* is what it is called in the log until it knows better. An error that was foreseen is
    one line there, with what to do next.
    """
    with configured_logs(name):
        try:
            child, (argument,) = read_child(sys.argv[1:])
            plan = msgspec.json.decode(argument, type=ProcessPlan)
            with configured_logs(child.name):
                return run(child, plan)
        except ShipwayError as error:
            _log.error("%s", error, extra={"code": error.code})
        except Exception:  # an outermost loop: the log has every ending
            _log.critical("the process ended by an exception", exc_info=True)
        return 1
