"""Values of people that are written as something else: as a keyed hash, or encrypted.

A **hash** is HMAC-SHA-256 (RFC 2104), cut to 128 bits, under a key of the store, of the column's
name and the value as text. Equal values of a column are equal, so they can be counted, joined and
looked for; who lacks the key cannot try out values. An **encrypted** value is ChaCha20-Poly1305
(RFC 8439) under a random nonce, authenticated with the column's name; equal values differ, and who
holds an identity can have them back.

Both keys come of one, which is made at its first use. Where recipients are named it is kept wrapped
for them (``sealing``); else it is a file for this user's eyes only, and nothing can be encrypted.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from shipway.domain.events import Scalar
from shipway.domain.text import text_of
from shipway.durable import private_folder, replace_file, storing, write_new
from shipway.errors import ConfigError, KeyNotHeld, MissingPackage, SealBroken, UsageError
from shipway.security.sealing import Keyring, Place

FOLDER = "personal"
HASHED = "hmac-sha256:"
SEALED = "sealed:"
_FILE = "key.json"
_PLACE = Place(model="", version="personal", path=_FILE)
_KEY_BYTES = 32
_HASH_DIGITS = 32
_NONCE_BYTES = 12


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """The key as it is kept: plain in Base64, or wrapped for ``recipients``."""

    plain: str = ""
    wrapped: str = ""
    recipients: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PersonalKey:
    """Hashes and encrypts values; nothing of it is in ``repr``, in logs or in errors.

    >>> key = PersonalKey(b"0" * 32)
    >>> key.hashed("email", "anna@example.org") == key.hashed("email", "anna@example.org")
    True
    >>> key.opened("email", key.sealed("email", "anna@example.org"))
    'anna@example.org'
    """

    _secret: bytes = field(repr=False)
    _cipher: Any = field(init=False, repr=False, compare=False, default=None)

    def hashed(self, column: str, value: Scalar) -> str:
        """*value* of *column* as its hash; the same for a whole number and the same float."""
        message = column.encode() + b"\0" + text_of(value).encode()
        found = hmac.new(self._derived(b"hash"), message, hashlib.sha256).hexdigest()
        return HASHED + found[:_HASH_DIGITS]

    def sealed(self, column: str, value: Scalar) -> str:
        """*value* of *column* encrypted."""
        nonce = os.urandom(_NONCE_BYTES)
        content = self._aead().encrypt(nonce, msgspec.json.encode(value), column.encode())
        return SEALED + base64.b64encode(nonce + content).decode()

    def opened(self, column: str, sealed: str) -> Scalar:
        """The value that :meth:`sealed` made *sealed* of.

        Raises UsageError for what is none, and :class:`~shipway.errors.SealBroken` for one of
        another column, of another key, or altered.
        """
        try:
            if not sealed.startswith(SEALED):
                raise ValueError(sealed)
            raw = base64.b64decode(sealed.removeprefix(SEALED), validate=True)
        except (binascii.Error, ValueError) as error:
            raise UsageError(
                f"this is no encrypted value: it is not {SEALED!r} and Base64 after it",
                next_step="give it as it stands in the events or in the output of `score`",
            ) from error
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415

        try:
            content = self._aead().decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], column.encode())
        except (InvalidTag, ValueError) as error:
            raise SealBroken(
                f"this value was not encrypted here as one of the column {column!r}",
                next_step="name its column, and see that the store has the key of that time",
            ) from error
        value: Scalar = msgspec.json.decode(content)
        return value

    def _derived(self, use: bytes) -> bytes:
        return hmac.new(self._secret, b"shipway personal " + use, hashlib.sha256).digest()

    def _aead(self) -> Any:
        if self._cipher is None:
            try:
                from cryptography.hazmat.primitives.ciphers.aead import (  # noqa: PLC0415
                    ChaCha20Poly1305,
                )
            except ImportError as error:
                raise MissingPackage.for_extra(
                    "cryptography", "encrypt", "encrypt personal columns"
                ) from error
            object.__setattr__(self, "_cipher", ChaCha20Poly1305(self._derived(b"encrypt")))
        return self._cipher


@dataclass(frozen=True, slots=True)
class PersonalKeys:
    """The key of the store folder *home*, kept as *keyring* says."""

    home: Path
    keyring: Keyring

    def key(self, *, encrypts: bool = False) -> PersonalKey:
        """The key, made if there is none; *encrypts* says that it must be one that is wrapped.

        Raises :class:`~shipway.errors.ConfigError` where that cannot be,
        :class:`~shipway.errors.KeyNotHeld` and :class:`~shipway.errors.SealBroken`.
        """
        path = self.home / FOLDER / _FILE
        kept = _read(path)
        if kept is None:
            kept = self._make(path)
        elif kept.plain and self.keyring.recipients:
            kept = self._wrap(path, base64.b64decode(kept.plain))
        if encrypts and not kept.wrapped:
            raise ConfigError(
                "a column is to be encrypted, and nobody is named for whom",
                next_step="set encryption.recipients, or have the column hashed or dropped:"
                " `personal` in contract.yaml",
            )
        if not kept.wrapped:
            return PersonalKey(base64.b64decode(kept.plain))
        held = self.keyring.opener().unwrap(kept.wrapped, _PLACE)
        return PersonalKey(base64.b64decode(held.identity))

    def rewrap(self, *, dry_run: bool = False) -> bool:
        """Wrap the key for the recipients of now; whether there is one and it was not so."""
        path = self.home / FOLDER / _FILE
        kept = _read(path)
        sealer = self.keyring.sealer()
        if kept is None or sealer is None or set(kept.recipients) == set(sealer.recipients):
            return False
        if dry_run:
            return True
        if kept.plain:
            self._wrap(path, base64.b64decode(kept.plain))
            return True
        wrapped = sealer.rewrap(kept.wrapped, _PLACE, self.keyring.opener())
        with storing(path):
            replace_file(path, _encoded(_Kept(wrapped=wrapped, recipients=sealer.recipients)))
        return True

    def _make(self, path: Path) -> _Kept:
        """Make a key; of several who do at once, all take the one that came first."""
        secret = os.urandom(_KEY_BYTES)
        fresh = self._kept(secret)
        staged = path.with_name(f"{_FILE}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
        with storing(path):
            private_folder(path.parent)
            write_new(staged, _encoded(fresh))
            try:
                os.link(staged, path)
            except FileExistsError:
                found = _read(path)
                return fresh if found is None else found
            finally:
                staged.unlink(missing_ok=True)
        return fresh

    def _wrap(self, path: Path, secret: bytes) -> _Kept:
        kept = self._kept(secret)
        with storing(path):
            replace_file(path, _encoded(kept))
        return kept

    def _kept(self, secret: bytes) -> _Kept:
        told = base64.b64encode(secret).decode()
        sealer = self.keyring.sealer()
        if sealer is None:
            return _Kept(plain=told)
        return _Kept(wrapped=sealer.wrap(told, _PLACE), recipients=sealer.recipients)


Written = Callable[[Scalar], Scalar]
"""What is written in the place of a value."""


def _encoded(kept: _Kept) -> bytes:
    return msgspec.json.encode(kept) + b"\n"


def _read(path: Path) -> _Kept | None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeyNotHeld(
            f"the key of personal columns, {path}, cannot be read: {error.strerror}",
            next_step="give this user the right to read it",
        ) from error
    try:
        kept = msgspec.json.decode(content, type=_Kept)
    except msgspec.DecodeError as error:
        raise SealBroken(
            f"the key of personal columns, {path}, is damaged: {error}",
            next_step="put a copy of it there; without one, move it away: values that are hashed"
            " from then on are no more like those from before",
        ) from error
    return kept
