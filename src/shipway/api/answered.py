"""``answered``: which version answered a prediction, who put it there, when, on which verdict."""

from __future__ import annotations

from datetime import datetime

import msgspec

from shipway.bootstrap.project import Project
from shipway.errors import NotFoundError
from shipway.monitoring.finding_one import Found, find_request
from shipway.registry.records import EndpointChange, EvidenceRecord
from shipway.registry.registry import Registry


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """A prediction and what stands behind it.

    ``change`` is the line of the endpoint's history by which the version answered, None where
    the registry does not know it; ``evidence`` is the verdict that it rests on. ``status`` and
    ``code`` are those of the request: a refused one was answered by no model.
    """

    prediction_id: str
    received_at: datetime
    endpoint: str
    model: str
    version: int
    digest: str
    caller: str
    status: int
    code: str
    change: EndpointChange | None
    evidence: int | None
    verdict: str


def answered(project: Project, prediction_id: str) -> Answered:
    """What answered *prediction_id*, which is a request's id or that of one of its rows.

    The events are searched a file at a time; of an id that the server gave, only those of its
    time. Raises NotFoundError when no event has it.
    """
    events = project.home / "events"
    found = find_request(events, prediction_id, project.keyring)
    if found is None and ":" in prediction_id:
        found = find_request(events, prediction_id.rpartition(":")[0], project.keyring)
    if found is None:
        raise NotFoundError(
            f"no event has the id {prediction_id!r}",
            next_step="give the id from the answer (prediction_id or X-Request-Id); look whether "
            "its events are kept still, and in this store: `shipway status`",
        )
    return _explained(project.registry, prediction_id, found)


def _explained(registry: Registry, prediction_id: str, found: Found) -> Answered:
    change = _change(registry.history(found.endpoint), found)
    digest = ""
    if found.version in {each.number for each in registry.summaries(found.model)}:
        digest = registry.version(found.model, found.version).digest
    record = _evidence(registry, change)
    return Answered(
        prediction_id=prediction_id,
        received_at=found.received_at,
        endpoint=found.endpoint,
        model=found.model,
        version=found.version,
        digest=digest,
        caller=found.caller,
        status=found.status,
        code=found.code,
        change=change,
        evidence=record.id if record else None,
        verdict=record.verdict if record else "",
    )


def _change(history: tuple[EndpointChange, ...], found: Found) -> EndpointChange | None:
    """The newest change to that version before the request; workers follow a change a bit later."""
    made = [change for change in history if change.live == found.version]
    before = [change for change in made if change.at <= found.received_at]
    return next(iter(reversed(before or made[:1])), None)


def _evidence(registry: Registry, change: EndpointChange | None) -> EvidenceRecord | None:
    if change is None or change.evidence is None:
        return None
    records = registry.evidence(change.model, change.live)
    return next((record for record in records if record.id == change.evidence), None)
