"""``encryption``: who can read what is stored, changing who can, and what personal columns hide."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from shipway.bootstrap.project import Project
from shipway.contract.schema import Personal
from shipway.domain.events import Scalar
from shipway.domain.model import Kind
from shipway.domain.progress import SILENT, Progress
from shipway.domain.times import iso
from shipway.durable import storing, write_new
from shipway.errors import ConflictError, UsageError
from shipway.monitoring.rewrapping import (
    EventSeals,
    EventsRewrapped,
    event_seals,
    rewrap_events,
)
from shipway.registry.audited import telling
from shipway.registry.encrypting import encrypt_version
from shipway.registry.sealing import Encrypted, Rotated
from shipway.security.audit import Entry
from shipway.security.sealing import Sealer, new_identity


class NewIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """A new pair of keys: the secret one is in ``file`` alone."""

    file: str
    recipient: str
    made: bool = True


class SealedVersions(msgspec.Struct, frozen=True, kw_only=True):
    """Which versions were encrypted, or would be, and how many were already."""

    sealed: tuple[str, ...]
    unchanged: int
    dry_run: bool


class EncryptedStore(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a store is encrypted, and for whom."""

    versions: Encrypted
    events: EventSeals


class RotatedStore(msgspec.Struct, frozen=True, kw_only=True):
    """Whose keys were wrapped anew; ``personal_key`` is that of personal columns."""

    versions: Rotated
    events: EventsRewrapped
    personal_key: bool


def keygen(project: Project, file: Path) -> NewIdentity:
    """Make a pair of keys; the secret one goes into *file*, for this user's eyes only.

    The file is one that ``age`` reads as well. Raises ConflictError if there is one, and UsageError
    for a place in the store: whoever took the store, or its backup, would have the key.
    """
    if file.resolve().is_relative_to(project.home.resolve()):
        raise UsageError(
            f"{file} lies in the store that the key is to protect",
            next_step="keep the key elsewhere, where neither the store's backups nor git take it",
        )
    secret, public = new_identity()
    text = f"# created: {iso(project.clock())}\n# public key: {public}\n{secret}\n"
    with storing(file):
        try:
            write_new(file, text.encode())
        except FileNotFoundError as missing:
            raise UsageError(
                f"there is no folder {str(file.parent)!r}", next_step="make it, then try again"
            ) from missing
        except FileExistsError as there:
            raise ConflictError(
                f"{file} is there already; a key that is lost takes its versions with it",
                next_step="choose another name",
            ) from there
    return NewIdentity(file=str(file), recipient=public)


def status(project: Project) -> EncryptedStore:
    """How much of the store is encrypted, and for whom."""
    return EncryptedStore(
        versions=project.registry.sealing.encrypted(), events=event_seals(project.home)
    )


def rotate(project: Project, *, dry_run: bool = False, progress: Progress = SILENT) -> RotatedStore:
    """Wrap the keys of all that is encrypted for ``encryption.recipients`` and nobody else.

    Raises UsageError where nobody is named, and KeyNotHeld for what cannot be opened here.
    """
    versions = project.registry.sealing.rotate(project.clock(), dry_run=dry_run, progress=progress)
    events = rewrap_events(
        project.home,
        Sealer(versions.recipients),
        project.keyring.opener(),
        dry_run=dry_run,
        progress=progress,
    )
    personal = project.personal.rewrap(dry_run=dry_run)
    if not dry_run and (events.rewrapped or personal):
        # That of versions is noted with the records it changes.
        detail = {
            "event_files": events.rewrapped,
            "personal_key": personal,
            "recipients": sorted(versions.recipients),
        }
        project.registry.trail.record(Entry(what="store.rewrap", detail=detail))
    return RotatedStore(versions=versions, events=events, personal_key=personal)


def seal(
    project: Project,
    version: str | None = None,
    *,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> SealedVersions:
    """Encrypt *version*, or every version, that was published plain."""
    registry = project.registry
    if version is None:
        chosen = [one for model in registry.models() for one in registry.versions(model)]
    else:
        chosen = [registry.resolve(version, project.model)]
    registry.sealing.check_recipients()
    due = [one for one in chosen if not registry.sealing.is_sealed(one)]
    with progress.start("Encrypting", len(due), "versions") as task:
        for one in due:
            if not dry_run:
                encrypt_version(registry, one, by=project.who, now=project.clock())
            task.advance()
    return SealedVersions(
        sealed=tuple(one.ref for one in due), unchanged=len(chosen) - len(due), dry_run=dry_run
    )


class Revealed(msgspec.Struct, frozen=True, kw_only=True):
    """The values that were encrypted, in the order that they were given."""

    column: str
    values: tuple[Scalar, ...]


class Pseudonym(msgspec.Struct, frozen=True, kw_only=True):
    """What is written in the place of a value."""

    column: str
    hashed: str


def reveal(project: Project, column: str, sealed: Sequence[str]) -> Revealed:
    """The values of *column* that were written encrypted as *sealed*; the audit log is told.

    Raises :class:`~shipway.errors.KeyNotHeld` without an identity, and
    :class:`~shipway.errors.SealBroken` for what is none of this column.
    """
    with telling(project.registry.trail, "personal.reveal", column):
        key = project.personal.key(encrypts=True)
        values = tuple(key.opened(column, one) for one in sealed)
    project.registry.trail.record(Entry(what="personal.reveal", object=column, count=len(values)))
    return Revealed(column=column, values=values)


def pseudonym(project: Project, column: str, value: str) -> Pseudonym:
    """The hash that stands for *value* of *column* in events and outputs; it is audited.

    Raises :class:`~shipway.errors.UsageError` for a column that is not hashed, and for a text that
    is no value of it.
    """
    kinds = {
        one.name: one.kind for one in project.contract.columns if one.personal is Personal.HASH
    }
    if column not in kinds:
        raise UsageError(
            f"the column {column!r} is not hashed",
            next_step=f"choose among {', '.join(kinds) or 'none: mark one in contract.yaml'}",
        )
    given = _number(column, value) if kinds[column] in (Kind.NUMBER, Kind.INTEGER) else value
    found = project.personal.key().hashed(column, given)
    project.registry.trail.record(Entry(what="personal.pseudonym", object=column))
    return Pseudonym(column=column, hashed=found)


def _number(column: str, text: str) -> int | float:
    """The number that *text* is; a whole one to its last digit."""
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError as error:
            raise UsageError(
                f"{text!r} is no number, as {column!r} has them", next_step="give a number"
            ) from error
