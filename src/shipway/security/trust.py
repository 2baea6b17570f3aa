"""The policy: by whom a model must be signed to be believed. Pure, but for a line in the log.

An identity is ``key:<fingerprint>`` or ``certificate:<subject> by <issuer>`` (names in the form of
RFC 4514), and is named for the models whose name fits a pattern. A policy believes identities,
never "a valid signature": anybody can make one of those.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

import msgspec

from shipway.errors import (
    IdentityRevoked,
    IdentityUnknown,
    NotBelieved,
    PickleRefused,
    SignatureMissing,
)
from shipway.security.chains import check_chain
from shipway.security.matching import check_files
from shipway.security.signatures import Signed, read_signature
from shipway.security.statements import Resource

_log = logging.getLogger(__name__)


class TrustMode(StrEnum):
    """What is asked of a version before it is loaded.

    ``PRESENT`` is what holds when nothing is said: a signature that is there must be good.
    """

    OFF = "off"
    PRESENT = "present"
    WARN = "warn"
    REQUIRE = "require"


class TrustPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Who is believed: ``identities`` are pairs of a pattern of models and an identity.

    ``authorities`` is the PEM of the certificates that signers' certificates must lead to.
    ``pickle`` names the models, or the files by ``sha256:<hex>``, that may hold a pickle.
    """

    mode: TrustMode = TrustMode.PRESENT
    identities: tuple[tuple[str, str], ...] = ()
    revoked: frozenset[str] = frozenset()
    authorities: str = ""
    pickle: tuple[str, ...] = ()

    def named_for(self, model: str) -> frozenset[str]:
        """The identities that are believed of *model*."""
        return frozenset(who for pattern, who in self.identities if fnmatchcase(model, pattern))


DEFAULT_TRUST = TrustPolicy()
"""What holds where nothing is said."""


class Signature(msgspec.Struct, frozen=True):
    """A signature as it is stored: the bundle, and the PEM of the key, "" where it is inside."""

    bundle: bytes
    public_key: str = ""


@dataclass(frozen=True, slots=True)
class Believed:
    """What came of a judgement: who signed, if anybody did, and whether the policy names them."""

    identity: str = ""
    named: bool = False


def judge(
    policy: TrustPolicy,
    model: str,
    files: Sequence[Resource],
    find_signatures: Callable[[], Sequence[Signature]],
    *,
    what: str,
) -> Believed:
    """Whether *policy* believes the *files* of *what*, a version of *model*.

    One signature by a named identity is enough; in the mode ``present``, none, or one that is
    good. Raises what is a :class:`~shipway.errors.NotBelieved`: of several signatures that are
    refused, that one is revoked, or else the refusal of the last.
    """
    if policy.mode is TrustMode.OFF:
        return Believed()
    signatures = find_signatures()
    if policy.mode is TrustMode.PRESENT and not signatures:
        return Believed()
    try:
        return _one_of(policy, model, files, signatures, what)
    except NotBelieved as refused:
        if policy.mode is not TrustMode.WARN:
            raise
        _log.warning("%s", refused, extra={"code": refused.code})
        return Believed()


def check_pickles(
    policy: TrustPolicy,
    model: str,
    pickles: Sequence[tuple[str, str]],
    find_believed: Callable[[], Believed],
    *,
    confined: bool,
    what: str,
) -> None:
    """Return if the *pickles* of *what* (path and ``sha256:<hex>``) may be opened, or are none.

    Opening a pickle runs the code in it: it is refused unless a named identity signed the version,
    the policy lists the model or the file, and it is opened in a *confined* process. Raises
    :class:`~shipway.errors.PickleRefused`.
    """
    if pickles and not confined:
        raise PickleRefused(
            f"{what}: {pickles[0][0]!r} holds a pickle, which runs code when it is opened, and the"
            " format is not one that is loaded in a process of its own",
            next_step="pack the model as data, or as code of your own that opens it",
        )
    believed = find_believed() if pickles else Believed()
    for path, digest in pickles:
        listed = any(digest == one or fnmatchcase(model, one) for one in policy.pickle)
        if believed.named and listed:
            continue
        lacks = (
            "nobody whom the policy names signed it" if listed else "the policy does not list it"
        )
        raise PickleRefused(
            f"{what}: {path!r} holds a pickle, which runs code when it is opened, and {lacks}",
            next_step=f"name who signs in trust.identities and write pickle = [{digest!r}] under"
            " [trust], if you believe this code; better, pack the model as data",
        )


def check_identity(policy: TrustPolicy, model: str, signed: Signed, *, what: str) -> None:
    """Return if *policy* names who *signed* for *model*, and has not revoked them.

    Raises :class:`~shipway.errors.IdentityRevoked` or :class:`~shipway.errors.IdentityUnknown`.
    """
    _check_revoked(policy, signed, what)
    believed = policy.named_for(model) & set(signed.names)
    if not believed:
        raise IdentityUnknown(
            f"{what} is signed by {signed.identity}, whom the policy does not name for {model}",
            next_step=f'add "{model} = {signed.identity}" to trust.identities if you believe them',
        )
    if not any(one.startswith("key:") for one in believed):
        check_chain(signed.chain, policy.authorities)


def _one_of(
    policy: TrustPolicy,
    model: str,
    files: Sequence[Resource],
    signatures: Sequence[Signature],
    what: str,
) -> Believed:
    refused: NotBelieved = SignatureMissing(
        f"{what} is not signed, and the policy requires that it is",
        next_step="sign it with a key that trust.identities names: `shipway sign`",
    )
    for one in signatures:
        try:
            signed = _good(policy, one, files, what)
            if policy.mode is TrustMode.PRESENT:
                return Believed(signed.identity)
            check_identity(policy, model, signed, what=what)
        except NotBelieved as error:
            refused = refused if isinstance(refused, IdentityRevoked) else error
        else:
            return Believed(signed.identity, named=True)
    raise refused


def _good(
    policy: TrustPolicy, signature: Signature, files: Sequence[Resource], what: str
) -> Signed:
    signed = read_signature(signature.bundle, signature.public_key)
    check_files(signed.statement, files, what=what)
    _check_revoked(policy, signed, what)
    return signed


def _check_revoked(policy: TrustPolicy, signed: Signed, what: str) -> None:
    revoked = sorted(policy.revoked & {*signed.names, *signed.above})
    if revoked:
        raise IdentityRevoked(
            f"{what} is signed by {signed.identity}, and {revoked[0]} is revoked",
            next_step="promote a version that somebody else signed, or sign this one again:"
            " `shipway sign`",
        )
