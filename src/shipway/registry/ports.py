"""What the registry needs of a place to keep bytes and of a place to keep records.

One conformance class a port in ``tests/conformance`` says what every implementation keeps:
``local_blobs`` and ``object_blobs``, and ``sql`` over SQLite and over PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import BinaryIO, Protocol

from shipway.registry.oci import Descriptor
from shipway.registry.records import (
    EndpointChange,
    EvidenceRecord,
    Manifest,
    Seal,
    SignatureRecord,
    Version,
    VersionChange,
    VersionSummary,
)
from shipway.security.audit import Head, Noted
from shipway.security.keys import KeyRecord


class BlobsWereUnneeded(Exception):
    """Blobs of a version were noted as unneeded: put them again, then append it again.

    They are no longer noted as such, but may have been removed since they were put.
    """


class BlobStore(Protocol):
    """Bytes under their SHA-256. Nothing here can be changed, only added and removed."""

    def put(self, contents: Sequence[bytes]) -> tuple[str, ...]:
        """Keep each of *contents* and give their digests, once all of them are durable.

        A damaged copy of the same content is replaced. Raises StoreError, and then leaves
        nothing half-written, when there is no room or no right to write.
        """

    def open(self, digest: str) -> BinaryIO:
        """The bytes kept under *digest*, not yet verified: the reader hashes as it reads.

        Raises IntegrityError if there are none, or something that is not a regular file.
        """

    def has(self, digest: str) -> bool:
        """Whether something is kept under *digest*."""

    def digests(self) -> Iterator[str]:
        """The digest of everything that is kept, in no order."""

    def remove(self, digest: str) -> int:
        """Forget what is kept under *digest*: the bytes freed, 0 if there is nothing.

        Whoever removes keeps others from appending, so it is done in seconds or raises.
        """

    def write_index(
        self, edition: Callable[[], str], listing: Callable[[], Sequence[Descriptor]]
    ) -> None:
        """Make the view for other tools show *listing*, unless it is of this *edition* already.

        Both are asked for anew once nobody else writes, the edition first.
        """


class VersionLog(Protocol):
    """Versions, each model's numbered without a gap, most from 1. A version never changes.

    A deleted one is left out of every answer here; its number is not given again.
    """

    def append(
        self,
        manifest: Manifest,
        *,
        content: bytes,
        digest: str,
        image: Descriptor,
        by: str,
        now: datetime,
        first: int = 1,
        seals: Sequence[Seal] = (),
    ) -> Version:
        """The next version of the model, or the one there is if *digest* is already published.

        *first* is the number of the model's first version here. *seals* are of every file, or of
        none, and take the place of those that the version has. A deleted version with *digest*
        is brought back. Raises :class:`BlobsWereUnneeded`, having added nothing.
        """

    def get(self, model: str, number: int) -> Version | None:
        """Version *number* of *model*, if there is one."""

    def list(self, model: str) -> tuple[Version, ...]:
        """All versions of *model*, by number."""

    def summaries(self, model: str) -> tuple[VersionSummary, ...]:
        """What a list shows of the versions of *model*, by number."""

    def models(self) -> dict[str, int]:
        """The newest number of each model, by name."""

    def images(self) -> tuple[Descriptor, ...]:
        """The image of every version that is not encrypted, by model and number."""


class SignatureLog(Protocol):
    """Who signed which version, for ever."""

    def append(self, record: SignatureRecord, *, image: Descriptor) -> SignatureRecord:
        """Keep *record*, or give it as it was kept before; its ``digest`` tells it from others.

        *image* is the manifest by which tools for images find the signature.
        """

    def list(self, model: str, number: int) -> tuple[SignatureRecord, ...]:
        """The signatures of one version, oldest first."""

    def images(self) -> tuple[Descriptor, ...]:
        """The image of every signature of those, by model, number and digest."""


class SealLog(Protocol):
    """Which versions are encrypted, and the wrapped keys of their files."""

    def find(self, model: str, digest: str) -> tuple[Seal, ...]:
        """Those of the version with *digest*, by path, deleted or not; none if it is not sealed."""

    def list(self, model: str, number: int) -> tuple[Seal, ...]:
        """Those of one version, by path."""

    def rewrap(self, model: str, number: int, seals: Sequence[Seal], now: datetime) -> int:
        """Keep the ``key`` and ``recipients`` of *seals* whose ``digest`` is unchanged; how many.

        One that was sealed anew meanwhile keeps what it has.
        """


class DeletionLog(Protocol):
    """Which versions were deleted, and which of them were brought back, for ever."""

    def delete(self, change: VersionChange) -> VersionChange | None:
        """Delete a version that is there and never was live; None if that is not so.

        Whatever ``sequence`` *change* has, it is kept, and given back, under the next.
        """

    def list(self, model: str) -> tuple[VersionChange, ...]:
        """Every change of the versions of *model*, by number and sequence."""


class BlobLedger(Protocol):
    """Since when which blobs are needed by no record; makes it safe to remove them.

    A blob is removed only while it is noted here and nobody can append. Appending a version takes
    its blobs off the list, and has its publisher put them again if any was on it. So whichever of
    the two comes first, a version has its blobs.
    """

    def note(
        self, kept: Iterable[str], now: datetime, *, dry_run: bool = False
    ) -> dict[str, datetime]:
        """Note which of the *kept* blobs no record mentions; those, and since when.

        One that is noted already keeps its time; one that is needed again is off the list. A
        *dry_run* gives the same and notes nothing.
        """

    def sweep(self, digests: Sequence[str], remove: Callable[[str], None]) -> None:
        """Call *remove* for those of *digests* that are noted still, while nobody can append."""


class EvidenceLog(Protocol):
    """What was judged about versions, for ever."""

    def append(
        self,
        *,
        model: str,
        number: int,
        kind: str,
        verdict: str,
        body: dict[str, object],
        now: datetime,
    ) -> EvidenceRecord:
        """Keep one record under the next id."""

    def get(self, record_id: int) -> EvidenceRecord | None:
        """The record with *record_id*, if there is one."""

    def list(self, model: str, number: int) -> tuple[EvidenceRecord, ...]:
        """What was judged about one version, oldest first."""

    def verdicts(self, model: str, kind: str) -> dict[int, str]:
        """The newest verdict of one *kind* about each version of *model* that has any."""


class EndpointLog(Protocol):
    """What each endpoint routed to, change by change, for ever."""

    def append(self, change: EndpointChange) -> bool:
        """Add *change* if its sequence is one more than the newest (1 for the first).

        A deleted version is never made live. Gives whether it was added; of changes with one
        sequence exactly one ever is.
        """

    def last(self, endpoint: str) -> EndpointChange | None:
        """The newest change of *endpoint*, if it has any."""

    def history(self, endpoint: str) -> tuple[EndpointChange, ...]:
        """Every change of *endpoint*, oldest first."""

    def names(self) -> tuple[str, ...]:
        """The endpoints that there are, sorted."""


class KeyLog(Protocol):
    """Keys by their id. A key is added and revoked, never removed."""

    def append(self, record: KeyRecord) -> None:
        """Keep *record*."""

    def revoke(self, key_id: str, now: datetime) -> KeyRecord | None:
        """The key as revoked, from *now* or from an earlier time; None if there is none."""

    def list(self) -> tuple[KeyRecord, ...]:
        """All keys, oldest first."""


WriteLines = Callable[[Head | None, Sequence[Noted]], Head | None]
"""Writes lines for what was noted, after the log's newest as the records know it: the new newest.

