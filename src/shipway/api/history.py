"""``history``: everything that ever happened to the versions of a model, in order."""

from __future__ import annotations

from datetime import datetime

import msgspec

from shipway.bootstrap.project import Project
from shipway.registry.records import EndpointChange


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """One line: ``what`` is published, gate, promote, rollback, delete or restore.

    ``evidence`` is the id of the record that it made or rests on, and ``verdict`` what that
    says; ``by`` is "" for a judgement, which nobody makes.
    """

    at: datetime
    what: str
    version: int
    by: str = ""
    endpoint: str = ""
    before: int | None = None
    evidence: int | None = None
    verdict: str = ""
    forced: bool = False
    reason: str = ""


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to the versions of one model, oldest first."""

    model: str
    happenings: tuple[Happening, ...]


def history(project: Project) -> History:
    """Every publication, judgement, move of an endpoint and deletion, oldest first."""
    registry, model = project.registry, project.model
    happenings: list[Happening] = []
    verdicts: dict[int, str] = {}
    for version in registry.versions(model):
        number = version.number
        by, at = version.created_by, version.created_at
        happenings.append(Happening(at=at, what="published", version=number, by=by))
        for record in registry.evidence(model, number):
            verdicts[record.id] = record.verdict
            happenings.append(
                Happening(
                    at=record.created_at,
                    what=record.kind,
                    version=number,
                    evidence=record.id,
                    verdict=record.verdict,
                )
            )
    for state in registry.endpoints():
        if state.model == model:
            moves = registry.history(state.endpoint)
            happenings += (_moved(change, verdicts) for change in moves)
    happenings += (
        Happening(
            at=change.at,
            what=change.action,
            version=change.number,
            by=change.by,
            reason=change.reason,
        )
        for change in registry.stores[0].deletions.list(model)
    )
    return History(model=model, happenings=tuple(sorted(happenings, key=lambda one: one.at)))


def _moved(change: EndpointChange, verdicts: dict[int, str]) -> Happening:
    return Happening(
        at=change.at,
        what=change.action,
        version=change.live,
        by=change.by,
        endpoint=change.endpoint,
        before=change.before,
        evidence=change.evidence,
        verdict="" if change.evidence is None else verdicts.get(change.evidence, ""),
        forced=change.forced,
        reason=change.reason,
    )
