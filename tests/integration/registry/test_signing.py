"""Signatures in a store: kept beside versions, judged at every opening, found by other tools."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.databases import Postgres
from tests.model_signers import new_chain, new_key
from tests.stores import NOW, Store, files

from shipway.errors import (
    DigestMismatch,
    FileChanged,
    FileMissing,
    FileUnlisted,
    IdentityRevoked,
    IdentityUnknown,
    IntegrityError,
    NotBelieved,
    SignatureInvalid,
    SignatureMalformed,
    SignatureMissing,
    StoreUnavailable,
)
from shipway.registry.addresses import Addresses
from shipway.registry.current import METADATA_FILE, cached_versions, open_current
from shipway.registry.entries import file_entries
from shipway.registry.export import export_version
from shipway.registry.health import Level, store_health
from shipway.registry.opening import open_registry
from shipway.registry.records import SignatureRecord, Version
from shipway.security.signatures import Signer
from shipway.security.trust import Signature, TrustMode, TrustPolicy

KEY, _ = new_key()
SIGNER = Signer(KEY)
REQUIRED = TrustPolicy(mode=TrustMode.REQUIRE, identities=(("flight-*", SIGNER.identity),))


def sign(store: Store, version: Version, signer: Signer = SIGNER) -> SignatureRecord:
    return store.registry.signing.sign(version, signer, by="anna", now=NOW)


def opened(store: Store, trust: TrustPolicy = REQUIRED) -> dict[str, Path]:
    """The files of the first version, as a worker with the policy *trust* opens them."""
    with open_current(store.home, trust=trust) as registry:
        return registry.open_files(registry.version("flight-delay", 1))


def test_a_signed_version_is_the_version_that_it_was(store: Store) -> None:
    """Signing changes neither digest nor number, and publishing again is the same version still."""
    version = store.publish()
    record = sign(store, version)
    assert store.publish() == version
    assert sign(store, version) == record
    assert store.registry.signing.records(version) == (record,)
    assert opened(store).keys() == files("a").keys()


def test_an_unsigned_version_is_not_opened_where_a_signature_is_required(store: Store) -> None:
    """Every opening of files asks the policy; without a policy nothing is required."""
    store.publish()
    with pytest.raises(SignatureMissing, match="flight-delay@1 is not signed"):
        opened(store)
    assert opened(store, TrustPolicy())


def test_each_way_of_not_being_believed_has_its_code(store: Store) -> None:
    """A stranger, a revoked identity, a missing signature and changed bytes are told apart."""
    version = store.publish()
    sign(store, version, new_chain().signer)
    with pytest.raises(IdentityUnknown):
        opened(store)
    sign(store, version)
    opened(store)
    with pytest.raises(IdentityRevoked):
        opened(store, msgspec.structs.replace(REQUIRED, revoked=frozenset({SIGNER.identity})))
    store.blob(version, "model.onnx").chmod(0o600)
    store.blob(version, "model.onnx").write_bytes(b"changed")
    store.cached(version, "model.onnx").unlink()
    with pytest.raises(DigestMismatch, match=r"model\.onnx"):
        opened(store)
    codes = {
        kind.code
        for kind in (
            SignatureMissing,
            SignatureMalformed,
            SignatureInvalid,
            FileUnlisted,
            FileMissing,
            FileChanged,
            IdentityUnknown,
            IdentityRevoked,
        )
    }
    assert len(codes) == 8


def rewrite(store: Store, statement: str, *values: object) -> None:
    """Write into the database as somebody could who may write to its folder."""
    connection = sqlite3.connect(store.home / METADATA_FILE)
    for (name,) in connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    ).fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute(statement, values)
    connection.commit()
    connection.close()


def with_manifest(change: Callable[[dict[str, object]], object]) -> Callable[[Store], object]:
    """Replaces the manifest of the first version, and its digest with it."""

    def forge(store: Store) -> None:
        from shipway.domain.digests import canonical_json, digest_of

        version = store.registry.version("flight-delay", 1)
        document = json.loads(canonical_json(version.manifest))
        change(document)
        content = canonical_json(document)
        rewrite(
            store,
            "UPDATE versions SET manifest = ?, digest = ?",
            content.decode(),
            digest_of(content),
        )

    return forge


def other_file(store: Store) -> None:
    """A whole other model in the place of the first, with a manifest that fits it."""
    contents = {**files("a"), "model.onnx": b"evil" * 100}
    store.registry._blobs.put([contents["model.onnx"]])
    entries = msgspec.to_builtins(file_entries(contents))
    with_manifest(lambda document: document.update(files=entries))(store)


FORGERIES: dict[str, tuple[type[NotBelieved], Callable[[Store], object]]] = {
    "threshold": (FileChanged, with_manifest(lambda document: document.update(threshold=0.01))),
    "another model's bytes": (FileChanged, other_file),
    "a file more": (
        FileUnlisted,
        with_manifest(
            lambda document: document["files"].append(  # type: ignore[attr-defined]
                {**document["files"][0], "path": "evil.py"}  # type: ignore[index]
            )
        ),
    ),
    "a file less": (FileMissing, with_manifest(lambda document: document["files"].pop())),  # type: ignore[attr-defined]
    "no signature": (
        SignatureMissing,
        lambda store: rewrite(store, "DELETE FROM signatures"),
    ),
    "the public key of somebody else": (
        SignatureInvalid,
        lambda store: rewrite(
            store, "UPDATE signatures SET public_key = ?", new_key()[0].public.pem
        ),
    ),
}


@pytest.mark.parametrize("name", list(FORGERIES))
def test_who_may_write_to_the_store_cannot_forge_a_version(store: Store, name: str) -> None:
    """A manifest and its digest replaced together, which no digest finds, fail by the signature."""
    kind, forge = FORGERIES[name]
    sign(store, store.publish())
    assert opened(store)
    forge(store)
    with pytest.raises(kind):
        opened(store)


@pytest.mark.parametrize("policy", [REQUIRED, TrustPolicy()])
def test_a_damaged_signature_is_refused_and_mended_by_signing_again(
    store: Store, policy: TrustPolicy
) -> None:
    """A signature that is there must be good, whatever the policy; the key's holder can mend it."""
    version = store.publish()
    record = sign(store, version)
    blob = store.home / "blobs" / "blobs" / "sha256" / record.digest.removeprefix("sha256:")
    blob.chmod(0o600)
    blob.write_bytes(blob.read_bytes()[:-30])
    with pytest.raises(SignatureMalformed):
        opened(store, policy)
    sign(store, version)
    assert opened(store, policy)
    blob.unlink()
    with pytest.raises(IntegrityError, match="cannot be opened"):
        opened(store, policy)
    found = {one.message for one in store_health(store.home) if one.level is Level.ERROR}
    assert any("the signature by" in message for message in found)


