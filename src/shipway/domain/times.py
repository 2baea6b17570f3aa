"""Times are UTC-aware everywhere; a clock is an argument, never a global."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def system_clock() -> datetime:
    """The time now, in UTC."""
    return datetime.now(UTC)


def iso(moment: datetime) -> str:
    """*moment* as RFC 3339 in UTC with a ``Z``, to the microsecond only where it has any.

    Without a zone it is taken as UTC, whatever the zone of the machine.

    >>> iso(datetime(2013, 4, 1, 12, tzinfo=UTC))
    '2013-04-01T12:00:00Z'
    """
    return utc(moment).isoformat().replace("+00:00", "Z")


def from_iso(text: str) -> datetime:
    """The moment that RFC 3339 *text* names; without an offset it is taken as UTC."""
    return utc(datetime.fromisoformat(text))


def utc(moment: datetime) -> datetime:
    """*moment* in UTC; without a zone it is taken as UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def nanoseconds(moment: datetime) -> int:
    """*moment* in whole nanoseconds since 1970, exact to its microsecond.

    >>> nanoseconds(datetime(1970, 1, 1, 0, 0, 1, 1, tzinfo=UTC))
    1000001000
    """
    return (utc(moment) - _EPOCH) // timedelta(microseconds=1) * 1000


def from_nanoseconds(since_1970: int) -> datetime:
    """The moment *since_1970* nanoseconds after 1970 began, to the microsecond."""
    return _EPOCH + timedelta(microseconds=since_1970 // 1000)
