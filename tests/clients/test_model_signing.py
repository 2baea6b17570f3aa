"""The package ``model-signing``, as it is installed: it believes ours, and we believe its own."""

from __future__ import annotations

import json
import warnings
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.model_signers import new_chain, new_key, write_files

from shipway.api.sign import verify_folder
from shipway.errors import (
    FileChanged,
    FileUnlisted,
    IdentityUnknown,
    NotBelieved,
    SignatureInvalid,
    SignatureMalformed,
)
from shipway.registry.trees import resources_of
from shipway.security.matching import check_files
from shipway.security.signatures import Signer, read_signature
from shipway.security.statements import Statement
from shipway.security.trust import TrustMode, TrustPolicy, check_identity

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its libraries' own, at import
    import model_signing as installed

model_signing: Any = installed
FILES = {"model.onnx": b"m" * 5000, "a/weights.bin": b"w" * 3000, "a.txt": b"why", "é.md": b"!"}


def digests(folder: Path) -> dict[str, str]:
    """The files of *folder* as a signature lists them."""
    return {one.name: one.digest for one in resources_of(folder, Statement("", ()))}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model in a folder."""
    return write_files(tmp_path / "model", FILES)


def by_them(folder: Path, signature: Path, sign: Callable[[Any], Any], hashing: Any = None) -> None:
    """Sign *folder* with the package."""
    config = sign(model_signing.signing.Config())
    if hashing is not None:
        config = config.set_hashing_config(hashing)
    config.sign(folder, signature)


@pytest.mark.parametrize("curve", ["P-256", "P-384", "P-521"])
def test_it_believes_a_signature_of_ours_by_a_key(folder: Path, tmp_path: Path, curve: str) -> None:
    """Our bundle verifies there by the public key alone, on every curve, and no other key does."""
    key, _ = new_key(curve)
    signature = tmp_path / "ours.sig"
    signature.write_bytes(Signer(key).sign("model", digests(folder)))
    public = tmp_path / "public.pem"
    public.write_text(key.public.pem)
    verifier = model_signing.verifying.Config().use_elliptic_key_verifier(public_key=public)
    verifier.verify(folder, signature)
    (folder / "a.txt").write_bytes(b"not")
    with pytest.raises(ValueError, match="mismatch"):
        verifier.verify(folder, signature)


def test_it_believes_a_signature_of_ours_by_a_certificate(folder: Path, tmp_path: Path) -> None:
    """Our chain leads there to the authority that both believe."""
    chain = new_chain()
    signature = tmp_path / "ours.sig"
    signature.write_bytes(chain.signer.sign("model", digests(folder)))
    root = chain.write(tmp_path / "chain")["root"]
    model_signing.verifying.Config().use_certificate_verifier(certificate_chain=[root]).verify(
        folder, signature
    )


@pytest.mark.parametrize("curve", ["P-256", "P-384", "P-521"])
def test_we_believe_a_signature_of_its_by_a_key(folder: Path, tmp_path: Path, curve: str) -> None:
    """Its bundle in the folder verifies here by the public key; a changed byte does not."""
    key, pem = new_key(curve)
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    private.write_bytes(pem)
    public.write_text(key.public.pem)
    by_them(
        folder, tmp_path / "their.sig", lambda one: one.use_elliptic_key_signer(private_key=private)
    )
    found = verify_folder(folder, project=None, signature=tmp_path / "their.sig", public_key=public)
    assert found.identity == f"key:{key.public.fingerprint}"
    assert found.files == len(FILES)
    (folder / "a/weights.bin").write_bytes(b"w" * 2999 + b"x")
    with pytest.raises(FileChanged, match="weights"):
        verify_folder(folder, project=None, signature=tmp_path / "their.sig", public_key=public)


def test_we_believe_a_signature_of_its_by_a_certificate(folder: Path, tmp_path: Path) -> None:
    """Its chain leads here to an authority of the policy, whoever the policy names; no other."""
    chain = new_chain()
    paths = chain.write(tmp_path / "chain")
    by_them(
        folder,
        tmp_path / "their.sig",
        lambda one: one.use_certificate_signer(
            private_key=paths["key"],
            signing_certificate=paths["leaf"],
            certificate_chain=[paths["between"]],
        ),
    )
    signed = read_signature((tmp_path / "their.sig").read_bytes())
    check_files(signed.statement, resources_of(folder, signed.statement), what="it")
    named = (("*", signed.identity),)
    policy = TrustPolicy(mode=TrustMode.REQUIRE, identities=named, authorities=chain.root.decode())
    check_identity(policy, "model", signed, what="it")
    assert signed.identity == ("certificate:CN=release,O=Example by CN=Test between,O=Example")
    other = TrustPolicy(
        mode=TrustMode.REQUIRE, identities=named, authorities=new_chain().root.decode()
    )
    with pytest.raises(IdentityUnknown, match="authority"):
        check_identity(other, "model", signed, what="it")


def test_we_believe_its_shards(folder: Path, tmp_path: Path) -> None:
    """A model signed in parts of files verifies part by part, and nothing more may be in a file."""
    key, pem = new_key()
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    private.write_bytes(pem)
    public.write_text(key.public.pem)
    hashing = model_signing.hashing.Config().use_shard_serialization(shard_size=1000)
    by_them(
        folder,
        tmp_path / "their.sig",
        lambda one: one.use_elliptic_key_signer(private_key=private),
        hashing,
    )

    def verify() -> None:
        verify_folder(folder, project=None, signature=tmp_path / "their.sig", public_key=public)

    verify()
    with (folder / "model.onnx").open("ab") as file:
        file.write(b"more")
    with pytest.raises(FileChanged, match=r"model\.onnx"):
        verify()


def test_what_it_ignores_is_not_ignored_here(folder: Path, tmp_path: Path) -> None:
    """A file that its signer chose to leave out is nobody's word here, and its verifier passes it.

    Only who verifies may leave something out.
    """
    key, pem = new_key()
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    private.write_bytes(pem)
    public.write_text(key.public.pem)
    (folder / "evil.py").write_text("print('ignored')")
    hashing = model_signing.hashing.Config().set_ignored_paths(paths=["evil.py"])
    signature = tmp_path / "their.sig"
    by_them(
        folder, signature, lambda one: one.use_elliptic_key_signer(private_key=private), hashing
    )
    model_signing.verifying.Config().use_elliptic_key_verifier(public_key=public).verify(
        folder, signature
    )
    with pytest.raises(FileUnlisted, match="is not believed"):
        verify_folder(folder, project=None, signature=signature, public_key=public)
    verify_folder(folder, project=None, signature=signature, public_key=public, ignore=["evil.py"])


@pytest.mark.parametrize("algorithm", ["blake2", "blake3"])
@pytest.mark.parametrize("serialization", ["use_file_serialization", "use_shard_serialization"])
def test_other_hashes_are_refused(
    folder: Path, tmp_path: Path, algorithm: str, serialization: str
) -> None:
    """The format requires SHA-256: what the package signs by another hash is no signature here."""
    key, pem = new_key()
    private, signature = tmp_path / "private.pem", tmp_path / "their.sig"
    private.write_bytes(pem)
    hashing = model_signing.hashing.Config()
    try:
        getattr(hashing, serialization)(hashing_algorithm=algorithm)
    except ModuleNotFoundError:
        pytest.skip(f"{algorithm} is not installed")
    by_them(
        folder, signature, lambda one: one.use_elliptic_key_signer(private_key=private), hashing
    )
    with pytest.raises(SignatureMalformed, match="SHA-256"):
        read_signature(signature.read_bytes(), key.public.pem)


def test_links_that_its_signer_allows_are_not_followed_here(folder: Path, tmp_path: Path) -> None:
    """A link is no file of a model, though its signer followed it and says so."""
    key, pem = new_key()
    private, public, signature = (tmp_path / one for one in ("private", "public", "their.sig"))
    private.write_bytes(pem)
    public.write_text(key.public.pem)
    outside = tmp_path / "outside"
    outside.write_bytes(FILES["a.txt"])
    (folder / "a.txt").unlink()
    (folder / "a.txt").symlink_to(outside)
    hashing = model_signing.hashing.Config().set_allow_symlinks(allow_symlinks=True)
    by_them(
        folder, signature, lambda one: one.use_elliptic_key_signer(private_key=private), hashing
    )
    with pytest.raises(FileChanged, match=r"a\.txt"):
        verify_folder(folder, project=None, signature=signature, public_key=public)
    (folder / "a.txt").unlink()
    (folder / "a.txt").write_bytes(FILES["a.txt"])
    verify_folder(folder, project=None, signature=signature, public_key=public)


@pytest.mark.parametrize("name", [".git/config", ".gitattributes", ".github/x.yml", ".gitignore"])
def test_what_the_format_never_signs(folder: Path, tmp_path: Path, name: str) -> None:
    """Git's own files at the top are passed over by both, and deeper ones by neither."""
    key, pem = new_key()
    private, public, signature = (tmp_path / one for one in ("private", "public", "their.sig"))
    private.write_bytes(pem)
    public.write_text(key.public.pem)
    by_them(folder, signature, lambda one: one.use_elliptic_key_signer(private_key=private))
    theirs = model_signing.verifying.Config().use_elliptic_key_verifier(public_key=public)
    write_files(folder, {name: b"x"})
    theirs.verify(folder, signature)
    verify_folder(folder, project=None, signature=signature, public_key=public)
    write_files(folder, {f"a/{name}": b"x"})
    with pytest.raises(ValueError, match="mismatch"):
        theirs.verify(folder, signature)
    with pytest.raises(FileUnlisted):
        verify_folder(folder, project=None, signature=signature, public_key=public)


