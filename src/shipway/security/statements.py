"""What a signature of OpenSSF Model Signing v1.0 says: bytes in, a statement out, and back.

A bundle is Sigstore's JSON with a DSSE envelope, whose payload is an in-toto Statement v1 that
lists every file with its digest. Here its form alone is judged: who signed is the business of
``signatures``, and whether the files are those listed of ``matching``. What a signer says of
symbolic links and of paths to ignore is read and never followed.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from shipway.domain.digests import canonical_json
from shipway.errors import SignatureInvalid, SignatureMalformed

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"
ALWAYS_IGNORED = frozenset({".git", ".gitattributes", ".github", ".gitignore"})
"""What the format leaves out at the top of a model, whoever signs it."""

WHOLE = "."
"""The name of the one resource of a model that is a single file."""

LARGEST_BUNDLE_BYTES = 64 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_SHA256 = re.compile("sha256", re.ASCII)
_SHARDED = re.compile("sha256(-sharded-[0-9]+)?", re.ASCII)
_SHARD = re.compile(r"(.+):(0|[1-9][0-9]{0,18}):([1-9][0-9]{0,18})", re.ASCII | re.DOTALL)
_AGAIN = "sign the model anew: `shipway sign`, or with the tool that signed it"


@dataclass(frozen=True, slots=True, order=True)
class Resource:
    """One file, or with ``end`` the bytes of one from ``start`` up to it; ``digest`` is in hex."""

    name: str
    digest: str
    start: int = 0
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """What was signed: the model's name, for people alone, and its resources.

    ``ignored`` is what the signer left out beyond :data:`ALWAYS_IGNORED`.
    """

    subject: str
    resources: tuple[Resource, ...]
    ignored: tuple[str, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """The files that it answers for."""
        return frozenset(one.name for one in self.resources)


class DsseSignature(msgspec.Struct, frozen=True):
    """One signature; ``keyid`` may be left out, empty or null, and is not looked at."""

    sig: str
    keyid: str | None = None


class Envelope(msgspec.Struct, frozen=True, rename="camel"):
    """A payload in base64, and who signed it."""

    payload: str
    payload_type: str
    signatures: tuple[DsseSignature, ...]


class PublicKeyHint(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Which key signed: by the digest of its PEM, or (before 1.1) by that PEM in base64."""

    hint: str | None = None
    raw_bytes: str | None = None


class RawCertificate(msgspec.Struct, frozen=True, rename="camel"):
    """A certificate: DER in base64."""

    raw_bytes: str


class Chain(msgspec.Struct, frozen=True):
    """The signer's certificate, and those that lead from it to an authority."""

    certificates: tuple[RawCertificate, ...]


