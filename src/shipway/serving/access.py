"""Who is calling: keys from headers, remembered by digest for as long as the key ring lives."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from shipway.errors import MalformedRequest, NotAuthenticated
from shipway.security.keys import KeyRecord, KeyRing
from shipway.security.policy import Scope

_REMEMBERED = 4096


class Access:
    """Authenticates and authorises callers against one set of keys.

    Replace it whole when keys change: nothing that it remembers outlives it, so a revoked key is
    refused as soon as the new one is in place.
    """

    def __init__(self, keys: Iterable[KeyRecord], clock: Callable[[], datetime]) -> None:
        self._ring = KeyRing(keys)
        self._clock = clock
        self._good: dict[tuple[bytes, Scope], KeyRecord] = {}

    def allow(self, headers: Mapping[bytes, bytes], scope: Scope) -> KeyRecord:
        """The key that came in *headers*, if it is good and carries *scope*.

        Raises :class:`~shipway.errors.NotAuthenticated` and
        :class:`~shipway.errors.NotAuthorised`. Only good keys are remembered, by the SHA-256 of
        their text, so neither secrets nor guesses are kept.
        """
        text = key_in(headers)
        digest = hashlib.sha256(text).digest()
        now = self._clock()
        record = self._good.get((digest, scope))
        if record is not None and now < record.expires_at:
            return record
        record = self._ring.authenticate(text.decode("latin-1"), now)
        self._ring.authorise(record, scope)
        if len(self._good) < _REMEMBERED:
            self._good[digest, scope] = record
        return record


def key_in(headers: Mapping[bytes, bytes]) -> bytes:
    """The text of the key in *headers* (names in lower case), ``b""`` if there is none.

    ``Authorization: Bearer <key>`` and ``X-API-Key: <key>`` are taken. Raises MalformedRequest if
    both came and differ, NotAuthenticated for another authentication scheme.
    """
    plain = headers.get(b"x-api-key", b"").strip()
    header = headers.get(b"authorization")
    if header is None:
        return plain
    scheme, _, rest = header.strip().partition(b" ")
    if scheme.lower() != b"bearer":
        raise NotAuthenticated(
            "the Authorization header is not of the form Bearer <key>",
            next_step="send `Authorization: Bearer <key>`",
        )
    bearer = rest.strip()
    if plain and plain != bearer:
        raise MalformedRequest(
            "Authorization and X-API-Key came with different keys",
            next_step="send one of the two",
        )
    return bearer
