"""The policy: who is believed, of which model, until when."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest
from tests.model_signers import Chain, new_chain, new_key, new_root

from shipway.errors import (
    FileChanged,
    IdentityRevoked,
    IdentityUnknown,
    NotBelieved,
    PickleRefused,
    SignatureInvalid,
    SignatureMissing,
    UsageError,
)
from shipway.security.signatures import Signer
from shipway.security.statements import Resource
from shipway.security.trust import (
    Believed,
    Signature,
    TrustMode,
    TrustPolicy,
    check_pickles,
    judge,
)

DIGESTS = {"model.onnx": "11" * 32, "shipway-manifest.json": "22" * 32}
FOUND = tuple(Resource(name, digest) for name, digest in DIGESTS.items())
KEY, _ = new_key()
OTHER, _ = new_key("P-384")
BY_KEY = Signer(KEY).identity


def signature(signer: Signer, digests: dict[str, str] = DIGESTS) -> Signature:
    """The files signed by *signer*, as a store keeps it."""
    return Signature(signer.sign("fraud", digests), signer.key.public.pem)


def judged(policy: TrustPolicy, *signatures: Signature, model: str = "fraud") -> Believed:
    """What *policy* says of the files there are, with *signatures*."""
    return judge(policy, model, FOUND, lambda: signatures, what=f"{model}@1")


def requiring(*identities: str, model: str = "*", chain: Chain | None = None) -> TrustPolicy:
    """A policy that requires one of *identities* for *model*."""
    return TrustPolicy(
        mode=TrustMode.REQUIRE,
        identities=tuple((model, who) for who in identities),
        authorities="" if chain is None else chain.root.decode(),
    )


def test_a_named_identity_is_believed_and_no_other() -> None:
    """A good signature by somebody who is not named is worth nothing."""
    assert judged(requiring(BY_KEY), signature(Signer(KEY))) == Believed(BY_KEY, named=True)
    with pytest.raises(IdentityUnknown, match="does not name for fraud") as caught:
        judged(requiring(BY_KEY), signature(Signer(OTHER)))
    assert f"fraud = key:{OTHER.public.fingerprint}" in caught.value.next_step


def test_no_signature_is_refused_where_one_is_required() -> None:
    """An unsigned version is refused, and so is one of whose signatures none is good."""
    with pytest.raises(SignatureMissing, match="is not signed"):
        judged(requiring(BY_KEY))
    assert judged(TrustPolicy()) == Believed()


def test_identities_are_for_models_by_pattern() -> None:
    """Whoever may sign one model may not sign another."""
    policy = requiring(BY_KEY, model="fraud-*")
    assert judged(policy, signature(Signer(KEY)), model="fraud-eu").named
    with pytest.raises(IdentityUnknown):
        judged(policy, signature(Signer(KEY)), model="churn")


def test_one_named_signature_among_others_is_enough() -> None:
    """A signature by a stranger, or a broken one, beside a good one takes nothing away."""
    broken = Signature(signature(Signer(KEY)).bundle, OTHER.public.pem)
    good = signature(Signer(KEY))
    for around in ([broken, good], [good, signature(Signer(OTHER))]):
        assert judged(requiring(BY_KEY), *around).named


def test_a_revoked_identity_is_refused() -> None:
    """Whoever is revoked is believed no more, named or not, in every mode but off."""
    revoked = frozenset({BY_KEY})
    named = TrustPolicy(mode=TrustMode.REQUIRE, identities=(("*", BY_KEY),), revoked=revoked)
    for policy in (named, TrustPolicy(revoked=revoked)):
        with pytest.raises(IdentityRevoked, match="is revoked"):
            judged(policy, signature(Signer(KEY)))
    off = TrustPolicy(mode=TrustMode.OFF, revoked=revoked)
    assert judged(off, signature(Signer(KEY))) == Believed()


def test_a_signature_of_other_files_is_refused() -> None:
    """A signature of a version before a change is none of the version after it."""
    stale = signature(Signer(KEY), {**DIGESTS, "model.onnx": "33" * 32})
    for policy in (requiring(BY_KEY), TrustPolicy()):
        with pytest.raises(FileChanged, match=r"model\.onnx"):
            judged(policy, stale)


def test_the_mode_warn_tells_and_loads(caplog: pytest.LogCaptureFixture) -> None:
    """What would be refused is logged with its code, and nobody counts as named."""
    policy = TrustPolicy(mode=TrustMode.WARN, identities=(("*", BY_KEY),))
    with caplog.at_level(logging.WARNING):
        assert judged(policy, signature(Signer(OTHER))) == Believed()
    (record,) = caplog.records
    assert record.__dict__["code"] == "trust.identity-unknown"
    assert judged(policy, signature(Signer(KEY))).named


@pytest.mark.parametrize("code", [False, True])
def test_a_certificate_is_believed_by_its_names_and_its_authority(code: bool) -> None:
    """Subject and issuer must be named, and the chain must lead to an authority of the policy.

    The certificate is for signatures, or for signing code.
    """
    chain = new_chain(signs=not code, code=code)
    who = chain.signer.identity
    assert who == "certificate:CN=release,O=Example by CN=Test between,O=Example"
    assert judged(requiring(who, chain=chain), signature(chain.signer)).named
    same_names = new_chain()
    with pytest.raises(IdentityUnknown, match="does not lead to an authority"):
        judged(requiring(who, chain=chain), signature(same_names.signer))
    with pytest.raises(IdentityUnknown, match="does not lead to an authority"):
        judged(
            TrustPolicy(mode=TrustMode.REQUIRE, identities=(("*", who),)), signature(chain.signer)
        )
    other = new_chain(subject="somebody", root=new_root())
    with pytest.raises(IdentityUnknown, match="does not name"):
        judged(requiring(who, chain=other), signature(other.signer))


def test_a_certificate_that_has_ended_is_believed_still() -> None:
    """A model does not stop serving because its signer's certificate has ended since."""
    chain = new_chain(lasts=timedelta(days=30))
    assert judged(requiring(chain.signer.identity, chain=chain), signature(chain.signer)).named


