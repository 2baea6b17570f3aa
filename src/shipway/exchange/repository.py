"""Where artefacts are kept outside of the store: a repository of a registry, or a folder.

One conformance class in ``tests/conformance`` says what every implementation keeps.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from shipway.registry.oci import Descriptor

MOST_MANIFEST_BYTES = 4 << 20
"""The size from which on registries refuse a manifest (OCI distribution-spec 1.1)."""


class About(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a manifest says about itself to whoever lists it."""

    artifact_type: str = ""
    subject: Descriptor | None = None


class Source(Protocol):
    """Blobs under their digest, manifests under their digest and perhaps a tag: to be read."""

    def blob(self, descriptor: Descriptor) -> bytes:
        """The content of *descriptor*, its size and its digest verified.

        Raises :class:`~shipway.errors.DigestMismatch`, and NotFoundError if it is not there.
        """

    def manifest(self, key: str) -> bytes:
        """The manifest under *key*, a tag or a digest; by digest it is verified.

        Raises NotFoundError, and TooLarge beyond :data:`MOST_MANIFEST_BYTES`.
        """

    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        """The manifests whose subject is *digest*; none is no error."""


class Repository(Source, Protocol):
    """The same, to be written too."""

    def put_blob(self, content: bytes) -> bool:
        """Keep *content*; False if it was there already, and nothing was sent."""

    def put_manifest(self, content: bytes, *, tag: str = "") -> None:
        """Keep a manifest whose blobs are there, under *tag* as well; one replaces what it was.

        A manifest with a subject is listed among the referrers of that.
        """
