"""What the registry remembers. Every record is immutable; state is the newest of a history."""

from __future__ import annotations

from datetime import datetime

import msgspec

from shipway.domain.metrics import Task
from shipway.domain.model import ModelSpec, Parity
from shipway.domain.objectives import Objectives, TrainingTarget


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a version: ``path`` is relative, ``/``-separated, without ``..``."""

    path: str
    digest: str
    size_bytes: int
    media_type: str


class DataRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A table that a version was made or tested with."""

    role: str
    digest: str
    rows: int
    columns: int
    location: str = ""
    time_from: str = ""
    time_to: str = ""


class CodeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The code that a version was made by: ``diff_digest`` is of the uncommitted change, or ""."""

    commit: str = ""
    branch: str = ""
    dirty: bool = False
    diff_digest: str = ""


class Making(msgspec.Struct, frozen=True, kw_only=True):
    """What it takes to make a version again, beside its data and its code.

    ``training`` is the command that trains (``retrain.command``) and ``packing`` the words after
    ``shipway`` that packed it. ``contents`` has the digest of what each installed distribution
    put on the disk, and ``libraries`` the machine's own that numbers depend on.
    """

    training: tuple[str, ...] = ()
    packing: tuple[str, ...] = ()
    seed: int | None = None
    contents: dict[str, str] = {}
    libraries: dict[str, str] = {}


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """Where a version comes from."""

    data: tuple[DataRecord, ...] = ()
    code: CodeRecord | None = None
    source_model_digest: str = ""
    source_model_type: str = ""
    parameters: dict[str, str | int | float | bool | None] = {}
    command: tuple[str, ...] = ()
    python: str = ""
    platform: str = ""
    packages: dict[str, str] = {}
    parent: int | None = None
    making: Making | msgspec.UnsetType = msgspec.UNSET
    """Unset in versions that are older than this: their bytes, and so their digests, stay."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A version: everything that makes it what it is. Its digest is of its canonical JSON.

    ``trained`` sums up the target in training, for baselines. ``files`` always include
    ``contract.yaml`` and ``shipway.toml`` as they were. ``metrics`` are point values reported
    at packing; what a version was gated on is recorded as evidence.
    """

    schema: int = 1
    model: str
    task: Task
    spec: ModelSpec
    objectives: Objectives
    threshold: float | None
    files: tuple[FileEntry, ...]
    lineage: Lineage
    trained: TrainingTarget | None = None
    parity: Parity | None = None
    metrics: dict[str, float] = {}
    notes: tuple[str, ...] = ()


class Seal(msgspec.Struct, frozen=True, kw_only=True):
    """How one file of a version is encrypted: as the blob ``digest``, with its wrapped ``key``.

    ``recipients`` are the public keys that it is wrapped for.
    """

    path: str
    digest: str
    size_bytes: int
    key: str
    recipients: tuple[str, ...]


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A published manifest: ``number`` counts within a model, without gaps and mostly from 1."""

    model: str
    number: int
    digest: str
    created_at: datetime
    created_by: str
    manifest: Manifest

    @property
    def ref(self) -> str:
        """The version as people write it: ``flight-delay@3``."""
        return f"{self.model}@{self.number}"


class VersionSummary(msgspec.Struct, frozen=True):
    """What a list shows of a version; ``commit`` is "" for one without code under git."""

    number: int
    digest: str
    created_at: datetime
    created_by: str
    format: str
    commit: str
    size_bytes: int


def summary_of(version: Version) -> VersionSummary:
    """What a list shows of *version*."""
    code = version.manifest.lineage.code
    return VersionSummary(
        number=version.number,
        digest=version.digest,
        created_at=version.created_at,
        created_by=version.created_by,
        format=version.manifest.spec.format,
        commit=code.commit if code else "",
        size_bytes=sum(entry.size_bytes for entry in version.manifest.files),
    )


class VersionChange(msgspec.Struct, frozen=True, kw_only=True):
    """A version was deleted (``action`` is ``delete``) or brought back (``restore``).

    Its number, its manifest and what was judged about it stay; its files are collected later.
    """

    model: str
    number: int
    sequence: int
    action: str
    at: datetime
    by: str
    reason: str


class SignatureRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A signature of a version: ``digest`` is of the bundle, whose blob it names.

    ``identity`` is whom the bundle was signed by, ``public_key`` the PEM of the key where the
    bundle does not hold it; the key is believed by its fingerprint, not because it stands here.
    """

    model: str
    number: int
    identity: str
    public_key: str
    digest: str
    size_bytes: int
    created_at: datetime
    created_by: str


class EvidenceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Something judged about a version: ``kind`` is ``gate`` now; ``body`` is the JSON of it."""

    id: int
    model: str
    number: int
    kind: str
    verdict: str
    created_at: datetime
    body: dict[str, object]


class EndpointState(msgspec.Struct, frozen=True, kw_only=True):
    """What an endpoint routes to: ``sequence`` grows by one with every change."""

    endpoint: str
    model: str
    live: int | None
    sequence: int


class EndpointChange(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an endpoint's append-only history.

    ``action`` is ``promote`` or ``rollback``; ``evidence`` is the id of the record it rests on,
    None when the version was never gated, and ``reason`` says why.
    """

    endpoint: str
    model: str
    sequence: int
    action: str
    before: int | None
    live: int
    at: datetime
    by: str
    reason: str
    evidence: int | None
    forced: bool = False
