"""One signed version in the two forms in which it is verified, and what can be changed of each.

As a *folder* it lies outside of any store, with its signature; as a *cache* it is what a worker
opens while no store answers. A change is made to what lies on the disk, to what was signed, or to
whom the policy believes; after each the version must be refused.
"""

from __future__ import annotations

import json
import random
import shutil
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from tests.model_signers import Chain, new_chain, new_key, write_files
from tests.soak.mutations import FILES, MUTATIONS
from tests.stores import manifest

from shipway.domain.digests import canonical_json, digest_of
from shipway.registry.current import CACHE_FOLDER, cached_versions
from shipway.registry.entries import MANIFEST_NAME
from shipway.registry.records import Manifest, Version
from shipway.registry.signing import signed_digests
from shipway.registry.trees import resources_of
from shipway.security.signatures import Signer
from shipway.security.statements import Statement, statement_bytes
from shipway.security.trust import Signature, TrustMode, TrustPolicy, judge

MODEL = "flight-delay"
NOTHING = Statement("", ())
_AT = datetime(2026, 1, 2, tzinfo=UTC)
Document = dict[str, Any]


@dataclass(frozen=True)
class Parties:
    """Who signs and is believed, by a key and by a certificate, and somebody who is not."""

    keys: Mapping[str, Signer]
    chain: Chain
    stranger: Signer

    @property
    def policy(self) -> TrustPolicy:
        """The one that believes those who sign."""
        return TrustPolicy(
            mode=TrustMode.REQUIRE,
            identities=tuple((f"{MODEL[:-1]}?", one.identity) for one in self.keys.values()),
            authorities=self.chain.root.decode(),
        )


def new_parties() -> Parties:
    """Parties that nobody has met before."""
    chain = new_chain()
    return Parties({"key": Signer(new_key()[0]), "certificate": chain.signer}, chain,
                   Signer(new_key()[0]))  # fmt: skip


@dataclass(frozen=True)
class Signed:
    """A version, its one signature, the policy it is judged by, and the folder that it lies in."""

    parties: Parties
    signer: Signer
    version: Version
    signature: Signature
    policy: TrustPolicy
    model: Path = field(default=Path())

    def laid(self, home: Path) -> Signed:
        """The same, lying in *home*."""
        raise NotImplementedError

    def believed(self) -> None:
        """Raise unless all of it is what somebody signed whom the policy names."""
        raise NotImplementedError


class Folder(Signed):
    """It lies outside of any store, with its manifest beside the files."""

    def laid(self, home: Path) -> Signed:
        """See the class."""
        write_files(home, {**FILES, MANIFEST_NAME: canonical_json(self.version.manifest)})
        return replace(self, model=home)

    def believed(self) -> None:
        """See the class."""
        found = list(resources_of(self.model, NOTHING))
        assert judge(self.policy, self.version.model, found, lambda: [self.signature],
                     what="the folder").named  # fmt: skip


class Cache(Signed):
    """It lies where a worker finds it that reaches no store."""

    def laid(self, home: Path) -> Signed:
        """See the class."""
        model = home / CACHE_FOLDER / self.version.digest.removeprefix("sha256:")
        write_files(model, FILES)
        return replace(self, model=model)

    def believed(self) -> None:
        """See the class."""
        kept = self.model.parent / f"{self.version.digest.removeprefix('sha256:')}.signatures"
        kept.write_bytes(msgspec.json.encode((self.signature,)))
        cached = cached_versions(self.model.parents[1], self.policy)
        opened = cached.open_files(self.version)
        assert {path: file.read_bytes() for path, file in opened.items()} == FILES


FORMS: tuple[type[Signed], ...] = (Folder, Cache)


def new_signed(source: random.Random, parties: Parties) -> Signed:
    """The version in one of its forms, signed by one of those who may."""
    made = manifest(FILES, model=MODEL)
    version = Version(
        model=MODEL,
        number=1,
        digest=digest_of(canonical_json(made)),
        created_at=_AT,
        created_by="anna",
        manifest=made,
    )
    signer = parties.keys[source.choice(sorted(parties.keys))]
    bundle = signer.sign(MODEL, signed_digests(version))
    signature = Signature(bundle, signer.key.public.pem)
    return source.choice(FORMS)(parties, signer, version, signature, parties.policy)


def of_files(source: random.Random, signed: Signed) -> Signed:
    """A byte, a name, a link, a file more or less: one of the changes to a folder."""
    source.choice(MUTATIONS)(source, signed.model)
    return signed


def of_manifest(source: random.Random, signed: Signed) -> Signed:
    """What makes a version is another, and whatever names it by its digest follows."""
    document: Document = json.loads(canonical_json(signed.version.manifest))
    changes: list[Callable[[], object]] = [
        lambda: document.update(threshold=source.random() * 0.4),
        lambda: document["metrics"].update(roc_auc=0.99),
        lambda: document["lineage"].update(command=["python", "evil.py"]),
        lambda: document["spec"]["inputs"][0].update(name="other"),
        lambda: document["spec"].update(classes=[1, 0]),
        lambda: document.update(notes=["believe me"]),
    ]
    source.choice(changes)()
    changed = msgspec.convert(document, Manifest)
    content = canonical_json(changed)
    version = msgspec.structs.replace(signed.version, manifest=changed, digest=digest_of(content))
    if isinstance(signed, Folder):
        (signed.model / MANIFEST_NAME).write_bytes(content)
        return replace(signed, version=version)
    target = signed.model.with_name(version.digest.removeprefix("sha256:"))
    signed.model.rename(target)
    return replace(signed, version=version, model=target)


