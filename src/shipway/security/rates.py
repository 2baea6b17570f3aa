"""How often a caller may ask, counted in one table that all workers share.

The rule is the generic cell rate algorithm: one number a caller, the moment at which its bucket
will be full again. Asking moves it on by ``1 / per_s``; asking is refused while it lies further
ahead than the burst takes to refill. A caller whose moment is past is as good as unknown, so its
place is free for another, and the table needs no bookkeeping and never grows.

A memory-mapped file holds the table, because a client's one connection stays with one worker: a
share of the limit for each would refuse it too early. Two workers that write the same cell in
the same microsecond count one request less; that is the price of needing no lock between them.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from math import ceil
from pathlib import Path
from time import monotonic
from types import MappingProxyType
from typing import NamedTuple

from shipway.errors import RateLimited

RATES_FILE = "rates"
_PLACES = 16_384
_NEAR = 8
_TABLE_BYTES = 2 * 8 * _PLACES
_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Rate:
    """So many units a second in the long run, and *burst* at once after a pause."""

    per_s: float
    burst: float


class Taken(NamedTuple):
    """When the bucket will be full again, and how long to wait before asking (0: not at all)."""

    full_at: float
    wait_s: float


def take(rate: Rate, full_at: float, now: float, amount: float = 1.0) -> Taken:
    """Take *amount* out of a bucket that would be full at *full_at*.

    More than a burst may be taken from a full bucket, which then takes long to fill again: a
    request of more rows than that could otherwise never be answered. When the wait is not 0,
    nothing was taken.

    >>> take(Rate(per_s=2, burst=1), full_at=0.0, now=10.0)
    Taken(full_at=10.5, wait_s=0.0)
    >>> take(Rate(per_s=2, burst=1), full_at=10.5, now=10.1).wait_s
    0.4...
    """
    full_at = max(full_at, now)
    room_s = (rate.burst - min(amount, rate.burst)) / rate.per_s
    wait_s = full_at - now - room_s
    if wait_s > 1e-9:
        return Taken(full_at, wait_s)
    return Taken(full_at + amount / rate.per_s, 0.0)


class Rates:
    """The rate of every caller; safe to use from several threads and processes.

    *path* names the table that is shared, *of* what is counted and *setting* what to raise, for
    people. *special* has the rates of callers, by id, that differ from *rate*.
    """

    def __init__(
        self,
        path: Path,
        rate: Rate,
        *,
        of: str,
        setting: str,
        special: Mapping[str, Rate] = MappingProxyType({}),
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._rate, self._special = rate, special
        self._of, self._setting = of, setting
        self._clock = clock
        self._lock = threading.Lock()
        self._tags: dict[str, int] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.truncate(_TABLE_BYTES)
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _TABLE_BYTES)
        self._whose = memoryview(self._map)[: _TABLE_BYTES // 2].cast("Q")
        self._full_at = memoryview(self._map)[_TABLE_BYTES // 2 :].cast("d")

    def spend(self, caller: str, amount: float = 1.0) -> None:
        """Count *amount* for *caller*, or raise :class:`~shipway.errors.RateLimited`."""
        rate = self._special.get(caller, self._rate)
        with self._lock:
            now = self._clock()
            tag = self._tag(caller)
            place = self._place(tag, now)
            full_at = self._full_at[place] if self._whose[place] == tag else now
            taken = take(rate, full_at, now, amount)
            if taken.wait_s == 0.0:
                self._whose[place] = tag
                self._full_at[place] = taken.full_at
                return
        raise RateLimited(
            f"{caller} may ask for {rate.per_s:g} {self._of} a second, {rate.burst:g} at once",
            next_step=f"ask again in {taken.wait_s:.1f} s, or raise {self._setting}",
            retry_after_s=max(1, ceil(taken.wait_s)),
        )

    def close(self) -> None:
        """Let go of the table; what it says stays for the other processes."""
        self._whose.release()
        self._full_at.release()
        self._map.close()

    def _tag(self, caller: str) -> int:
        tag = self._tags.get(caller)
        if tag is None:
            digest = blake2b(caller.encode(), digest_size=8).digest()
            tag = int.from_bytes(digest, "big") | 1  # 0 marks a place where nobody ever was
            if len(self._tags) >= _REMEMBERED:
                self._tags.clear()
            self._tags[caller] = tag
        return tag

    def _place(self, tag: int, now: float) -> int:
        """Where *tag* stands, or else the place near its own that is free, or soonest will be."""
        best, best_at = -1, float("inf")
        for step in range(_NEAR):
            place = ((tag >> 8) + step) % _PLACES
            if self._whose[place] == tag:
                return place
            full_at = self._full_at[place]
            if full_at < best_at and best_at > now:
                best, best_at = place, full_at
        return best


def wipe_rates(run: Path) -> None:
    """Forget what was counted: a new server begins with full buckets."""
    for path in run.glob(f"{RATES_FILE}-*"):
        path.unlink(missing_ok=True)
