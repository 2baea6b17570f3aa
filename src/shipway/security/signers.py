"""The public keys of an issuer: a JSON Web Key Set, and which of them signs by which algorithm.

``joserfc`` comes with the extra ``jwt`` and is imported when a set is read, so that servers
without tokens load neither it nor ``cryptography``.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from shipway.errors import IssuerUnreachable, MissingPackage

_MOST_KEYS = 64
_LEAST_RSA_BITS, _MOST_RSA_BITS = 2048, 8192
_MOST_EXPONENT_SIGNS = 8
_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_PUBLIC = ("kty", "n", "e", "crv", "x", "y")

Check = Callable[[bytes, bytes], bool]
"""Whether the second bytes are a signature over the first."""


@dataclass(frozen=True, slots=True)
class Signer:
    """One public key; ``checks`` has the check of each algorithm that it may be used with.

    A key that is of no use here has none; that it is known spares asking the issuer for it.
    """

    id: str | None
    checks: Mapping[str, Check] = field(repr=False)

    def signed(self, algorithm: str, message: bytes, signature: bytes) -> bool:
        """Whether *signature* over *message* was made by *algorithm* with the private key."""
        check = self.checks.get(algorithm)
        return check is not None and check(message, signature)


@dataclass(frozen=True, slots=True)
class Signers:
    """The keys that an issuer published at one moment."""

    keys: tuple[Signer, ...] = ()

    def named(self, key_id: str | None, algorithm: str) -> Sequence[Signer] | None:
        """The keys that a token of *key_id* may be signed with; None where no key is called so.

        Without an id there must be one key alone that fits.
        """
        fitting = [key for key in self.keys if algorithm in key.checks]
        if key_id is None:
            return fitting if len(fitting) == 1 else ()
        if all(key.id != key_id for key in self.keys):
            return None
        return [key for key in fitting if key.id == key_id]


def read_signers(document: bytes, algorithms: frozenset[str]) -> Signers:
    """The keys of a JSON Web Key Set that *algorithms* can use; the others are passed over.

    RFC 7517 (5) asks to ignore keys that are not understood, so that an issuer may add new kinds.
    Raises :class:`~shipway.errors.IssuerUnreachable` if *document* is no key set, and
    :class:`~shipway.errors.MissingPackage` without joserfc.
    """
    jose = load_jose()
    try:
        listed = json.loads(document)["keys"]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise _no_set("it is no JSON Web Key Set") from error
    if not isinstance(listed, list) or len(listed) > _MOST_KEYS:
        raise _no_set(f"its keys are no list of {_MOST_KEYS} at most")
    told = [one for one in listed if isinstance(one, dict)]
    return Signers(tuple(_signer(one, algorithms, jose) for one in told))


class Jose(NamedTuple):
    """The parts of joserfc that are used here."""

    jws: Any
    jwk: Any
    errors: Any


def load_jose() -> Jose:
    """joserfc; raises :class:`~shipway.errors.MissingPackage` with the line that installs it."""
    try:
        from joserfc import errors, jwk, jws  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingPackage.for_extra("joserfc", "jwt", "check JSON Web Tokens") from error
    return Jose(jws, jwk, errors)


def _signer(told: Mapping[str, Any], algorithms: frozenset[str], jose: Jose) -> Signer:
    """The key that *told* describes."""
    key_id = told.get("kid")
    checks = _checks(told, algorithms, jose)
    return Signer(key_id, checks) if isinstance(key_id, str) else Signer(None, checks)


def _checks(told: Mapping[str, Any], algorithms: frozenset[str], jose: Jose) -> Mapping[str, Check]:
    operations = told.get("key_ops", ["verify"])
    meant = told.get("use", "sig") == "sig" and isinstance(operations, list)
    if not meant or "verify" not in operations:
        return {}
    named = frozenset({told["alg"]}) if isinstance(told.get("alg"), str) else algorithms
    public = {name: told[name] for name in _PUBLIC if isinstance(told.get(name), str)}
    kind = public.get("kty")
    possible = [name for name in algorithms & named if _TYPES[name[:2]] == kind]
    if not possible or not _sound(public):
        return {}
    try:
        key = jose.jwk.import_key(public)
        return {name: _check(name, key, jose) for name in possible if _fits(name, key, jose)}
    except (jose.errors.JoseError, ValueError, TypeError):
        return {}


def _sound(public: Mapping[str, str]) -> bool:
    """Whether a key is neither too weak nor so large that checking with it would take long."""
    if public["kty"] == "OKP":
        return public.get("crv") == "Ed25519"
    if public["kty"] != "RSA":
        return True
    modulus = public.get("n", "")
    try:
        number = int.from_bytes(urlsafe_b64decode(modulus + "=" * (-len(modulus) % 4)), "big")
    except ValueError:
        return False
    small = len(public.get("e", "")) <= _MOST_EXPONENT_SIGNS
    return small and _LEAST_RSA_BITS <= number.bit_length() <= _MOST_RSA_BITS


def _fits(name: str, key: Any, jose: Jose) -> bool:
    try:
        jose.jws.JWSRegistry.algorithms[name].check_key(key)
    except jose.errors.JoseError:
        return False
    return True


def _check(name: str, key: Any, jose: Jose) -> Check:
    # Not through JWSRegistry.get_alg, which warns of EdDSA by its old name at every use.
    verify = jose.jws.JWSRegistry.algorithms[name].verify

    def check(message: bytes, signature: bytes) -> bool:
        try:
            return bool(verify(message, signature, key))
        except (jose.errors.JoseError, ValueError):
            return False

    return check


def _no_set(why: str) -> IssuerUnreachable:
    return IssuerUnreachable(
        f"what the issuer published as its keys cannot be used: {why}",
        next_step="look at auth.jwks_url, or at the issuer's discovery document",
    )
