"""``versions``: what was published, what it was gated on, and what each endpoint answers with."""

from __future__ import annotations

from datetime import datetime

import msgspec

from shipway.bootstrap.project import Project
from shipway.registry.records import EndpointChange


class VersionLine(msgspec.Struct, frozen=True, kw_only=True):
    """One version in the list; ``verdict`` is of its newest gate, "" if it was never gated."""

    number: int
    digest: str
    format: str
    created_at: datetime
    created_by: str
    verdict: str
    live: bool
    commit: str
    size_bytes: int


class VersionList(msgspec.Struct, frozen=True, kw_only=True):
    """The newest versions of one model, oldest first, and the history of its endpoint.

    ``left_out`` of them are older, or were not asked for.
    """

    model: str
    live: int | None
    versions: tuple[VersionLine, ...]
    history: tuple[EndpointChange, ...]
    left_out: int = 0


def list_versions(
    project: Project, *, before: int | None = None, most: int | None = None
) -> VersionList:
    """The newest *most* versions of the project's model, with the endpoint's history.

    Only those with a number *before* that, if it is given.
    """
    registry = project.registry
    state = registry.endpoint(project.model)
    live = state.live if state else None
    verdicts = registry.verdicts(project.model, "gate")
    every = registry.summaries(project.model)
    wanted = [each for each in every if before is None or each.number < before]
    shown = wanted if most is None else wanted[-most:]
    lines = [
        VersionLine(
            number=each.number,
            digest=each.digest,
            format=each.format,
            created_at=each.created_at,
            created_by=each.created_by,
            verdict=verdicts.get(each.number, ""),
            live=each.number == live,
            commit=each.commit,
            size_bytes=each.size_bytes,
        )
        for each in shown
    ]
    return VersionList(
        model=project.model,
        live=live,
        versions=tuple(lines),
        history=tuple(registry.history(project.model)),
        left_out=len(every) - len(shown),
    )
