"""The key that signs the checkpoints of an audit log: Ed25519, one a log, made at its first use."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from shipway.durable import replace_file, storing

KEY_FILE = "key"
_SEED_BYTES = 32


def can_sign() -> bool:
    """Whether the package is there that signs; without it a log is a chain without signatures."""
    try:
        import cryptography.hazmat.primitives.asymmetric.ed25519  # noqa: F401, PLC0415
    except ImportError:
        return False
    return True


class AuditKey:
    """The private half, in a file that its owner alone may read."""

    def __init__(self, seed: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
            Ed25519PrivateKey,
        )

        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._key.public_key().public_bytes_raw().hex()

    def sign(self, message: bytes) -> str:
        """The signature of *message*, in hex."""
        return self._key.sign(message).hex()


def audit_key(folder: Path) -> AuditKey | None:
    """The key in *folder*, made if there is none; None where nothing here can sign.

    To be called by one at a time. Raises :class:`~shipway.errors.StoreError`.
    """
    if not can_sign():
        return None
    path = folder / KEY_FILE
    with storing(path):
        if not path.exists():
            replace_file(path, os.urandom(_SEED_BYTES))
        return AuditKey(path.read_bytes())


def has_signed(public: str, message: bytes, signature: str) -> bool:
    """Whether the key *public* (hex) has signed *message*."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PublicKey,
    )

    with suppress(ValueError, InvalidSignature):
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
        key.verify(bytes.fromhex(signature), message)
        return True
    return False


def public_key(folder: Path) -> str:
    """The public half (hex) of the key in *folder*; "" if there is none, or nothing reads it."""
    path = folder / KEY_FILE
    if not can_sign() or not path.exists():
        return ""
    with storing(path):
        return AuditKey(path.read_bytes()).public
