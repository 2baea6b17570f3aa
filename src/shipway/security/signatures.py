"""Making a signature of a model, and finding out who made one.

The rules of the form are in ``statements``; whether the one who signed is believed is ``trust``'s.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from shipway.errors import EnvironmentFailure, SignatureInvalid, SignatureMalformed, UsageError
from shipway.security.chains import Certified, read_certified
from shipway.security.curves import PublicKey, read_public_key
from shipway.security.statements import (
    Bundle,
    Chain,
    Material,
    PublicKeyHint,
    RawCertificate,
    Statement,
    bundle_bytes,
    decoded,
    read_bundle,
    read_statement,
    signed_message,
    statement_bytes,
)


class SigningKey(Protocol):
    """A key that signs, wherever it lies; the private part need not be in this process."""

    @property
    def public(self) -> PublicKey:
        """The key that others verify with."""

    def sign(self, message: bytes) -> bytes:
        """The ECDSA signature in DER over *message*, hashed by the hash of the key's curve.

        Raises :class:`~shipway.errors.EnvironmentFailure` when the key cannot be used now.
        """


@dataclass(frozen=True, slots=True)
class Signer:
    """A key, and with ``chain`` (DER, the signer's first) the certificates that say whose."""

    key: SigningKey
    chain: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.chain and read_certified(self.chain).key != self.key.public:
            raise UsageError(
                "the signer's certificate is not of the key that signs",
                next_step="let sign.certificate begin with the certificate of sign.key",
            )

    @property
    def identity(self) -> str:
        """Who signs, as a policy names it."""
        if self.chain:
            return read_certified(self.chain).identity
        return f"key:{self.key.public.fingerprint}"

    def sign(self, subject: str, digests: Mapping[str, str]) -> bytes:
        """The bundle for the model *subject* of files with *digests* (by path, SHA-256 in hex)."""
        payload = statement_bytes(subject, digests)
        message = signed_message(payload)
        signature = self.key.sign(message)
        if not self.key.public.signed(message, signature):
            raise EnvironmentFailure(
                "what the key made is not a signature by it",
                next_step="look at what sign.key names: its public key must be of its private one",
            )
        return bundle_bytes(payload, signature, self._material())

    def _material(self) -> Material:
        if not self.chain:
            return Material(public_key=PublicKeyHint(hint=self.key.public.fingerprint))
        listed = tuple(RawCertificate(b64encode(one).decode()) for one in self.chain)
        return Material(chain=Chain(listed))


@dataclass(frozen=True, slots=True)
class Signed:
    """What was signed, and by whom: the signature is good, the signer not yet believed.

    ``names`` are all by which a policy may believe the signer: the first is the usual one.
    ``above`` are the certificates that lead to an authority; one of them revoked is enough.
    """

    statement: Statement
    names: tuple[str, ...]
    above: tuple[str, ...] = ()
    chain: tuple[bytes, ...] = ()

    @property
    def identity(self) -> str:
        """Who signed."""
        return self.names[0]


def read_signature(content: bytes, public_key: str = "") -> Signed:
    """Who signed what in the bundle *content*; *public_key* is the PEM of the key, if known.

    A bundle holds the digest of its key alone, before 1.1 of ``model-signing`` the key itself, or
    a chain of certificates. Raises :class:`~shipway.errors.SignatureMalformed` and
    :class:`~shipway.errors.SignatureInvalid`.
    """
    bundle, payload, signature = read_bundle(content)
    key, certified, chain = _signer_of(bundle, public_key)
    if not key.signed(signed_message(payload), signature):
        raise SignatureInvalid(
            "the signature was not made by the key that it names, or what is signed was changed",
            next_step="get the signature and the model again from where they come from",
        )
    statement, by_key = read_statement(payload), f"key:{key.fingerprint}"
    if certified is None:
        return Signed(statement, (by_key,))
    own, *above = certified.fingerprints
    return Signed(statement, (certified.identity, own, by_key), tuple(above), chain)


def _signer_of(
    bundle: Bundle, public_key: str
) -> tuple[PublicKey, Certified | None, tuple[bytes, ...]]:
    material = bundle.verification_material
    if material.chain is not None:
        chain = tuple(decoded(one.raw_bytes) for one in material.chain.certificates)
        certified = read_certified(chain)
        return certified.key, certified, chain
    told = material.public_key or PublicKeyHint()
    if not told.hint and not told.raw_bytes:
        raise SignatureMalformed(
            "the signature does not say which key made it",
            next_step="sign the model anew: `shipway sign`, or with the tool that signed it",
        )
    pem = public_key
    if not pem and told.raw_bytes:
        pem = decoded(told.raw_bytes).decode(errors="replace")
    if not pem:
        raise SignatureMalformed(
            f"the signature names the key {told.hint!r} and does not hold it",
            next_step="give the signer's public key: --public-key FILE",
        )
    key = read_public_key(pem)
    if told.hint and told.hint != key.fingerprint:
        raise SignatureInvalid(
            f"the signature is by the key {told.hint}, and the one given is {key.fingerprint}",
            next_step="give the public key of the one who signed",
        )
    return key, None, ()
