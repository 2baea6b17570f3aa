"""Who signed a version, and whether they are believed.

A signature is additional to a version: neither its manifest nor its digest knows of it. It covers
the manifest as one file more, so that nothing that makes a version what it is can be changed
under it. For tools for images it is a referrer of the version's image (OCI image-spec 1.1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial

from shipway.domain.digests import canonical_json, digest_of
from shipway.errors import NotBelieved, StoreUnavailable
from shipway.registry.entries import MANIFEST_NAME
from shipway.registry.kept_signatures import KeptSignatures
from shipway.registry.oci import (
    NOTHING,
    Descriptor,
    hex_of,
    image_bytes,
    image_descriptor,
    referrer_bytes,
)
from shipway.registry.placing import put_and_append
from shipway.registry.ports import BlobStore, MetadataStore
from shipway.registry.records import SignatureRecord, Version
from shipway.security.matching import check_files
from shipway.security.signatures import Signed, Signer, read_signature
from shipway.security.statements import BUNDLE_TYPE, Resource
from shipway.security.trust import Believed, Signature, TrustMode, TrustPolicy, judge


class Signing:
    """The signatures in *store* and *blobs*, judged by *trust*."""

    def __init__(
        self,
        store: MetadataStore,
        blobs: BlobStore,
        kept: KeptSignatures,
        trust: TrustPolicy,
        *,
        refresh_index: Callable[[], None],
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._kept = kept
        self.trust = trust
        self._refresh_index = refresh_index

    def believe(self, version: Version) -> Believed:
        """By whom the policy believes *version*, from its records alone: its files are not read.

        While the store is away, the signatures count that it had when it was last asked. Raises
        :class:`~shipway.errors.NotBelieved`.
        """
        return _judged(self.trust, version, lambda: self._signatures(version))

    def _signatures(self, version: Version) -> Sequence[Signature]:
        try:
            found = [self.stored(record) for record in self.records(version)]
        except StoreUnavailable:
            kept = self._kept.read(version)
            if not kept and self.trust.mode is TrustMode.REQUIRE:
                raise
            return kept
        self._kept.keep(version, found)
        return found

    def sign(self, version: Version, signer: Signer, *, by: str, now: datetime) -> SignatureRecord:
        """Sign *version*, its files and its manifest, unless *signer* has and it is still good."""
        for known in self.records(version):
            if known.identity == signer.identity and self._is_good(version, known):
                return known
        bundle = signer.sign(version.model, signed_digests(version))
        return self.add(version, Signature(bundle, signer.key.public.pem), by=by, now=now)

    def add(
        self, version: Version, signature: Signature, *, by: str, now: datetime
    ) -> SignatureRecord:
        """Keep a *signature* of *version*, wherever it was made, if it is good.

        Raises :class:`~shipway.errors.NotBelieved` for one that is not, or of something else.
        """
        signed = _read(version, signature)
        image = _referrer(version, signature.bundle)
        record = SignatureRecord(
            model=version.model,
            number=version.number,
            identity=signed.identity,
            public_key=signature.public_key,
            digest=digest_of(signature.bundle),
            size_bytes=len(signature.bundle),
            created_at=now,
            created_by=by,
        )
        append = partial(self._store.signatures.append, record, image=image_descriptor(image))
        kept = put_and_append(self._blobs, lambda: ([signature.bundle, NOTHING, image], append))
        self._refresh_index()
        return kept

    def records(self, version: Version) -> tuple[SignatureRecord, ...]:
        """Who signed *version*, oldest first; whether they are believed is another question."""
        return self._store.signatures.list(version.model, version.number)

    def stored(self, record: SignatureRecord) -> Signature:
        """The signature of *record*; raises IntegrityError when its blob is gone.

        It needs no digest of its own: what was changed in it is no signature any more.
        """
        with self._blobs.open(record.digest) as blob:
            return Signature(blob.read(), record.public_key)

    def _is_good(self, version: Version, record: SignatureRecord) -> bool:
        if not self._blobs.has(record.digest):
            return False
        try:
            _read(version, self.stored(record))
        except NotBelieved:
            return False
        return True


class KeptSigning:
    """The same over what was *kept* alone, for a process that reaches no store."""

    def __init__(self, kept: KeptSignatures, trust: TrustPolicy) -> None:
        self._kept = kept
        self.trust = trust

    def believe(self, version: Version) -> Believed:
        """By whom the policy believes *version*; raises :class:`~shipway.errors.NotBelieved`."""
        return _judged(self.trust, version, lambda: self._kept.read(version))


def signed_digests(version: Version) -> Mapping[str, str]:
    """What a signature of *version* lists: its files and its manifest, by SHA-256 in hex."""
    files = {entry.path: hex_of(entry.digest) for entry in version.manifest.files}
    return {**files, MANIFEST_NAME: hex_of(version.digest)}


def signed_resources(version: Version) -> tuple[Resource, ...]:
    """The same as the policy judges it."""
    return tuple(Resource(name, digest) for name, digest in signed_digests(version).items())


def listed_images(store: MetadataStore) -> tuple[Descriptor, ...]:
    """What the OCI layout of *store* lists: its versions, then their signatures."""
    return (*store.versions.images(), *store.signatures.images())


def _judged(
    trust: TrustPolicy, version: Version, find_signatures: Callable[[], Sequence[Signature]]
) -> Believed:
    resources = signed_resources(version)
    return judge(trust, version.model, resources, find_signatures, what=version.ref)


def _read(version: Version, signature: Signature) -> Signed:
    signed = read_signature(signature.bundle, signature.public_key)
    check_files(signed.statement, signed_resources(version), what=version.ref)
    return signed


def _referrer(version: Version, bundle: bytes) -> bytes:
    """The image manifest that leads from the image of *version* to its signature *bundle*."""
    subject = image_descriptor(image_bytes(version.manifest, canonical_json(version.manifest)))
    layer = Descriptor(media_type=BUNDLE_TYPE, digest=digest_of(bundle), size=len(bundle))
    return referrer_bytes(subject, layer)
