"""``status``: what is live, what serves it, and what monitoring last said."""

from __future__ import annotations

import msgspec

from shipway.bootstrap.project import Project
from shipway.serving.status import ServerRecord, WorkerStatus, read_server, read_workers


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a project on this machine."""

    model: str
    versions: int
    live: int | None
    server: ServerRecord | None
    workers: tuple[WorkerStatus, ...]


def status(project: Project) -> Status:
    """What is published, what is live, and which processes answer."""
    registry = project.registry
    state = registry.endpoint(project.model)
    run = project.home / "run"
    return Status(
        model=project.model,
        versions=len(registry.summaries(project.model)),
        live=state.live if state else None,
        server=read_server(run),
        workers=read_workers(run),
    )
