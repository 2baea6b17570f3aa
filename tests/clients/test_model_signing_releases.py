"""What older releases of ``model-signing`` signed, and what its project publishes as fixtures.

Neither is a part of Shipway; both are found by the environment, else the tests are passed over:

``SHIPWAY_MODEL_SIGNING_RELEASES`` is a folder with a virtual environment for each release, made by
``python -m venv 0.3.1; 0.3.1/bin/pip install model-signing==0.3.1 'sigstore<4' pyopenssl
sigstore-protobuf-specs``.

``SHIPWAY_MODEL_SIGNING_FIXTURES`` is the folder ``scripts/tests`` of a checkout of
``sigstore/model-transparency``.
"""

from __future__ import annotations

import json
import os
import subprocess
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_der_x509_certificate
from tests.model_signers import Chain, new_chain, new_key, write_files

from shipway.errors import FileUnlisted, IdentityUnknown, NotBelieved, SignatureMalformed
from shipway.registry.trees import resources_of
from shipway.security.matching import check_files
from shipway.security.signatures import Signed, Signer, read_signature
from shipway.security.trust import TrustMode, TrustPolicy, check_identity

RELEASES = ("0.3.1", "1.0.0", "1.0.1", "1.1.0")
WAYS = [("0.3.1", "key"), *((one, how) for one in RELEASES[1:] for how in ("key", "certificate"))]
"""0.3.1 misspells a field's name and signs with no certificate; its fixture has such a bundle."""

FILES = {"model.onnx": b"m" * 5000, "a/weights.bin": b"w" * 3000, "a.txt": b"why"}
_SIGN = """
import json, pathlib, sys, warnings
warnings.simplefilter("ignore")
import model_signing
told = json.loads(sys.argv[1])
for name in ("key", "leaf", "between", "model", "signature"):
    told[name] = pathlib.Path(told.get(name, "."))
model_signing.signing.Config.use_sigstore_signer = lambda self: None  # it asks the network
config = model_signing.signing.Config()
if told["method"] == "key":
    config.use_elliptic_key_signer(private_key=told["key"])
else:
    config.use_certificate_signer(
        private_key=told["key"], signing_certificate=told["leaf"],
        certificate_chain=[told["between"]])
hashing = model_signing.hashing.Config()
if told["serialization"] == "shards":
    hashing.use_shard_serialization(shard_size=1000)
if told["ignored"]:
    hashing.set_ignored_paths(paths=[pathlib.Path(one) for one in told["ignored"]])
config.set_hashing_config(hashing)
config.sign(told["model"], told["signature"])
"""


def read(folder: Path, signature: Path, public_key: str = "", *besides: str) -> Signed:
    """Who signed the files of *folder*, all of them but the *besides* of whoever verifies."""
    signed = read_signature(signature.read_bytes(), public_key)
    left_out = [signature, *(folder / name for name in besides)]
    check_files(signed.statement, resources_of(folder, signed.statement, besides=left_out),
                what="it")  # fmt: skip
    return signed


def certified_by(signed: Signed, authority: str) -> None:
    """Raise unless the chain of *signed* leads to *authority*."""
    named = (("*", signed.identity),)
    policy = TrustPolicy(mode=TrustMode.REQUIRE, identities=named, authorities=authority)
    check_identity(policy, "model", signed, what="it")


@pytest.fixture(scope="module")
def interpreters() -> Path:
    """Where the releases are installed, each in an environment of its own."""
    folder = os.environ.get("SHIPWAY_MODEL_SIGNING_RELEASES")
    if not folder:
        pytest.skip("SHIPWAY_MODEL_SIGNING_RELEASES is not set: see this module's first lines")
    return Path(folder)


@pytest.fixture(scope="module")
def fixtures() -> Path:
    """What the project publishes."""
    folder = os.environ.get("SHIPWAY_MODEL_SIGNING_FIXTURES")
    if not folder:
        pytest.skip("SHIPWAY_MODEL_SIGNING_FIXTURES is not set: see this module's first lines")
    return Path(folder)


def by_release(python: Path, **told: Any) -> None:
    """Sign with an older release."""
    words = json.dumps({name: value if isinstance(value, list) else str(value)
                        for name, value in told.items()})  # fmt: skip
    subprocess.run([python, "-c", _SIGN, words], check=True, capture_output=True, timeout=120)