@pytest.mark.parametrize(("authority", "certifies"), [(False, False), (False, True), (True, False)])
def test_a_certificate_of_no_authority_makes_nobody(authority: bool, certifies: bool) -> None:
    """Whoever has a certificate cannot make more of them; both what it is and its usage must say
    that it may.
    """
    chain = new_chain(authority=authority, certifies=certifies)
    with pytest.raises(IdentityUnknown, match="does not lead to an authority"):
        judged(requiring(chain.signer.identity, chain=chain), signature(chain.signer))


def test_a_certificate_for_something_else_signs_no_model() -> None:
    """A certificate whose usage is not signing is refused where it would sign, and where read."""
    chain = new_chain(signs=False)
    with pytest.raises(SignatureInvalid, match="not for signing"):
        _ = chain.signer


@pytest.mark.parametrize("part", [1, 2])
def test_a_certificate_is_revoked_by_its_digest(part: int) -> None:
    """The signer's own certificate, or one that leads to the authority, can be revoked alone."""
    from shipway.security.chains import read_certified

    chain = new_chain()
    digest = read_certified(chain.signer.chain).fingerprints[part - 1]
    policy = TrustPolicy(
        mode=TrustMode.REQUIRE,
        identities=(("*", chain.signer.identity),),
        authorities=chain.root.decode(),
        revoked=frozenset({digest}),
    )
    with pytest.raises(IdentityRevoked):
        judged(policy, signature(chain.signer))


def test_a_foreign_certificate_in_the_chain_names_nobody() -> None:
    """A certificate that is appended to a chain does not lend its name to who signs."""
    trusted, stranger = new_chain(), new_chain(subject="stranger")
    signer = Signer(stranger.signer.key, (*stranger.signer.chain, trusted.signer.chain[0]))
    with pytest.raises(NotBelieved):
        judged(requiring(trusted.signer.identity, chain=trusted), signature(signer))


def test_a_certificate_of_another_key_signs_nothing() -> None:
    """A key and a certificate that do not belong together are refused before anything is signed."""
    with pytest.raises(UsageError, match="not of the key"):
        Signer(KEY, new_chain().signer.chain)


PICKLE = ("model.zip/source/a.pkl", f"sha256:{'44' * 32}")


@pytest.mark.parametrize("entry", ["fraud", "fr*", PICKLE[1]])
def test_a_pickle_needs_a_name_an_entry_and_a_process_of_its_own(entry: str) -> None:
    """A pickle is opened where all three are there, and refused where one of them is missing."""
    listed, unlisted = TrustPolicy(pickle=(entry,)), TrustPolicy(pickle=("churn",))
    named, stranger = Believed("key:1", named=True), Believed("key:1")

    def check(policy: TrustPolicy, believed: Believed, *, confined: bool = True) -> None:
        check_pickles(
            policy, "fraud", [PICKLE], lambda: believed, confined=confined, what="fraud@1"
        )

    check(listed, named)
    for policy, believed, confined, says in (
        (unlisted, named, True, "does not list it"),
        (listed, stranger, True, "nobody whom the policy names"),
        (listed, named, False, "process of its own"),
    ):
        with pytest.raises(PickleRefused, match=says):
            check(policy, believed, confined=confined)
