"""How much a connection may send that leads to nothing.

Resets, pings, settings, empty pieces and whatever makes us reset a stream cost a client little and
us work (CVE-2023-44487, CVE-2025-8671 and their kin). Each takes from a budget that time and
answers fill again; a client that works has plenty.
"""

from __future__ import annotations

from collections.abc import Callable

from shipway.serving.http2.wire import Code, ConnectionBroken

BUDGET = 1000
"""What may come at once, as the best-known servers have it for resets."""
_A_SECOND = 33.0
_STRIKES = 2
_EARLY = 0.9  # of the interval between pings: clients' clocks are no better


class Calm:
    """The budget of one connection; ``worked`` grows with what it was answered."""

    __slots__ = (
        "_clock",
        "_earned",
        "_interval_s",
        "_left",
        "_pinged",
        "_pinged_after",
        "_since",
        "_strikes",
        "worked",
    )

    def __init__(self, clock: Callable[[], float], ping_interval_s: float) -> None:
        self.worked = 0
        self._clock = clock
        self._interval_s = ping_interval_s * _EARLY
        self._left = BUDGET
        self._since = clock()
        self._earned = self._pinged_after = 0
        self._pinged = float("-inf")
        self._strikes = 0

    def spend(self, cost: int = 1) -> None:
        """Take *cost*; raises ConnectionBroken when nothing is left."""
        self._left -= cost
        if self._left >= 0:
            return
        now = self._clock()
        earned = int((now - self._since) * _A_SECOND) + self.worked - self._earned
        self._left = min(BUDGET, self._left + earned)
        self._since, self._earned = now, self.worked
        if self._left < 0:
            raise ConnectionBroken(
                Code.ENHANCE_YOUR_CALM,
                "too many frames that lead to nothing: resets, pings, settings, empty pieces",
            )

    def ping(self) -> None:
        """Take a ping, which may come after each answer and once an interval without one.

        Clients know the text: it makes them ping more seldom.
        """
        if self.worked != self._pinged_after:
            self._pinged_after = self.worked
            self._strikes, self._pinged = 0, float("-inf")
        now = self._clock()
        if now - self._pinged < self._interval_s:
            self._strikes += 1
            if self._strikes > _STRIKES:
                raise ConnectionBroken(Code.ENHANCE_YOUR_CALM, "too_many_pings")
        self._pinged = now