None says that there was nothing to write.
"""


class AuditRecords(Protocol):
    """What the audit log needs of the records: each change noted with it, and the log's end.

    Every change of this store is noted in the transaction that makes it.
    """

    def settle(self, chain: str, write: WriteLines) -> None:
        """Have *write* write what was noted to the log *chain*, then forget it and keep the end.

        One at a time, whoever asks. What *write* raises leaves everything noted.
        """

    def heads(self) -> tuple[Head, ...]:
        """The newest line of every log, by its name."""


class MetadataStore(Protocol):
    """The records of one registry: what it acknowledges, a killed process or machine keeps."""

    @property
    def versions(self) -> VersionLog:
        """The versions."""

    @property
    def signatures(self) -> SignatureLog:
        """Who signed them."""

    @property
    def seals(self) -> SealLog:
        """How they are encrypted."""

    @property
    def deletions(self) -> DeletionLog:
        """Which versions were deleted."""

    @property
    def ledger(self) -> BlobLedger:
        """Which blobs no record needs."""

    @property
    def evidence(self) -> EvidenceLog:
        """What was judged."""

    @property
    def endpoints(self) -> EndpointLog:
        """What each endpoint routed to."""

    @property
    def keys(self) -> KeyLog:
        """The API keys."""

    @property
    def audit(self) -> AuditRecords:
        """What is noted for the audit log."""

    def edition(self) -> str:
        """What tells one state of what an index lists from every other; cheap."""

    def revision(self) -> int:
        """A number that grows with every change of an endpoint or a key; cheap to ask often."""

    def dump(self) -> Iterator[bytes]:
        """Every record, as lines of one moment that ``sql.dump.load`` takes in elsewhere."""

    def close(self) -> None:
        """Give back connections and files."""
