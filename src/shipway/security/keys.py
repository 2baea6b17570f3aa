"""API keys: made once, shown once, stored as a digest, checked in constant time.

A key reads ``shipway_<env>_<id>_<secret>_<checksum>``: 12 base62 characters of id to look it up
by, 43 of secret (256 bits), and 6 of CRC-32 over all that stands before them, so that a
mistyped key is refused before anything is looked up and a scanner of leaked secrets has few
false alarms. 256 random bits need no slow hash: SHA-256 is kept at rest (ASVS 5.0, 6.5.2).
What each scope may do is in ``policy``; where records are kept is the registry's business.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hmac import compare_digest

import msgspec

from shipway.domain.times import iso
from shipway.errors import NotAuthenticated, UsageError
from shipway.security.callers import Caller
from shipway.security.policy import Scope

DEFAULT_LIFETIME = timedelta(days=90)
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_LENGTH, _SECRET_LENGTH, _CHECKSUM_LENGTH = 12, 43, 6
_SECRET_BYTES = 32
_ENVIRONMENT = re.compile(r"[a-z]{1,16}", re.ASCII)
_KEY = re.compile(
    r"(shipway_[a-z]{1,16}_([0-9A-Za-z]{12})_[0-9A-Za-z]{43})_([0-9A-Za-z]{6})", re.ASCII
)
_SECRET = re.compile(r"(shipway_[a-z]{1,16}_[0-9A-Za-z]{12}_)[0-9A-Za-z_]+", re.ASCII)
_NOBODY = "0" * 64
_CREATE = "make one with `shipway keys create` and send it as `Authorization: Bearer <key>`"


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of a key: ``digest`` is the SHA-256 of its whole text, in hex."""

    id: str
    digest: str
    scopes: tuple[Scope, ...]
    name: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ParsedKey:
    """A key whose form and checksum are right; its text stays out of ``repr`` and of logs."""

    id: str
    text: str = field(repr=False)

    @property
    def digest(self) -> str:
        """The SHA-256 of the whole key, in hex, as it is kept at rest."""
        return hashlib.sha256(self.text.encode("ascii")).hexdigest()


def issue(
    *,
    scopes: Iterable[Scope | str],
    now: datetime,
    random: Callable[[int], bytes],
    name: str = "",
    env: str = "live",
    expires_in: timedelta = DEFAULT_LIFETIME,
) -> tuple[str, KeyRecord]:
    """A new key: the text to show once, and the record to keep.

    *random* gives as many random bytes as asked for; outside of tests it is
    :func:`secrets.token_bytes`. Raises :class:`~shipway.errors.UsageError` for an unknown scope,
    no scope at all, an *env* other than 1 to 16 of a-z, or a lifetime that is not positive.
    """
    granted = _scopes(scopes)
    if not _ENVIRONMENT.fullmatch(env):
        raise UsageError(
            f"{env!r} cannot be the environment of a key", next_step="use 1 to 16 letters of a-z"
        )
    if expires_in <= timedelta(0):
        raise UsageError(
            f"a key cannot live for {expires_in}", next_step="say after how many days it expires"
        )
    key_id = _base62(int.from_bytes(random(16), "big") % 62**_ID_LENGTH, _ID_LENGTH)
    secret = _base62(int.from_bytes(random(_SECRET_BYTES), "big"), _SECRET_LENGTH)
    stem = f"shipway_{env}_{key_id}_{secret}"
    text = f"{stem}_{_checksum(stem)}"
    record = KeyRecord(
        id=key_id,
        digest=ParsedKey(key_id, text).digest,
        scopes=granted,
        name=name,
        created_at=now,
        expires_at=now + expires_in,
    )
    return text, record


def parse(text: str) -> ParsedKey:
    """*text* taken apart. Raises NotAuthenticated, never with the key in it, if it is no key."""
    match = _KEY.fullmatch(text)
    if match is None:
        raise NotAuthenticated(
            f"what was sent as a key, {len(text)} characters, is not one of Shipway's",
            next_step=f"a key reads shipway_live_…; {_CREATE}",
        )
    stem, key_id, checksum = match.groups()
    if not compare_digest(_checksum(stem), checksum):
        raise NotAuthenticated(
            "the key's checksum is wrong: a character was lost or changed",
            next_step="copy the key again, whole",
        )
    return ParsedKey(key_id, text)


class KeyRing:
    """The keys that are known at one moment; replace the whole ring when they change."""

    def __init__(self, records: Iterable[KeyRecord]) -> None:
        self._records = {record.id: record for record in records}

    def __len__(self) -> int:
        return len(self._records)

    def authenticate(self, text: str | None, now: datetime) -> KeyRecord:
        """The record of the key *text*.

        Raises :class:`~shipway.errors.NotAuthenticated` with the reason. An unknown id and a
        wrong secret answer alike and cost the same comparison; why a key is no longer good is
        told only to who holds its secret.
        """
        if not text:
            raise NotAuthenticated("no key came with the request", next_step=_CREATE)
        key = parse(text)
        record = self._records.get(key.id)
        same = compare_digest(key.digest, _NOBODY if record is None else record.digest)
        if record is None or not same:
            raise NotAuthenticated("this key is not known here", next_step=_CREATE)
        if record.revoked_at is not None:
            raise NotAuthenticated(
                f"the key {caller_of(record).label} was revoked on {iso(record.revoked_at)}",
                next_step="use another key, or make a new one with `shipway keys create`",
            )
        if now >= record.expires_at:
            raise NotAuthenticated(
                f"the key {caller_of(record).label} expired on {iso(record.expires_at)}",
                next_step="make a new one with `shipway keys create`",
            )
        return record


def caller_of(record: KeyRecord) -> Caller:
    """Who calls with the key of *record*."""
    return Caller(record.id, record.name, record.scopes, record.expires_at)


def without_secrets(text: str) -> str:
    """*text* with every key in it cut down to its id, for logs.

    >>> without_secrets("Bearer shipway_live_" + "A" * 12 + "_" + "B" * 43 + "_" + "C" * 6)
    'Bearer shipway_live_AAAAAAAAAAAA_***'
    """
    return _SECRET.sub(r"\1***", text)


def _scopes(given: Iterable[Scope | str]) -> tuple[Scope, ...]:
    names = sorted({str(scope) for scope in given})
    known = [scope.value for scope in Scope]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        what = f"{', '.join(map(repr, unknown))} is no scope" if unknown else "no scope was named"
        raise UsageError(what, next_step=f"choose from {', '.join(known)}")
    return tuple(Scope(name) for name in names)


def _base62(value: int, length: int) -> str:
    digits = []
    for _ in range(length):
        value, digit = divmod(value, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def _checksum(stem: str) -> str:
    return _base62(zlib.crc32(stem.encode("ascii")), _CHECKSUM_LENGTH)