@pytest.mark.parametrize("serialization", ["files", "shards"])
@pytest.mark.parametrize(("release", "method"), WAYS)
def test_what_a_release_signs_is_believed_and_no_more(
    interpreters: Path, tmp_path: Path, release: str, method: str, serialization: str
) -> None:
    """Each release's own signature is good here by who signed it, and not with a byte changed."""
    folder = write_files(tmp_path / "model", FILES)
    key, pem = new_key()
    chain = new_chain()
    paths = chain.write(tmp_path / "chain")
    if method == "key":
        paths["key"].write_bytes(pem)
    signature = tmp_path / "their.sig"
    by_release(
        interpreters / release / "bin" / "python",
        model=folder, signature=signature, method=method, serialization=serialization,
        key=paths["key"], leaf=paths["leaf"], between=paths["between"], ignored=[],
    )  # fmt: skip
    public = key.public.pem if method == "key" else ""
    signed = read(folder, signature, public)
    if method == "key":
        assert signed.identity == f"key:{key.public.fingerprint}"
        with pytest.raises(NotBelieved):
            read(folder, signature, new_key()[0].public.pem)
    else:
        certified_by(signed, chain.root.decode())
        with pytest.raises(IdentityUnknown, match="authority"):
            certified_by(signed, new_chain().root.decode())
    (folder / "a.txt").write_bytes(b"not")
    with pytest.raises(NotBelieved):
        read(folder, signature, public)


@pytest.mark.parametrize("release", RELEASES)
def test_what_a_release_ignores_is_not_ignored_here(
    interpreters: Path, tmp_path: Path, release: str
) -> None:
    """A file that the signer had left out is refused, whether the release says so or not."""
    folder = write_files(tmp_path / "model", {**FILES, "evil.py": b"print()"})
    key, pem = new_key()
    (tmp_path / "key.pem").write_bytes(pem)
    signature = tmp_path / "their.sig"
    by_release(
        interpreters / release / "bin" / "python",
        model=folder, signature=signature, method="key", serialization="files",
        key=tmp_path / "key.pem", ignored=[str(folder / "evil.py")],
    )  # fmt: skip
    with pytest.raises(FileUnlisted, match=r"evil\.py"):
        read(folder, signature, key.public.pem)
    read(folder, signature, key.public.pem, "evil.py")


def test_the_published_fixtures(fixtures: Path) -> None:
    """Those signed by key and by certificate are believed; what is of no method here is refused."""
    public = (fixtures / "keys" / "certificate" / "signing-key-pub.pem").read_text()
    found = sorted(path for path in fixtures.glob("v*-*") if (path / "model.sig").exists())
    outcomes: dict[str, str] = {}
    for folder in found:
        method = folder.name.split("-", 1)[1]
        signature = folder / "model.sig"
        model = folder / "signme-1" if _is_of_one_file(signature) else folder
        try:
            signed = read(model, signature, public if method == "elliptic-key" else "", "ignore-me")
            if method == "certificate":
                certified_by(signed, _pem(signed.chain[-1]))
        except NotBelieved as refused:
            outcomes[folder.name] = refused.code
        else:
            outcomes[folder.name] = "believed"
    assert outcomes
    for name, outcome in outcomes.items():
        # Before 0.3.1 the form was another; sigstore's and post-quantum keys are not for us.
        good = name.endswith(("-elliptic-key", "-certificate")) and not name.startswith("v0.2")
        assert (outcome == "believed") is good, (name, outcome)


def _is_of_one_file(signature: Path) -> bool:
    """Whether what was signed is one file without a name, as by the oldest fixtures of keys."""
    document = json.loads(signature.read_bytes())
    payload = document.get("dsseEnvelope", {}).get("payload", "")
    return b'"name": "."' in b64decode(payload)


def _pem(certificate: bytes) -> str:
    return load_der_x509_certificate(certificate).public_bytes(Encoding.PEM).decode()


def test_a_signer_named_like_its_authority_is_believed() -> None:
    """The project's own fixtures have a signer whose name is that of who certified it."""
    chain: Chain = new_chain(subject="Test between")
    signed = read_signature(chain.signer.sign("model", {"a": "11" * 32}))
    assert signed.identity.startswith("certificate:CN=Test between")
    certified_by(signed, chain.root.decode())


@pytest.mark.parametrize(
    "material",
    [
        {"certificate": {"rawBytes": "AAAA"}, "tlogEntries": [{"logIndex": "1"}]},
        {"publicKey": {"rawBytes": "AAAA"}},
        {"x509CertificateChain": {"certificates": []}},
        {"x509CertificateChain": {"certificates": [{"rawBytes": "AAAA"}]}},
    ],
    ids=["a certificate of sigstore", "no key", "no certificate", "no such certificate"],
)
def test_methods_that_are_not_ours_are_refused(material: dict[str, Any]) -> None:
    """A signature by a method that cannot be judged here is malformed, and never passed over."""
    document = json.loads(Signer(new_key()[0]).sign("model", {"a": "11" * 32}))
    document["verificationMaterial"] = material
    with pytest.raises(SignatureMalformed):
        read_signature(json.dumps(document).encode())
