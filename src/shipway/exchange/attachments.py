"""What is said about a version beside it: what was judged of it, and who signed it.

Neither is part of a version, whose manifest knows nothing of it, so each is an artefact of its
own whose subject is that of the version (OCI image-spec 1.1). One record is one artefact: the
same record is the same one wherever it is pushed from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

import msgspec

from shipway.domain.digests import canonical_json, digest_of
from shipway.errors import ModelFileError
from shipway.exchange.repository import MOST_MANIFEST_BYTES, Repository, Source
from shipway.registry.oci import IMAGE_TYPE, Descriptor, image_descriptor
from shipway.registry.records import EvidenceRecord
from shipway.security.statements import BUNDLE_TYPE
from shipway.security.trust import Signature

EVIDENCE_TYPE = "application/vnd.shipway.evidence.v1+json"
_PUBLIC_KEY = "dev.shipway.signature.public-key"
"""The PEM of the key of a signature: known by its fingerprint, so it need not be believed."""

_EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
_EMPTY = b"{}"
_MOST_ATTACHMENTS = 1_000
_MOST_BYTES = 64 << 20
"""All of them together: they are kept in memory."""


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is said: its bytes, of what type they are, and remarks beside them."""

    type: str
    content: bytes
    annotations: dict[str, str] = {}


class _Referrer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    schema_version: int = 2
    media_type: str = IMAGE_TYPE
    artifact_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    subject: Descriptor


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """A record of evidence without what differs from store to store: its id and the number."""

    kind: str
    verdict: str
    created_at: datetime
    body: dict[str, object]


def evidence_attachment(record: EvidenceRecord) -> Attachment:
    """*record* as it travels."""
    evidence = Evidence(
        kind=record.kind, verdict=record.verdict, created_at=record.created_at, body=record.body
    )
    return Attachment(type=EVIDENCE_TYPE, content=canonical_json(evidence))


def read_evidence(attachment: Attachment) -> Evidence:
    """The record that travelled as *attachment*.

    Raises :class:`~shipway.errors.ModelFileError` for what is none.
    """
    try:
        return msgspec.json.decode(attachment.content, type=Evidence)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ModelFileError(
            f"what is attached as evidence is none: {error}", next_step="push the version again"
        ) from error


def signature_attachment(signature: Signature) -> Attachment:
    """*signature* as it travels."""
    key = {_PUBLIC_KEY: signature.public_key} if signature.public_key else {}
    return Attachment(type=BUNDLE_TYPE, content=signature.bundle, annotations=key)


def signatures_in(attachments: Iterable[Attachment]) -> tuple[Signature, ...]:
    """The signatures among *attachments*; whether they are good is for the policy to say."""
    return tuple(
        Signature(one.content, one.annotations.get(_PUBLIC_KEY, ""))
        for one in attachments
        if one.type == BUNDLE_TYPE
    )


def attach(repository: Repository, subject: bytes, attachments: Sequence[Attachment]) -> None:
    """Put *attachments* beside the artefact whose manifest reads *subject*."""
    for attachment in attachments:
        layer = Descriptor(
            media_type=attachment.type,
            digest=digest_of(attachment.content),
            size=len(attachment.content),
            annotations=attachment.annotations,
        )
        referrer = _Referrer(
            artifact_type=attachment.type,
            config=Descriptor(media_type=_EMPTY_TYPE, digest=digest_of(_EMPTY), size=len(_EMPTY)),
            layers=(layer,),
            subject=image_descriptor(subject),
        )
        repository.put_blob(attachment.content)
        repository.put_blob(_EMPTY)
        repository.put_manifest(canonical_json(referrer))


def attached(repository: Source, digest: str) -> Iterator[Attachment]:
    """What is attached to the artefact *digest*, as far as Shipway may know its type.

    Raises :class:`~shipway.errors.ModelFileError` for far too many, or far too large ones.
    """
    referrers = repository.referrers(digest)
    if len(referrers) > _MOST_ATTACHMENTS:
        raise ModelFileError(
            f"{len(referrers):,} artefacts refer to {digest}",
            next_step="remove those that do not belong there",
        )
    room = _MOST_BYTES
    for one in referrers:
        try:
            known = msgspec.json.decode(repository.manifest(one.digest), type=_Referrer)
        except (msgspec.DecodeError, RecursionError):
            continue  # somebody else's, in a form of their own
        if known.subject.digest != digest or len(known.layers) != 1:
            continue
        layer = known.layers[0]
        if layer.size <= MOST_MANIFEST_BYTES:
            room -= layer.size
            if room < 0:
                raise ModelFileError(
                    f"what refers to {digest} has more than {_MOST_BYTES:,} bytes",
                    next_step="remove those that do not belong there",
                )
            yield Attachment(
                type=known.artifact_type,
                content=repository.blob(layer),
                annotations=layer.annotations,
            )
