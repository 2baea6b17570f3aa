"""Certificates that sign models: from the signer's own, by others, to an authority of the policy.

No time of signing is known that could be believed, so a chain is judged at the moment when the
signer's certificate began to be valid, as the format's reference does: a model does not stop
serving because a certificate has ended. Who is believed no more is said in the policy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shipway.errors import (
    ConfigError,
    IdentityUnknown,
    SignatureInvalid,
    SignatureMalformed,
    UsageError,
)
from shipway.security.curves import PublicKey, public_key_of, require_cryptography

if TYPE_CHECKING:
    from cryptography.x509 import BasicConstraints, Certificate
    from cryptography.x509.verification import ExtensionPolicy, Policy

BY = " by "
_LONGEST_CHAIN = 8


@dataclass(frozen=True, slots=True)
class Certified:
    """A signer with a certificate: whose it is by whom, its key, and the digests of the chain."""

    identity: str
    key: PublicKey
    fingerprints: tuple[str, ...]


def read_certified(chain: Sequence[bytes]) -> Certified:
    """Who signs by *chain* (DER, the signer's first), its claim not yet verified.

    Raises :class:`~shipway.errors.SignatureMalformed`.
    """
    require_cryptography("verify a signature")
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415

    leaf = _certificates(chain)[0]
    _check_purpose(leaf)
    try:
        subject, issuer = leaf.subject.rfc4514_string(), leaf.issuer.rfc4514_string()
        key = leaf.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _malformed(f"the signer's own cannot be read: {error}") from error
    if BY in subject or BY in issuer or not subject or not issuer:
        raise _malformed(f"its names {subject!r} and {issuer!r} cannot be told apart in a policy")
    return Certified(
        identity=f"certificate:{subject}{BY}{issuer}",
        key=public_key_of(key),
        fingerprints=tuple(f"certificate:{hashlib.sha256(one).hexdigest()}" for one in chain),
    )


def check_chain(chain: Sequence[bytes], authorities: str) -> None:
    """Return if *chain* leads to one of *authorities* (PEM), by certificates that may certify.

    Raises :class:`~shipway.errors.IdentityUnknown`.
    """
    from cryptography.x509.verification import (  # noqa: PLC0415
        ExtensionPolicy,
        PolicyBuilder,
        Store,
        VerificationError,
    )

    leaf, *others = _certificates(chain)
    if not authorities:
        raise _not_led_to(leaf, "the policy has none")
    builder = (
        PolicyBuilder()
        .store(Store(read_authorities(authorities)))
        .time(leaf.not_valid_before_utc)
        .max_chain_depth(_LONGEST_CHAIN)
        .extension_policies(
            ca_policy=_may_certify(ExtensionPolicy.permit_all()),
            ee_policy=ExtensionPolicy.permit_all(),
        )
    )
    try:
        builder.build_client_verifier().verify(leaf, others)
    except VerificationError as error:
        raise _not_led_to(leaf, str(error)) from error


def read_authorities(pem: str) -> list[Certificate]:
    """The certificates in *pem*; raises :class:`~shipway.errors.ConfigError` for none."""
    require_cryptography("verify a signature")
    from cryptography.x509 import load_pem_x509_certificates  # noqa: PLC0415

    try:
        return load_pem_x509_certificates(pem.encode())
    except ValueError as error:
        raise ConfigError(
            f"the authorities of signers' certificates cannot be read: {error}",
            next_step="name a file of certificates in PEM as trust.authorities",
        ) from error


def chain_of(pem: bytes, *, where: str) -> tuple[bytes, ...]:
    """The certificates in *pem* as DER, in their order; *where* is what errors call it.

    Raises :class:`~shipway.errors.UsageError`.
    """
    require_cryptography("sign a version")
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415
    from cryptography.x509 import load_pem_x509_certificates  # noqa: PLC0415

    try:
        found = load_pem_x509_certificates(pem)
    except ValueError as error:
        raise UsageError(
            f"{where} holds no certificate in PEM: {error}",
            next_step="write the signer's certificate first, then those that lead to its authority",
        ) from error
    return tuple(one.public_bytes(Encoding.DER) for one in found)


def _certificates(chain: Sequence[bytes]) -> list[Certificate]:
    require_cryptography("verify a signature")
    from cryptography.x509 import load_der_x509_certificate  # noqa: PLC0415

    if not 1 <= len(chain) <= _LONGEST_CHAIN:
        raise _malformed(f"it has {len(chain)} certificates, not 1 to {_LONGEST_CHAIN}")
    try:
        return [load_der_x509_certificate(one) for one in chain]
    except ValueError as error:
        raise _malformed(f"a certificate in it cannot be read: {error}") from error


def _check_purpose(leaf: Certificate) -> None:
    """Raise unless *leaf* is for signatures: its key usage says so, or that it signs code."""
    from cryptography import x509  # noqa: PLC0415

    try:
        usages = leaf.extensions
        key = next((one.value for one in usages if isinstance(one.value, x509.KeyUsage)), None)
        extended = next(
            (one.value for one in usages if isinstance(one.value, x509.ExtendedKeyUsage)), ()
        )
    except (ValueError, x509.DuplicateExtension) as error:
        raise _malformed(f"a certificate in it cannot be read: {error}") from error
    signs = key is not None and key.digital_signature
    if not signs and x509.oid.ExtendedKeyUsageOID.CODE_SIGNING not in extended:
        raise SignatureInvalid(
            f"the certificate of {leaf.subject.rfc4514_string()!r} is not for signing",
            next_step="have a certificate made whose key usage is digitalSignature",
        )


def _may_certify(policy: ExtensionPolicy) -> ExtensionPolicy:
    from cryptography import x509  # noqa: PLC0415
    from cryptography.x509.verification import Criticality  # noqa: PLC0415

    def check(_: Policy, __: Certificate, constraints: BasicConstraints) -> None:
        if not constraints.ca:
            raise ValueError("a certificate on the way is not of an authority")

    def check_usage(_: Policy, __: Certificate, usage: x509.KeyUsage | None) -> None:
        if usage is not None and not usage.key_cert_sign:
            raise ValueError("a certificate on the way may not sign certificates")

    return policy.require_present(
        x509.BasicConstraints, Criticality.AGNOSTIC, check
    ).may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, check_usage)


def _not_led_to(leaf: Certificate, why: str) -> IdentityUnknown:
    return IdentityUnknown(
        f"the certificate of {leaf.subject.rfc4514_string()!r} does not lead to an authority of"
        f" the policy: {why}",
        next_step="name the authority's certificate in trust.authorities, if you believe it",
    )


def _malformed(why: str) -> SignatureMalformed:
    return SignatureMalformed(
        f"the signer's certificates cannot be used: {why}",
        next_step="sign the model anew, with the signer's certificate first in the chain",
    )