def of_signature(source: random.Random, signed: Signed) -> Signed:
    """A bit of the signature itself."""

    def change(envelope: Document) -> None:
        (one,) = envelope["signatures"]
        one["sig"] = _flipped(source, one["sig"])

    return _enveloped(signed, change)


def of_payload(source: random.Random, signed: Signed) -> Signed:
    """A bit of what was signed."""

    def change(envelope: Document) -> None:
        envelope["payload"] = _flipped(source, envelope["payload"])

    return _enveloped(signed, change)


def of_statement(source: random.Random, signed: Signed) -> Signed:
    """Another statement, in its right form, below a signature that is of the one before."""
    digests = dict(signed_digests(signed.version))
    name = source.choice(sorted(digests))
    match source.randrange(3):
        case 0:
            del digests[name]
        case 1:
            digests[f"{name}x"] = digests.pop(name)
        case _:
            digests[name] = source.randbytes(32).hex()
    payload = statement_bytes(MODEL, digests)
    return _enveloped(signed, lambda one: one.update(payload=b64encode(payload).decode()))


def of_envelope(source: random.Random, signed: Signed) -> Signed:
    """What stands around the signature: its kind, how many there are, whose it is said to be."""
    document: Document = json.loads(signed.signature.bundle)
    envelope, material = document["dsseEnvelope"], document["verificationMaterial"]
    other = json.loads(signed.parties.stranger.sign(MODEL, signed_digests(signed.version)))
    changes: list[Callable[[], object]] = [
        lambda: envelope.update(payloadType="application/json"),
        lambda: envelope.update(signatures=[]),
        lambda: envelope.update(signatures=envelope["signatures"] * 2),
        lambda: envelope.update(signatures=other["dsseEnvelope"]["signatures"]),
        lambda: document.update(mediaType="application/vnd.dev.sigstore.bundle.v0.1+json"),
        lambda: document.update(verificationMaterial={}),
        lambda: material.update(publicKey={}, x509CertificateChain=None),
        lambda: material.update(publicKey={"hint": "0" * 64}, x509CertificateChain=None),
        lambda: document.pop(source.choice(sorted(document))),
        lambda: envelope.pop(source.choice(sorted(envelope))),
    ]
    source.choice(changes)()
    return _bundled(signed, json.dumps(document).encode())


def of_bundle(source: random.Random, signed: Signed) -> Signed:
    """The bundle cut off, emptied, or in the place of another version's."""
    content = signed.signature.bundle
    others = dict(signed_digests(signed.version)) | {"model.onnx": source.randbytes(32).hex()}
    match source.randrange(3):
        case 0:
            return _bundled(signed, content[: source.randrange(len(content))])
        case 1:
            return _bundled(signed, source.choice([b"", b"{}", b"null", b"[]"]))
        case _:
            return _bundled(signed, signed.signer.sign(MODEL, others))


def of_key(source: random.Random, signed: Signed) -> Signed:
    """Signed by somebody else, or with the public key of somebody else beside it."""
    stranger = signed.parties.stranger
    if signed.signer.chain or source.randrange(2):
        bundle = stranger.sign(MODEL, signed_digests(signed.version))
        return replace(signed, signature=Signature(bundle, stranger.key.public.pem))
    return replace(signed, signature=Signature(signed.signature.bundle, stranger.key.public.pem))


def of_identity(source: random.Random, signed: Signed) -> Signed:
    """The policy believes somebody else, of another model, has revoked, or has no authority."""
    policy, who = signed.policy, signed.signer.identity
    others = tuple(one for one in policy.identities if one[1] != who)
    changes: list[TrustPolicy] = [
        msgspec.structs.replace(policy, identities=others),
        msgspec.structs.replace(policy, identities=(*others, ("flight-delays", who))),
        msgspec.structs.replace(policy, revoked=frozenset({who})),
    ]
    if signed.signer.chain:
        changes += [
            msgspec.structs.replace(policy, authorities=""),
            msgspec.structs.replace(policy, authorities=new_chain().root.decode()),
        ]
    return replace(signed, policy=source.choice(changes))


Change = Callable[[random.Random, Signed], Signed]
CHANGES: Mapping[str, Change] = {
    "files": of_files,
    "manifest": of_manifest,
    "signature": of_signature,
    "payload": of_payload,
    "statement": of_statement,
    "envelope": of_envelope,
    "bundle": of_bundle,
    "key": of_key,
    "identity": of_identity,
}


def moved_away(signed: Signed) -> None:
    """Take what lies on the disk away."""
    root = signed.model if isinstance(signed, Folder) else signed.model.parents[1]
    shutil.rmtree(root, ignore_errors=True)


def _enveloped(signed: Signed, change: Callable[[Document], object]) -> Signed:
    document: Document = json.loads(signed.signature.bundle)
    change(document["dsseEnvelope"])
    return _bundled(signed, json.dumps(document).encode())


def _bundled(signed: Signed, bundle: bytes) -> Signed:
    return replace(signed, signature=Signature(bundle, signed.signature.public_key))


def _flipped(source: random.Random, text: str) -> str:
    content = bytearray(b64decode(text))
    content[source.randrange(len(content))] ^= 1 << source.randrange(8)
    return b64encode(content).decode()