def test_a_signature_that_was_made_elsewhere_is_kept_if_it_is_good(store: Store) -> None:
    """Only a good signature of this very version is taken in."""
    first, second = store.publish("a"), store.publish("b")
    record = sign(store, first)
    other = store.registry.signing.stored(record)
    with pytest.raises(FileChanged):
        store.registry.signing.add(second, other, by="anna", now=NOW)
    with pytest.raises(NotBelieved):
        store.registry.signing.add(first, Signature(b"{}"), by="anna", now=NOW)
    assert store.registry.signing.add(first, other, by="ben", now=NOW) == record


def test_an_exported_version_takes_its_signatures_along(store: Store, tmp_path: Path) -> None:
    """What an image carries is believed there by the same policy, and holds no private key."""
    version = store.publish()
    sign(store, version)
    export_version(store.registry, version, tmp_path / "home", by="anna", now=NOW)
    with open_registry(tmp_path / "home", trust=REQUIRED) as exported:
        assert exported.open_files(exported.version("flight-delay", 1))
    found = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert not any(b"PRIVATE KEY" in path.read_bytes() for path in found)


def test_tools_for_images_find_the_signature_from_the_version(store: Store) -> None:
    """The layout lists the signature as an OCI referrer, whose subject is the version's image."""
    version = store.publish()
    record = sign(store, version)
    layout = store.home / "blobs"
    listed = json.loads((layout / "index.json").read_bytes())["manifests"]
    image, referrer = listed
    assert referrer["artifactType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    manifest = json.loads(
        (layout / "blobs" / "sha256" / referrer["digest"].removeprefix("sha256:")).read_bytes()
    )
    assert manifest["subject"]["digest"] == image["digest"]
    assert [layer["digest"] for layer in manifest["layers"]] == [record.digest]
    assert not [one for one in store_health(store.home) if one.code == "store.index-stale"]


@pytest.mark.needs("postgres")
def test_believed_while_the_store_is_away(tmp_path: Path, postgres: Postgres) -> None:
    """What was read of signatures counts while the database is away, and no more than that."""
    store = Store(tmp_path, Addresses(records=postgres.fresh()))
    signed, unsigned = store.publish("a"), store.publish("b")
    sign(store, signed)
    with open_current(store.home, store.addresses, trust=REQUIRED) as worker:
        worker.open_files(signed)
        with pytest.raises(SignatureMissing):
            worker.open_files(unsigned)
        postgres.stop()
        try:
            assert worker.open_files(signed).keys() == files("a").keys()
            with pytest.raises(StoreUnavailable):
                worker.open_files(unsigned)
        finally:
            postgres.start()
    trial = cached_versions(store.home, REQUIRED)
    assert trial.open_files(signed).keys() == files("a").keys()
    with pytest.raises(SignatureMissing):
        trial.open_files(unsigned)
    (kept,) = (store.home / "cache").glob("*.signatures")
    kept.write_bytes(kept.read_bytes().replace(b'"bundle":"ey', b'"bundle":"eY', 1))
    with pytest.raises(NotBelieved):
        trial.open_files(signed)
    store.registry.close()
