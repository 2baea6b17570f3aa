"""Versions as OCI image manifests, so that tools for images can read and copy the store.

Pure: records in, bytes out, the same bytes for the same version. The config of an image is our
manifest as it was digested; its layers are the files, named by the title annotation (OCI
image-spec 1.1, "Guidelines for Artifact Usage").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

import msgspec

from shipway.domain.digests import canonical_json, digest_of
from shipway.domain.times import iso
from shipway.errors import IntegrityError
from shipway.registry.records import Manifest

IMAGE_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
VERSION_TYPE = "application/vnd.shipway.version.v1+json"
LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
NOTHING = b"{}"
"""The content of the config of a manifest that needs none (OCI image-spec 1.1)."""

_NOTHING_TYPE = "application/vnd.oci.empty.v1+json"
_TITLE = "org.opencontainers.image.title"
_REF_NAME = "org.opencontainers.image.ref.name"
_EDITION = "org.shipway.edition"
EDITION_BYTES = 256
"""Enough of the start of an index to know its edition by."""

_CREATED = "org.opencontainers.image.created"
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})", re.ASCII)


class Descriptor(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Content by type, digest and size, with remarks."""

    media_type: str
    digest: str
    size: int
    artifact_type: str = ""
    annotations: dict[str, str] = {}


class Image(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An image manifest, as far as Shipway writes one."""

    schema_version: int = 2
    media_type: str = IMAGE_TYPE
    artifact_type: str = VERSION_TYPE
    config: Descriptor
    layers: tuple[Descriptor, ...]


class Referrer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The image manifest of something said about another image, its ``subject``."""

    schema_version: int = 2
    media_type: str = IMAGE_TYPE
    artifact_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    subject: Descriptor


class Index(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The list of the images in a layout."""

    schema_version: int = 2
    media_type: str = INDEX_TYPE
    manifests: tuple[Descriptor, ...]
    annotations: dict[str, str]


def hex_of(digest: str) -> str:
    """The 64 hex digits of *digest*; IntegrityError if it is no SHA-256 digest."""
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise IntegrityError(
            f"{digest!r} is not a digest of the form sha256:<64 hex digits>",
            next_step="the store was changed by hand: restore it from a backup",
        )
    return match[1]


def image_bytes(manifest: Manifest, content: bytes) -> bytes:
    """The image manifest of the version whose own manifest reads *content*."""
    config = Descriptor(media_type=VERSION_TYPE, digest=digest_of(content), size=len(content))
    layers = tuple(
        Descriptor(
            media_type=entry.media_type,
            digest=entry.digest,
            size=entry.size_bytes,
            annotations={_TITLE: entry.path},
        )
        for entry in manifest.files
    )
    return canonical_json(Image(config=config, layers=layers))


def referrer_bytes(subject: Descriptor, layer: Descriptor) -> bytes:
    """The image manifest by which *layer* is found from the image *subject* that it is about."""
    nothing = Descriptor(media_type=_NOTHING_TYPE, digest=digest_of(NOTHING), size=len(NOTHING))
    return canonical_json(
        Referrer(
            artifact_type=layer.media_type,
            config=nothing,
            layers=(layer,),
            subject=msgspec.structs.replace(subject, annotations={}),
        )
    )


def image_descriptor(content: bytes) -> Descriptor:
    """The descriptor of the image manifest that reads *content*, without annotations."""
    return Descriptor(media_type=IMAGE_TYPE, digest=digest_of(content), size=len(content))


def annotated(image: Descriptor, *, model: str, number: int, created_at: datetime) -> Descriptor:
    """*image* as the index lists it: findable as ``<model>-<number>``, and dated."""
    annotations = {_REF_NAME: f"{model}-{number}", _CREATED: iso(created_at)}
    return msgspec.structs.replace(image, annotations=annotations)


def index_bytes(images: Sequence[Descriptor], edition: str) -> bytes:
    """``index.json`` listing *images* in their order; it begins with its *edition*."""
    return canonical_json(Index(manifests=tuple(images), annotations={_EDITION: edition}))


def is_edition(start: bytes, edition: str) -> bool:
    """Whether an index whose first :data:`EDITION_BYTES` are *start* is of *edition*."""
    return start.startswith(b'{"annotations":' + canonical_json({_EDITION: edition}) + b",")
