"""Files that only those can read who hold a key: sealed with age, each with a key of its own.

What is sealed is encrypted to a key that is made for it alone, the *file key*. The file key is
*wrapped*: encrypted in turn to the recipients, together with what it is the key of. So a change of
recipients wraps the file keys anew and leaves the files as they are, and a file that was moved to
another place, or exchanged for another, is refused.

age (age-encryption.org/v1) authenticates in pieces of 64 KiB, the last of them marked as such.
Everything is decrypted before anything is given, so that a truncated file gives nothing.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from shipway.domain.digests import digest_of
from shipway.errors import ConfigError, KeyNotHeld, MissingPackage, SealBroken

if TYPE_CHECKING:
    import pyrage

_BEGINS = "AGE-SECRET-KEY-1"  # how age begins every secret key
_LARGEST_IDENTITY_BYTES = 64 << 10
_MEND = "restore it from a backup, or publish the same files again"
_NOBODY = "name the file or the variable of a key that can: encryption.identities"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What something sealed is: the file *path* of a version (its digest) of a model.

    What is of no version says so in its own words, as in ``model="" version="events"``.
    """

    model: str
    version: str
    path: str


class FileKey(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrapped: the secret, what it opens, and where that belongs.

    ``digest`` is of the sealed bytes, "" for what is still being written; ``identity`` is a secret
    key of age, or that of another cipher in Base64.
    """

    place: Place
    digest: str
    identity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """The sealed bytes, their digest, and the file key as it is wrapped for the recipients."""

    content: bytes
    digest: str
    key: str


@dataclass(frozen=True, slots=True)
class Sealer:
    """Seals for *recipients*, public keys as ``age1…``.

    Raises :class:`~shipway.errors.MissingPackage` without the extra encrypt, and
    :class:`~shipway.errors.ConfigError` for what is no public key.

    >>> sealer = Sealer((new_identity()[1],))
    >>> sealed = sealer.seal(b"trees", Place(model="fraud", version="sha256:…", path="model.onnx"))
    >>> b"trees" in sealed.content
    False
    """

    recipients: tuple[str, ...]
    _to: Sequence[Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_to", [_recipient(one) for one in self.recipients])

    def seal(self, content: bytes, place: Place) -> Sealed:
        """*content* encrypted to a new file key, which is wrapped as that of *place*."""
        age = _age()
        identity = age.x25519.Identity.generate()
        sealed = age.encrypt(content, [identity.to_public()])
        digest = digest_of(sealed)
        key = self.wrap(str(identity), place, digest)
        return Sealed(content=sealed, digest=digest, key=key)

    def rewrap(self, key: str, place: Place, opener: Opener) -> str:
        """The wrapped *key* of *place*, opened by *opener*, wrapped for these recipients."""
        held = opener.unwrap(key, place)
        return self.wrap(held.identity, place, held.digest)

    def wrap(self, identity: str, place: Place, digest: str = "") -> str:
        """The secret *identity*, wrapped as that of *place* and of the bytes with *digest*."""
        key = FileKey(place=place, digest=digest, identity=identity)
        return base64.b64encode(_age().encrypt(msgspec.json.encode(key), self._to)).decode()


@dataclass(frozen=True, slots=True)
class Opener:
    """Opens what was sealed for any of *identities*, secret keys as ``AGE-SECRET-KEY-1…``."""

    identities: tuple[str, ...] = field(repr=False)
    _keys: Sequence[Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        read = _age().x25519.Identity.from_str if self.identities else str
        object.__setattr__(self, "_keys", [read(one) for one in self.identities])

    def open(self, content: bytes, key: str, place: Place) -> bytes:
        """What was sealed as *content* for *place*, with its wrapped *key*.

        Raises :class:`~shipway.errors.KeyNotHeld` when none of the identities is a recipient,
        and :class:`~shipway.errors.SealBroken` for anything that was altered, cut or moved.
        """
        held = self.unwrap(key, place)
        if digest_of(content) != held.digest:
            raise SealBroken(
                f"{_told(place)}: the encrypted file is not the one that its key is of "
                f"(expected {held.digest}, got {digest_of(content)})",
                next_step=_MEND,
            )
        age = _age()
        try:
            opened: bytes = age.decrypt(content, [age.x25519.Identity.from_str(held.identity)])
        except (age.DecryptError, age.IdentityError) as error:
            raise SealBroken(
                f"{_told(place)}: it cannot be decrypted: {error}", next_step=_MEND
            ) from error
        return opened

    def unwrap(self, key: str, place: Place) -> FileKey:
        """The file key that *key* wraps, if it is the one of *place*."""
        if not self._keys:
            raise KeyNotHeld(
                f"{_told(place)} is encrypted, and no key is here to open it", next_step=_NOBODY
            )
        age = _age()
        try:
            opened = age.decrypt(base64.b64decode(key, validate=True), self._keys)
            held = msgspec.json.decode(opened, type=FileKey)
        except age.DecryptError as error:
            if "No matching keys" in str(error):
                raise KeyNotHeld(
                    f"{_told(place)} is encrypted for others than the keys that are here",
                    next_step=_NOBODY,
                ) from error
            raise SealBroken(
                f"{_told(place)}: its wrapped key was altered: {error}", next_step=_MEND
            ) from error
        except (binascii.Error, ValueError, msgspec.DecodeError) as error:
            raise SealBroken(
                f"{_told(place)}: its wrapped key cannot be read", next_step=_MEND
            ) from error
        if held.place != place:
            raise SealBroken(
                f"{_told(place)}: its wrapped key is that of {_told(held.place)}", next_step=_MEND
            )
        return held


@dataclass(frozen=True, slots=True)
class Keyring:
    """For whom things are sealed here, and with what they are opened; keys are read at first use.

    Without *recipients* nothing is sealed.
    """

    recipients: tuple[str, ...] = ()
    identities: Callable[[], tuple[str, ...]] = tuple
    opened_in: str = ""
    """The folder in memory that files are opened into; "" for the system's own."""

    def sealer(self) -> Sealer | None:
        """What seals; None where nothing is sealed."""
        return Sealer(self.recipients) if self.recipients else None

    def opener(self) -> Opener:
        """What opens; raises :class:`~shipway.errors.ConfigError` for what is no secret key."""
        return Opener(self.identities())


NO_KEYRING = Keyring()


class Encryption(msgspec.Struct, frozen=True, kw_only=True):
    """A keyring as it is told to other processes: where the secret keys are, and none of them."""

    recipients: tuple[str, ...] = ()
    identities: tuple[str, ...] = ()
    folder: str = ""
    opened_in: str = ""

    def keyring(self, environ: Mapping[str, str]) -> Keyring:
        """The keyring, whose secret keys are read at their first use."""
        read = partial(read_identities, self.identities, Path(self.folder), environ)
        return Keyring(self.recipients, read, self.opened_in)


PLAIN = Encryption()


def new_identity() -> tuple[str, str]:
    """A new pair of keys: the secret one and the public one."""
    identity = _age().x25519.Identity.generate()
    return str(identity), str(identity.to_public())


def public_of(secret: str) -> str:
    """The public key of *secret*."""
    return str(_age().x25519.Identity.from_str(secret).to_public())


def read_identities(
    addresses: Sequence[str], folder: Path, environ: Mapping[str, str]
) -> tuple[str, ...]:
    """The secret keys at *addresses*: ``file:PATH`` from *folder*, ``env:VARIABLE`` in *environ*.

    Each holds keys as ``age-keygen`` writes them, a line each, with comments after ``#``. Raises
    :class:`~shipway.errors.ConfigError`, never with anything of a key in it.
    """
    found: list[str] = []
    for address in addresses:
        kind, _, where = address.partition(":")
        text = _file(folder / where, address) if kind == "file" else environ.get(where, "")
        lines = [line.strip() for line in text.splitlines()]
        keys = [line for line in lines if line and not line.startswith("#")]
        if not keys or not all(map(_is_secret, keys)):
            raise ConfigError(
                f"encryption.identities: {address} holds no secret key of age",
                next_step="make one with `shipway encryption keygen FILE`",
            )
        found += keys
    return tuple(found)


def _file(path: Path, address: str) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST_IDENTITY_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(
            f"encryption.identities: {address} cannot be read: {why}",
            next_step="name a file that this user may read; `shipway encryption keygen FILE`"
            " makes one",
        ) from error


def _is_secret(text: str) -> bool:
    age = _age()
    try:
        age.x25519.Identity.from_str(text)
    except age.IdentityError:
        return False
    return text.startswith(_BEGINS)


def _recipient(text: str) -> pyrage.x25519.Recipient:
    age = _age()
    try:
        return age.x25519.Recipient.from_str(text)
    except age.RecipientError as error:
        raise ConfigError(
            f"encryption.recipients: {text!r} is no public key of age: {error}",
            next_step="it begins with age1 and is what `shipway encryption keygen FILE` prints",
        ) from error


def require_age(why: str = "encrypt what is stored") -> None:
    """Raise :class:`~shipway.errors.MissingPackage` where the extra encrypt is not installed."""
    try:
        import pyrage  # noqa: F401, PLC0415  the extra's library, when it is first needed
    except ImportError as error:
        raise MissingPackage.for_extra("pyrage", "encrypt", why) from error


def _age() -> Any:
    require_age()
    import pyrage  # noqa: PLC0415

    return pyrage


def _told(place: Place) -> str:
    return f"{place.path} of {place.model or 'the store'} ({place.version[:19]})"
