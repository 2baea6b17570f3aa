"""API keys: made, listed and revoked; a secret is shown once and kept nowhere."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from shipway.bootstrap.keys import read_keys_file
from shipway.bootstrap.project import Project
from shipway.durable import SHARED, replace_file, storing
from shipway.security.keys import issue

DEFAULT_LIFE = timedelta(days=90)
EVERYDAY_SCOPES = ("predict", "label", "view")


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key just made. ``secret`` is the whole key; it cannot be shown again."""

    id: str
    name: str
    secret: str
    scopes: tuple[str, ...]
    expires_at: datetime


class KeyLine(msgspec.Struct, frozen=True, kw_only=True):
    """What may be shown of a key."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


def create_key(
    project: Project,
    *,
    name: str = "",
    scopes: tuple[str, ...] = EVERYDAY_SCOPES,
    life: timedelta = DEFAULT_LIFE,
    export: Path | None = None,
) -> NewKey:
    """Make a key with *scopes* that expires after *life*; a running server knows it in a second.

    With *export* its record (a digest, not the secret) joins those in that file, which a
    container mounts as ``serve.keys_file``.
    """
    known = read_keys_file(export) if export is not None and export.exists() else ()
    secret, record = issue(
        env="live",
        scopes=scopes,
        name=name or project.who,
        expires_in=life,
        now=project.clock(),
        random=os.urandom,
    )
    project.registry.add_key(record)
    if export is not None:
        with storing(export):
            replace_file(export, msgspec.json.encode([*known, record]), mode=SHARED)
    return NewKey(
        id=record.id,
        name=record.name,
        secret=secret,
        scopes=record.scopes,
        expires_at=record.expires_at,
    )


def list_keys(project: Project) -> tuple[KeyLine, ...]:
    """Every key that was ever made, without what would open a door."""
    records = project.registry.keys()
    return tuple(
        KeyLine(
            id=record.id,
            name=record.name,
            scopes=record.scopes,
            created_at=record.created_at,
            expires_at=record.expires_at,
            revoked_at=record.revoked_at,
        )
        for record in records
    )


def revoke_key(project: Project, key_id: str) -> None:
    """Revoke the key *key_id*; every worker refuses it within a second.

    Raises :class:`~shipway.errors.NotFoundError` for an id that no key has.
    """
    project.registry.revoke_key(key_id, now=project.clock())
