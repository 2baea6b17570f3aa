"""A version sent to a repository: its files, its manifest, then what is said about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from shipway.domain.digests import digest_of
from shipway.errors import ConflictError, NotFoundError
from shipway.exchange.attachments import Attachment, attach
from shipway.exchange.modelpack import artifact_of
from shipway.exchange.repository import Repository
from shipway.registry.records import Manifest


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent: the digest of the artefact, and how many of its blobs were there already."""

    digest: str
    blobs: int
    already_there: int


def push(
    repository: Repository,
    manifest: Manifest,
    files: Mapping[str, Path],
    *,
    tag: str,
    attachments: Sequence[Attachment] = (),
    replace: bool = False,
) -> Sent:
    """Send the version of *manifest* with its verified *files* under *tag*.

    The manifest comes last, so whoever finds it finds all of it. Raises
    :class:`~shipway.errors.ConflictError` when *tag* is another artefact, unless it is to
    *replace* that.
    """
    written = artifact_of(manifest)
    _check_tag(repository, tag, written.digest, replace=replace)
    sent = [repository.put_blob(written.config), repository.put_blob(written.manifest)]
    sent += [repository.put_blob(files[entry.path].read_bytes()) for entry in manifest.files]
    repository.put_manifest(written.content, tag=tag)
    attach(repository, written.content, attachments)
    return Sent(digest=written.digest, blobs=len(sent), already_there=sent.count(False))


def _check_tag(repository: Repository, tag: str, digest: str, *, replace: bool) -> None:
    try:
        there = digest_of(repository.manifest(tag))
    except NotFoundError:
        return
    if there != digest and not replace:
        raise ConflictError(
            f"the tag {tag!r} is another artefact there: {there}",
            next_step="choose another tag, or add --force to move this one",
        )