def as_release(document: dict[str, Any], release: str, public_pem: str) -> dict[str, Any]:
    """A bundle of today as *release* of the package wrote it: those forms are all still read."""
    (signature,) = document["dsseEnvelope"]["signatures"]
    if release != "1.1.0":
        material = document["verificationMaterial"]
        del material["tlogEntries"]
        signature["keyid"] = None
        if "publicKey" in material:
            material["publicKey"] = {
                "rawBytes": b64encode(public_pem.encode()).decode(),
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            }
    if release == "no keyid":
        del signature["keyid"]
    return document


@pytest.mark.parametrize("release", ["0.3.1", "1.0.0", "1.0.1", "1.1.0", "no keyid"])
@pytest.mark.parametrize("method", ["key", "certificate"])
def test_the_forms_of_every_release(
    folder: Path, tmp_path: Path, release: str, method: str
) -> None:
    """Signatures in the forms of 0.3.1 to 1.1.0 are believed here, and altered ones are not.

    They differ in where the key is (its bytes, or its digest), and in an absent, a null or an
    empty ``keyid``.
    """
    key, pem = new_key()
    paths = new_chain().write(tmp_path / "chain")
    private, signature = tmp_path / "private.pem", tmp_path / "their.sig"
    private.write_bytes(pem)

    def sign(config: Any) -> Any:
        if method == "key":
            return config.use_elliptic_key_signer(private_key=private)
        return config.use_certificate_signer(
            private_key=paths["key"],
            signing_certificate=paths["leaf"],
            certificate_chain=[paths["between"]],
        )

    by_them(folder, signature, sign)
    document = as_release(json.loads(signature.read_text()), release, key.public.pem)
    known = key.public.pem if "1.1.0" in release and method == "key" else ""
    signed = read_signature(json.dumps(document).encode(), known)
    check_files(signed.statement, resources_of(folder, signed.statement), what="it")
    payload = b64decode(document["dsseEnvelope"]["payload"]).replace(b"a.txt", b"b.txt")
    document["dsseEnvelope"]["payload"] = b64encode(payload).decode()
    with pytest.raises(SignatureInvalid):
        read_signature(json.dumps(document).encode(), known)


def test_a_single_file(tmp_path: Path) -> None:
    """A model that is one file is signed there without a name, and verified here as one."""
    key, pem = new_key()
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    private.write_bytes(pem)
    public.write_text(key.public.pem)
    model, signature = tmp_path / "model.onnx", tmp_path / "their.sig"
    model.write_bytes(b"m" * 100)
    by_them(model, signature, lambda one: one.use_elliptic_key_signer(private_key=private))
    verify_folder(model, project=None, signature=signature, public_key=public)
    model.write_bytes(b"m" * 101)
    with pytest.raises(NotBelieved):
        verify_folder(model, project=None, signature=signature, public_key=public)