class Material(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a verifier is given to find the key by: one of the two."""

    public_key: PublicKeyHint | None = msgspec.field(default=None, name="publicKey")
    chain: Chain | None = msgspec.field(default=None, name="x509CertificateChain")
    log_entries: tuple[msgspec.Raw, ...] | None = msgspec.field(default=None, name="tlogEntries")


class Bundle(msgspec.Struct, frozen=True, rename="camel"):
    """A signature as it is written to a file."""

    media_type: str
    verification_material: Material
    dsse_envelope: Envelope


class _Resource(msgspec.Struct, frozen=True):
    name: str
    algorithm: str
    digest: str


class _Serialization(msgspec.Struct, frozen=True, omit_defaults=True):
    method: str
    hash_type: str
    allow_symlinks: bool
    ignore_paths: tuple[str, ...] | None = None


class _Predicate(msgspec.Struct, frozen=True):
    serialization: _Serialization
    resources: tuple[_Resource, ...]


class _Subject(msgspec.Struct, frozen=True):
    name: str
    digest: dict[str, str]


class _Statement(msgspec.Struct, frozen=True, rename={"type": "_type"}):
    type: str
    subject: tuple[_Subject, ...]
    predicate_type: str = msgspec.field(name="predicateType")
    predicate: msgspec.Raw = msgspec.field()


_bundle_decoder = msgspec.json.Decoder(Bundle)
_statement_decoder = msgspec.json.Decoder(_Statement)
_predicate_decoder = msgspec.json.Decoder(_Predicate)


def statement_bytes(subject: str, digests: Mapping[str, str]) -> bytes:
    """The payload for a model of files with *digests* (by path, in hex): equal for equal files."""
    names = sorted(digests)
    for name in names:
        if fault := name_fault(name):
            raise _malformed(f"{name!r} cannot be signed: {fault}")
    resources = tuple(_Resource(name, "sha256", digests[name]) for name in names)
    predicate = _Predicate(_Serialization("files", "sha256", allow_symlinks=False), resources)
    return canonical_json(
        _Statement(
            STATEMENT_TYPE,
            (_Subject(subject, {"sha256": _root(resources)}),),
            PREDICATE_TYPE,
            msgspec.Raw(canonical_json(predicate)),
        )
    )


def bundle_bytes(payload: bytes, signature: bytes, material: Material) -> bytes:
    """The bundle of *payload*, signed."""
    signatures = (DsseSignature(b64encode(signature).decode(), ""),)
    envelope = Envelope(b64encode(payload).decode(), PAYLOAD_TYPE, signatures)
    material = msgspec.structs.replace(material, log_entries=())
    return canonical_json(Bundle(BUNDLE_TYPE, material, envelope))


def signed_message(payload: bytes) -> bytes:
    """The bytes that a signature is over: DSSE's pre-authentication encoding of *payload*."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def read_bundle(content: bytes) -> tuple[Bundle, bytes, bytes]:
    """The bundle in *content*, its payload and its one signature.

    Raises :class:`~shipway.errors.SignatureMalformed`.
    """
    if len(content) > LARGEST_BUNDLE_BYTES:
        raise _malformed(f"it is of {len(content):,} bytes, over {LARGEST_BUNDLE_BYTES:,}")
    try:
        bundle = _bundle_decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(f"it is no Sigstore bundle: {error}") from error
    material, envelope = bundle.verification_material, bundle.dsse_envelope
    if bundle.media_type != BUNDLE_TYPE:
        raise _malformed(f"its media type is {bundle.media_type!r}, not {BUNDLE_TYPE}")
    if envelope.payload_type != PAYLOAD_TYPE:
        raise _malformed(f"its payload is of {envelope.payload_type!r}, not {PAYLOAD_TYPE}")
    if len(envelope.signatures) != 1:
        raise _malformed(f"it has {len(envelope.signatures)} signatures, not one")
    if (material.public_key is None) == (material.chain is None):
        raise _malformed("it names not one key, or one chain of certificates, to verify it with")
    return bundle, decoded(envelope.payload), decoded(envelope.signatures[0].sig)


def decoded(text: str) -> bytes:
    """The bytes of base64 *text*; raises SignatureMalformed."""
    try:
        return b64decode(text, validate=True)
    except (NotBase64, ValueError) as error:
        raise _malformed(f"what should be base64 is not: {error}") from error


def read_statement(payload: bytes) -> Statement:
    """The statement in *payload*, whose signature is good.

    Raises :class:`~shipway.errors.SignatureMalformed` for another form, and
    :class:`~shipway.errors.SignatureInvalid` where the digest of the whole is not of its parts.
    """
    try:
        told = _statement_decoder.decode(payload)
        if told.type != STATEMENT_TYPE:
            raise _malformed(f"its payload is of type {told.type!r}, not {STATEMENT_TYPE}")
        if told.predicate_type != PREDICATE_TYPE:
            raise _malformed(f"it states {told.predicate_type!r}, not {PREDICATE_TYPE}")
        predicate = _predicate_decoder.decode(told.predicate)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(f"its payload is no statement about a model: {error}") from error
    if len(told.subject) != 1:
        raise _malformed(f"it has {len(told.subject)} subjects, not one")
    serialization = predicate.serialization
    resources = _read_resources(serialization, predicate.resources)
    subject, root = told.subject[0], _root(predicate.resources)
    if subject.digest.get("sha256") != root:
        raise SignatureInvalid(
            f"the signature contradicts itself: it says {subject.digest.get('sha256')!r} of all"
            f" files together, and those that it lists give {root}",
            next_step=_AGAIN,
        )
    ignored = set(serialization.ignore_paths or ()) - ALWAYS_IGNORED
    return Statement(subject.name, resources, tuple(sorted(ignored)))


def name_fault(name: str) -> str:
    """Why *name* is no name of a file within a model; "" for one that is."""
    parts = name.split("/")
    faults = {
        "it is empty": not name,
        "it is absolute": name.startswith("/"),
        "it has an empty part, '.' or '..' in it": bool({"", ".", ".."} & set(parts)),
        "it has a backslash or a NUL in it": "\\" in name or "\0" in name,
        "it is not text in UTF-8": any("\ud800" <= sign <= "\udfff" for sign in name),
    }
    return next((fault for fault, found in faults.items() if found), "")


def _read_resources(
    serialization: _Serialization, listed: Sequence[_Resource]
) -> tuple[Resource, ...]:
    if serialization.method not in ("files", "shards"):
        raise _malformed(f"its method {serialization.method!r} is neither files nor shards")
    shards = serialization.method == "shards"
    algorithm = _SHARDED if shards else _SHA256
    if not all(algorithm.fullmatch(told) for told in _algorithms(serialization, listed)):
        raise _malformed("its digests are not all SHA-256")
    resources = tuple(_shard(one) if shards else Resource(one.name, one.digest) for one in listed)
    if not resources:
        raise _malformed("it lists no file")
    for one in resources:
        fault = name_fault(one.name) if one.name != WHOLE or len(resources) > 1 else ""
        if fault:
            raise _malformed(f"it lists {one.name!r}, which is not allowed: {fault}")
        if not _DIGEST.fullmatch(one.digest):
            raise _malformed(f"what it gives as the digest of {one.name!r} is none")
    if len({(one.name, one.start) for one in resources}) != len(resources):
        raise _malformed("it lists a file twice")
    return resources


def _algorithms(serialization: _Serialization, listed: Sequence[_Resource]) -> Iterator[str]:
    yield serialization.hash_type
    yield from (one.algorithm for one in listed)


def _shard(listed: _Resource) -> Resource:
    match = _SHARD.fullmatch(listed.name)
    if match is None or int(match[2]) >= int(match[3]):
        raise _malformed(f"{listed.name!r} is no part of a file, written as path:start:end")
    return Resource(match[1], listed.digest, int(match[2]), int(match[3]))


def _root(resources: Iterable[_Resource]) -> str:
    """SHA-256 over the digests in their order. It omits the names, so they are compared alone."""
    try:
        return hashlib.sha256(b"".join(bytes.fromhex(one.digest) for one in resources)).hexdigest()
    except ValueError as error:
        raise _malformed(f"a digest in it is no hex number: {error}") from error


def _malformed(why: str) -> SignatureMalformed:
    return SignatureMalformed(f"the signature cannot be used: {why}", next_step=_AGAIN)
