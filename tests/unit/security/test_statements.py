"""The form of a signature: what is read, and what is refused though it is signed."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.model_signers import new_chain, new_key

from shipway.errors import (
    FileChanged,
    FileMissing,
    FileUnlisted,
    NotBelieved,
    SignatureInvalid,
    SignatureMalformed,
)
from shipway.security.matching import check_files
from shipway.security.signatures import Signer, read_signature
from shipway.security.statements import Resource, read_statement, signed_message, statement_bytes

KEY, _ = new_key()
DIGESTS = {"model.onnx": "11" * 32, "a/b": "22" * 32, "a.txt": "33" * 32}
FOUND = tuple(Resource(name, digest) for name, digest in DIGESTS.items())
SIGNED = Signer(KEY).sign("model", DIGESTS)
"""Once: signatures differ in length, and what is drawn must not."""
Alter = Callable[[dict[str, Any]], Any]


def signed(payload: bytes, material: dict[str, Any] | None = None, **signature: Any) -> bytes:
    """The bundle of *payload*, truly signed whatever it says."""
    made = {"sig": b64encode(KEY.sign(signed_message(payload))).decode(), "keyid": "", **signature}
    return json.dumps(
        {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": material or {"publicKey": {"hint": KEY.public.fingerprint}},
            "dsseEnvelope": {
                "payload": b64encode(payload).decode(),
                "payloadType": "application/vnd.in-toto+json",
                "signatures": [{name: told for name, told in made.items() if told is not ...}],
            },
        }
    ).encode()


def altered(alter: Alter) -> bytes:
    """A statement that is not as it should be, and signed all the same."""
    document = json.loads(statement_bytes("model", DIGESTS))
    alter(document)
    return signed(json.dumps(document).encode())


def read(bundle: bytes) -> None:
    """Verify *bundle* as that of the files there are."""
    check_files(read_signature(bundle, KEY.public.pem).statement, FOUND, what="the model")


def resources(document: dict[str, Any]) -> Any:
    return document["predicate"]["resources"]


@pytest.mark.parametrize("keyid", [..., "", None, "somebody"])
@pytest.mark.parametrize("by", ["hint", "rawBytes", "chain"])
def test_valid_vectors(keyid: Any, by: str) -> None:
    """A key by its digest, by its bytes or by a certificate, and any ``keyid``, are believed."""
    payload = statement_bytes("model", DIGESTS)
    if by == "chain":
        signer = new_chain().signer
        document = json.loads(signer.sign("model", DIGESTS))
        document["dsseEnvelope"]["signatures"][0]["keyid"] = None if keyid is ... else keyid
        found = read_signature(json.dumps(document).encode())
        assert found.identity == signer.identity
    else:
        raw = {"rawBytes": b64encode(KEY.public.pem.encode()).decode()}
        material = {"publicKey": raw} if by == "rawBytes" else None
        known = "" if by == "rawBytes" else KEY.public.pem
        found = read_signature(signed(payload, material, keyid=keyid), known)
        assert found.identity == f"key:{KEY.public.fingerprint}"
    check_files(found.statement, FOUND, what="the model")


INVALID: dict[str, tuple[type[NotBelieved], Alter]] = {
    "root digest of other files": (
        SignatureInvalid,
        lambda one: one["subject"][0]["digest"].update(sha256="00" * 32),
    ),
    "no file": (SignatureMalformed, lambda one: resources(one).clear()),
    "a name with ..": (SignatureMalformed, lambda one: resources(one)[0].update(name="../b")),
    "an absolute name": (SignatureMalformed, lambda one: resources(one)[0].update(name="/b")),
    "another predicate": (
        SignatureMalformed,
        lambda one: one.update(predicateType="https://slsa.dev/provenance/v1"),
    ),
    "another statement": (SignatureMalformed, lambda one: one.update(_type="https://x/v1")),
    "two subjects": (SignatureMalformed, lambda one: one["subject"].append(one["subject"][0])),
    "no subject": (SignatureMalformed, lambda one: one["subject"].clear()),
    "a file twice": (SignatureMalformed, lambda one: resources(one).append(resources(one)[0])),
    "a weak hash": (SignatureMalformed, lambda one: resources(one)[0].update(algorithm="md5")),
    "a digest of no length": (SignatureMalformed, lambda one: resources(one)[0].update(digest="")),
    "an upper-case digest": (
        SignatureMalformed,
        lambda one: resources(one)[1].update(digest="AA" * 32),
    ),
    "another method": (
        SignatureMalformed,
        lambda one: one["predicate"]["serialization"].update(method="folders"),
    ),
    "a part that is none": (
        SignatureMalformed,
        lambda one: one["predicate"]["serialization"].update(method="shards"),
    ),
    "a name that is no text": (
        SignatureMalformed,
        lambda one: resources(one)[0].update(name="\ud800"),
    ),
    "no predicate": (SignatureMalformed, lambda one: one.pop("predicate")),
}


@pytest.mark.parametrize("name", list(INVALID))
def test_invalid_vectors(name: str) -> None:
    """What is signed and yet not of the form is refused, whoever signed it."""
    kind, alter = INVALID[name]
    with pytest.raises(kind):
        read(altered(alter))


def test_names_are_compared_though_the_root_digest_omits_them() -> None:
    """Two files whose names were swapped give the same root digest, and are found all the same."""
    swapped = [*FOUND[:1], Resource("a.txt", "22" * 32), Resource("a/b", "33" * 32)]
    statement = read_statement(statement_bytes("model", DIGESTS))
    with pytest.raises(FileChanged) as caught:
        check_files(statement, swapped, what="the model")
    assert [one.where for one in caught.value.problems] == ["a.txt", "a/b"]


def test_each_difference_has_a_code_of_its_own() -> None:
    """A file that nobody signed, one that is gone and one that changed are told apart."""
    statement = read_statement(statement_bytes("model", DIGESTS))
    check_files(statement, FOUND, what="the model")
    with pytest.raises(FileUnlisted, match=r"evil\.py"):
        check_files(statement, [*FOUND, Resource("evil.py", "44" * 32)], what="the model")
    with pytest.raises(FileMissing, match=r"a\.txt"):
        check_files(statement, FOUND[:2], what="the model")
    with pytest.raises(FileChanged, match=r"a\.txt"):
        check_files(statement, [*FOUND[:2], Resource("a.txt", "44" * 32)], what="the model")


def test_resources_are_sorted_by_code_point() -> None:
    """``a.txt`` comes before ``a/b``, whatever folders mean to a file system, and é comes last."""
    made = json.loads(statement_bytes("model", {**DIGESTS, "é": "55" * 32, "Z": "66" * 32}))
    names = [one["name"] for one in resources(made)]
    assert names == ["Z", "a.txt", "a/b", "model.onnx", "é"]


def test_a_path_that_the_signer_ignores_is_told_and_not_believed() -> None:
    """A signer's list of paths to ignore makes a file no better; git's own names are no news."""
    bundle = altered(
        lambda one: one["predicate"]["serialization"].update(ignore_paths=[".git", "evil.py"])
    )
    statement = read_signature(bundle, KEY.public.pem).statement
    assert statement.ignored == ("evil.py",)
    with pytest.raises(FileUnlisted, match="is not believed"):
        check_files(statement, [*FOUND, Resource("evil.py", "44" * 32)], what="the model")


def test_another_key_is_refused() -> None:
    """A signature by one key is not that of another, whether it names it or not."""
    other, _ = new_key()
    payload = statement_bytes("model", DIGESTS)
    with pytest.raises(SignatureInvalid, match="is by the key"):
        read_signature(signed(payload), other.public.pem)
    with pytest.raises(SignatureInvalid, match="was not made by the key"):
        read_signature(
            signed(payload, {"publicKey": {"hint": other.public.fingerprint}}), other.public.pem
        )
    with pytest.raises(SignatureMalformed, match="does not hold it"):
        read_signature(signed(payload))


@pytest.mark.parametrize(
    "change",
    [
        {"mediaType": "application/vnd.dev.sigstore.bundle.v0.1+json"},
        {"verificationMaterial": {}},
        {"verificationMaterial": {"publicKey": {}}},
        {"verificationMaterial": {"publicKey": {}, "x509CertificateChain": {"certificates": []}}},
        {"verificationMaterial": {"x509CertificateChain": {"certificates": []}}},
        {"verificationMaterial": {"x509CertificateChain": {"certificates": [{"rawBytes": "AA"}]}}},
        {"dsseEnvelope": {}},
        {"dsseEnvelope": {"payload": "!", "payloadType": "x", "signatures": []}},
    ],
)
def test_a_broken_bundle_is_malformed(change: dict[str, Any]) -> None:
    """A bundle of another form is refused by the code for that, and no error of ours."""
    document = {**json.loads(signed(statement_bytes("model", DIGESTS))), **change}
    with pytest.raises(SignatureMalformed):
        read(json.dumps(document).encode())


def test_two_signatures_are_refused() -> None:
    """A bundle has one signature: of two, nobody could say which is meant."""
    document = json.loads(signed(statement_bytes("model", DIGESTS)))
    document["dsseEnvelope"]["signatures"] *= 2
    with pytest.raises(SignatureMalformed, match="not one"):
        read(json.dumps(document).encode())


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_break_the_reader(content: bytes) -> None:
    """Whatever stands in the place of a signature is refused, and nothing else is raised."""
    with pytest.raises(NotBelieved):
        read(content)


@given(st.data())
def test_a_changed_bundle_never_says_something_else(data: st.DataObject) -> None:
    """A bundle with one byte changed is refused, or says what it said before."""
    whole = bytearray(SIGNED)
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    try:
        found = read_signature(bytes(whole), KEY.public.pem)
    except NotBelieved:
        return
    assert found.statement == read_statement(statement_bytes("model", DIGESTS))
    assert found.identity == f"key:{KEY.public.fingerprint}"


@given(
    st.dictionaries(
        st.text(
            st.characters(exclude_categories=["Cs"], exclude_characters="\\/\0"),
            min_size=1,
            max_size=20,
        ).filter(lambda name: name not in (".", "..")),
        st.binary(min_size=32, max_size=32).map(bytes.hex),
        min_size=1,
        max_size=8,
    )
)
def test_what_is_written_reads_back(digests: dict[str, str]) -> None:
    """A statement lists exactly the files that it was made of."""
    found = read_statement(statement_bytes("model", digests))
    assert {one.name: one.digest for one in found.resources} == digests
