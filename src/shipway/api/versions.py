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
    """The versions of one model, oldest first, and the history of its endpoint."""

    model: str
    live: int | None
    versions: tuple[VersionLine, ...]
    history: tuple[EndpointChange, ...]


def list_versions(project: Project) -> VersionList:
    """Every version of the project's model, with the endpoint's history."""
    registry = project.registry
    state = registry.endpoint(project.model)
    live = state.live if state else None
    lines = []
    for version in registry.versions(project.model):
        gates = [
            record
            for record in registry.evidence(project.model, version.number)
            if record.kind == "gate"
        ]
        code = version.manifest.lineage.code
        lines.append(
            VersionLine(
                number=version.number,
                digest=version.digest,
                format=version.manifest.spec.format,
                created_at=version.created_at,
                created_by=version.created_by,
                verdict=max(gates, key=lambda record: record.id).verdict if gates else "",
                live=version.number == live,
                commit=code.commit if code else "",
                size_bytes=sum(entry.size_bytes for entry in version.manifest.files),
            )
        )
    return VersionList(
        model=project.model,
        live=live,
        versions=tuple(lines),
        history=tuple(registry.history(project.model)),
    )
