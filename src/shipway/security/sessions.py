"""People who have logged in: who they are, until when, by a cookie that says nothing itself.

A session lives in the memory of the process that made it and ends with it, when its time is over,
or when its owner logs out. Of a cookie only the digest is kept.
"""

from __future__ import annotations

import threading
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256

from shipway.errors import NotAuthenticated
from shipway.security.callers import Caller

_MOST = 10_000
_TOKEN_BYTES = 32


class Sessions:
    """The sessions of one process. *random* gives as many random bytes as asked for."""

    def __init__(self, *, life: timedelta, random: Callable[[int], bytes]) -> None:
        self.life = life
        self._random = random
        self._open: dict[bytes, Caller] = {}
        self._lock = threading.Lock()

    def begin(self, caller: Caller, now: datetime) -> str:
        """A new session of *caller*, whatever his token's end: what the cookie is to hold.

        Beyond so many the oldest ends.
        """
        text = urlsafe_b64encode(self._random(_TOKEN_BYTES)).rstrip(b"=").decode()
        with self._lock:
            self._open[_digest(text)] = replace(caller, expires_at=now + self.life)
            while len(self._open) > _MOST:
                del self._open[next(iter(self._open))]
        return text

    def caller(self, text: str, now: datetime) -> Caller:
        """Whose session it is; raises :class:`~shipway.errors.NotAuthenticated` if it is none."""
        with self._lock:
            caller = self._open.get(_digest(text))
        if caller is None or now >= caller.expires_at:
            self.end(text)
            raise NotAuthenticated("this session has ended", next_step="log in again at /login")
        return caller

    def end(self, text: str) -> Caller | None:
        """End a session; whose it was, if it was one."""
        with self._lock:
            return self._open.pop(_digest(text), None)


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()
