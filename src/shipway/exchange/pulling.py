"""A version fetched from a repository: verified to the last byte before any of it is believed."""

from __future__ import annotations

import msgspec

from shipway.domain.digests import digest_of
from shipway.errors import ModelFileError, Problem, TooLarge
from shipway.exchange.attachments import Attachment, attached
from shipway.exchange.limits import Limits
from shipway.exchange.modelpack import (
    Artifact,
    layer_problems,
    own_manifest,
    read_artifact,
    read_manifest,
)
from shipway.exchange.repository import MOST_MANIFEST_BYTES, Source
from shipway.registry.entries import path_problems
from shipway.registry.records import Manifest


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """A version of Shipway's as it was published, and what is attached to it."""

    digest: str
    manifest: Manifest
    files: dict[str, bytes]
    attachments: tuple[Attachment, ...]


class Foreign(msgspec.Struct, frozen=True, kw_only=True):
    """An artefact that somebody else made: its layers are still to be looked at."""

    digest: str
    artifact: Artifact
    config: bytes


def pull(
    repository: Source, key: str, *, where: str, limits: Limits, model: str | None = None
) -> Fetched | Foreign:
    """What *repository* has under *key*, a tag or a digest; *where* it is from is for messages.

    Nothing is fetched beyond *limits*, by what the manifest says of it and by what comes. Raises
    :class:`~shipway.errors.ModelFileError` with all that is wrong with the artefact, also when it
    is a version of another model than *model*, and :class:`~shipway.errors.DigestMismatch`.
    """
    content = repository.manifest(key)
    artifact = read_artifact(content, where)
    sizes = [layer.size for layer in artifact.layers]
    limits.hold("files", len(sizes), where)
    limits.hold("file_bytes", max(sizes), f"the largest file of {where}")
    limits.hold("bytes", sum(sizes) + artifact.config.size, where)
    digest = digest_of(content)
    own = own_manifest(artifact, where)
    if own is None:
        small = artifact.config.size <= MOST_MANIFEST_BYTES
        config = repository.blob(artifact.config) if small else b""
        return Foreign(digest=digest, artifact=artifact, config=config)
    if own.size > MOST_MANIFEST_BYTES:
        raise TooLarge(
            f"{where}: the manifest of the version is of {own.size:,} bytes",
            next_step="push the version again; Shipway writes none that large",
        )
    manifest = read_manifest(repository.blob(own), where)
    _check(artifact, manifest, where, model)
    by_digest = {layer.digest: layer for layer in artifact.layers}
    files = {entry.path: repository.blob(by_digest[entry.digest]) for entry in manifest.files}
    return Fetched(
        digest=digest,
        manifest=manifest,
        files=files,
        attachments=tuple(attached(repository, digest)),
    )


def _check(artifact: Artifact, manifest: Manifest, where: str, model: str | None) -> None:
    problems = [*path_problems(manifest.files), *layer_problems(artifact, manifest)]
    main_file = manifest.spec.main_file
    if main_file not in {entry.path for entry in manifest.files}:
        problems.append(
            Problem("registry.file-missing", f"its main file {main_file!r} is none of its files")
        )
    if problems:
        raise ModelFileError(
            f"{where} is not the version that it says it is",
            next_step="push the version again; nothing was taken from this artefact",
            problems=problems,
        )
    if model is not None and manifest.model != model:
        raise ModelFileError(
            f"{where} is a version of {manifest.model!r}, not of {model!r}",
            next_step=f"add --as {manifest.model} to keep it under its own name in this store; no"
            " version can be renamed, for its name is part of what its digest is of",
        )
