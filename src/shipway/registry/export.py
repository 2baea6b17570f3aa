"""A store of its own for one version, for an image to carry."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from shipway.registry.opening import open_registry
from shipway.registry.records import Version
from shipway.registry.registry import Registry
from shipway.security.acting import Actor, acting


def export_version(
    registry: Registry, version: Version, home: Path, *, by: str, now: datetime
) -> Version:
    """Make a store in the folder *home* that holds *version* alone, live on its model's endpoint.

    It keeps its number, so that what an image answers, counts and logs is found in the registry
    that it came from. Raises :class:`~shipway.errors.ConflictError` if there is a store already.
    """
    files = {path: file.read_bytes() for path, file in registry.open_files(version).items()}
    with open_registry(home, audited=False) as exported, acting(Actor(id=f"user:{by}")):
        copy = exported.publish(
            version.manifest, files, by=version.created_by, now=now, number=version.number
        )
        for record in registry.signing.records(version):
            exported.signing.add(
                copy, registry.signing.stored(record), by=record.created_by, now=record.created_at
            )
        exported.move_endpoint(
            copy.model,
            model=copy.model,
            expected=0,
            live=copy.number,
            action="promote",
            by=by,
            reason=f"exported from {version.ref}",
            evidence=None,
            forced=True,
            now=now,
        )
    return copy
