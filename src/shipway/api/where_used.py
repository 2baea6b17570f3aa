"""``where_used``: which versions a table went into, and which endpoints answer with those."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from shipway.bootstrap.project import Project
from shipway.domain.digests import digest_of_file
from shipway.errors import NotFoundError, UsageError
from shipway.registry.records import DataRecord, Version
from shipway.registry.registry import Registry

_PREFIX = re.compile(r"(?:sha256:)?([0-9a-f]{6,64})", re.ASCII)


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """One use of a table by one version; ``live_on`` now, ``was_live_on`` before."""

    model: str
    version: int
    role: str
    digest: str
    location: str
    rows: int
    at: datetime
    live_on: tuple[str, ...]
    was_live_on: tuple[str, ...]


class Uses(msgspec.Struct, frozen=True, kw_only=True):
    """Every use of what *asked* names; ``live`` counts those that answer requests now."""

    asked: str
    uses: tuple[Use, ...]

    @property
    def live(self) -> int:
        """How many of the uses are by a version that is live."""
        return sum(bool(use.live_on) for use in self.uses)


def where_used(project: Project, dataset: str) -> Uses:
    """The versions of every model that were trained or tested on *dataset*.

    That is a file, whose bytes are compared, a digest or six digits and more of its beginning, a
    name that a table had, or a role: ``train`` or ``test``. Raises NotFoundError when nothing in
    the store knows it.
    """
    match = _matcher(project, dataset)
    registry = project.registry
    routes = _routes(registry)
    uses = [
        Use(
            model=version.model,
            version=version.number,
            role=record.role,
            digest=record.digest,
            location=record.location,
            rows=record.rows,
            at=at,
            live_on=routes.get((version.model, version.number, True), ()),
            was_live_on=routes.get((version.model, version.number, False), ()),
        )
        for model in registry.models()
        for version in registry.versions(model)
        for record, at in _tables(registry, version)
        if (match.digest and record.digest.startswith(match.digest))
        or record.role == match.text
        or (record.location and record.location == match.text)
    ]
    if not uses:
        raise NotFoundError(
            f"no version was trained or tested on {dataset!r}",
            next_step="name a file, the beginning of its digest, or a role:"
            " `shipway versions where-used train`",
        )
    return Uses(asked=dataset, uses=tuple(uses))


class _Match(msgspec.Struct, frozen=True):
    """What to look for: the ``digest`` begins so, or name or role is ``text``."""

    digest: str
    text: str


def _matcher(project: Project, dataset: str) -> _Match:
    if not dataset:
        raise UsageError("no table is named", next_step="name a file, a digest or a role")
    for path in (Path(dataset), project.folder / dataset):
        if path.is_file():
            return _Match(digest_of_file(path), "")
    found = _PREFIX.fullmatch(dataset)
    return _Match(f"sha256:{found[1]}" if found else "", dataset)


def _tables(registry: Registry, version: Version) -> Iterator[tuple[DataRecord, datetime]]:
    """The tables of the lineage, and those that the version was judged on."""
    for record in version.manifest.lineage.data:
        yield record, version.created_at
    seen: set[DataRecord] = set()
    for evidence in registry.evidence(version.model, version.number):
        held_on = evidence.body.get("data")
        if isinstance(held_on, dict):
            record = msgspec.convert(held_on, DataRecord)
            if record not in seen:
                seen.add(record)
                yield record, evidence.created_at


def _routes(registry: Registry) -> dict[tuple[str, int, bool], tuple[str, ...]]:
    """The endpoints that each version is (True) or only was (False) live on."""
    found: dict[tuple[str, int, bool], tuple[str, ...]] = {}
    for state in registry.endpoints():
        for number in {change.live for change in registry.history(state.endpoint)}:
            key = (state.model, number, number == state.live)
            found[key] = (*found.get(key, ()), state.endpoint)
    return found
