"""Keys of the curves P-256, P-384 and P-521, each with the hash of its size.

A key's **fingerprint** is the SHA-256 of its PEM, as OpenSSF Model Signing has it in ``hint``.
``cryptography`` comes with the extra ``sign`` and is imported when a key is met, so that what
neither signs nor verifies does not load it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from shipway.errors import MissingPackage, SignatureMalformed, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import (
        ECDSA,
        EllipticCurvePrivateKey,
        EllipticCurvePublicKey,
    )

_HASHES: Mapping[str, str] = MappingProxyType(
    {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}
)
_CURVES = "P-256, P-384 or P-521"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that signatures are verified with."""

    pem: str
    _key: EllipticCurvePublicKey = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the PEM, in hex."""
        return hashlib.sha256(self.pem.encode()).hexdigest()

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Whether *signature* (DER) over *message* was made with the private key of this one."""
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415

        try:
            self._key.verify(signature, message, _ecdsa(self._key.curve.name))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key that signs; nothing of it is in ``repr``, in logs or in errors."""

    _key: EllipticCurvePrivateKey = field(repr=False)

    @property
    def public(self) -> PublicKey:
        """The key that others verify with."""
        return public_key_of(self._key.public_key())

    def sign(self, message: bytes) -> bytes:
        """The signature over *message*, in DER."""
        return self._key.sign(message, _ecdsa(self._key.curve.name))


def require_cryptography(why: str) -> None:
    """Raise MissingPackage unless what verifies and signs is installed; *why* it is needed."""
    try:
        import cryptography.hazmat.primitives.asymmetric.ec  # noqa: F401, PLC0415
    except ImportError as error:
        raise MissingPackage.for_extra("cryptography", "sign", why) from error


def can_sign() -> bool:
    """Whether what signs and verifies is installed."""
    try:
        require_cryptography("sign a version")
    except MissingPackage:
        return False
    return True


def new_key_pem() -> bytes:
    """A new private key on P-256, as PEM."""
    require_cryptography("sign a version")
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def read_private_key(pem: bytes, *, where: str) -> PrivateKey:
    """The private key in *pem*, which comes from *where*.

    Raises :class:`~shipway.errors.UsageError`, with nothing of the key in it.
    """
    require_cryptography("sign a version")
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError(
            f"what {where} holds is no private key in PEM without a passphrase",
            next_step="make one with `openssl ecparam -name prime256v1 -genkey -noout`",
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in _HASHES:
        raise UsageError(
            f"the key of {where} is not of the curve {_CURVES}",
            next_step="make one with `openssl ecparam -name prime256v1 -genkey -noout`",
        )
    return PrivateKey(key)


def read_public_key(pem: str) -> PublicKey:
    """The public key in *pem*; raises :class:`~shipway.errors.SignatureMalformed`."""
    require_cryptography("verify a signature")
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _no_key("it is no PEM of one") from error
    return public_key_of(key)


def public_key_of(key: object) -> PublicKey:
    """*key* of the library ``cryptography``, if it is of a curve that may sign models."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _HASHES:
        raise _no_key(f"it is not of the curve {_CURVES}")
    pem = key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return PublicKey(pem.decode(), key)


def _ecdsa(curve: str) -> ECDSA:
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA  # noqa: PLC0415

    return ECDSA(getattr(hashes, _HASHES[curve])())


def _no_key(why: str) -> SignatureMalformed:
    return SignatureMalformed(
        f"the public key of the signature cannot be used: {why}",
        next_step=f"sign with a key of the curve {_CURVES}",
    )
