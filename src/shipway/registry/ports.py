"""What the registry needs of a place to keep bytes and of a place to keep records.

One conformance class a port in ``tests/conformance`` says what every implementation keeps:
``local_blobs`` and ``sql`` do today, object storage and PostgreSQL can tomorrow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import BinaryIO, Protocol

from shipway.registry.oci import Descriptor
from shipway.registry.records import (
    EndpointChange,
    EvidenceRecord,
    Manifest,
    SignatureRecord,
    Version,
)
from shipway.security.keys import KeyRecord


class BlobStore(Protocol):
    """Bytes under their SHA-256. Nothing here can be changed, only added."""

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

    def write_index(self, listing: Callable[[], Sequence[Descriptor]]) -> None:
        """Make the view for other tools show *listing*, asked for anew once nobody else writes."""


class VersionLog(Protocol):
    """Versions, each model's numbered without a gap, most from 1. A version never changes."""

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
    ) -> Version:
        """The next version of the model, or the one there is if *digest* is already published.

        *first* is the number of the model's first version here.
        """

    def get(self, model: str, number: int) -> Version | None:
        """Version *number* of *model*, if there is one."""

    def list(self, model: str) -> tuple[Version, ...]:
        """All versions of *model*, by number."""

    def models(self) -> dict[str, int]:
        """The newest number of each model, by name."""

    def images(self) -> tuple[Descriptor, ...]:
        """The image of every version, by model and number."""


class SignatureLog(Protocol):
    """Who signed which version, for ever."""

    def append(self, record: SignatureRecord, *, image: Descriptor) -> SignatureRecord:
        """Keep *record*, or give it as it was kept before; its ``digest`` tells it from others.

        *image* is the manifest by which tools for images find the signature.
        """

    def list(self, model: str, number: int) -> tuple[SignatureRecord, ...]:
        """The signatures of one version, oldest first."""

    def images(self) -> tuple[Descriptor, ...]:
        """The image of every signature, by model, number and digest."""


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


class EndpointLog(Protocol):
    """What each endpoint routed to, change by change, for ever."""

    def append(self, change: EndpointChange) -> bool:
        """Add *change* if its sequence is one more than the newest (1 for the first).

        Gives whether it was added; of changes with one sequence exactly one ever is.
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


class MetadataStore(Protocol):
    """The records of one registry: what it acknowledges, a killed process or machine keeps."""

    @property
    def versions(self) -> VersionLog:
        """The versions."""

    @property
    def signatures(self) -> SignatureLog:
        """Who signed them."""

    @property
    def evidence(self) -> EvidenceLog:
        """What was judged."""

    @property
    def endpoints(self) -> EndpointLog:
        """What each endpoint routed to."""

    @property
    def keys(self) -> KeyLog:
        """The API keys."""

    def revision(self) -> int:
        """A number that grows with every change of an endpoint or a key; cheap to ask often."""

    def close(self) -> None:
        """Give back connections and files."""
