"""What one value of each kind means, decided in one place for requests and tables alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from typing import Final

from shipway.contract import violations
from shipway.domain.model import Kind

INT64_LOW: Final = -(2**63)
INT64_HIGH: Final = 2**63 - 1
FLOAT_HIGH: Final = 1.7976931348623157e308

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_US = 86_400_000_000

Read = float | int | bool | str
Reader = Callable[[object], tuple[Read, str]]
"""A value to what it reads as and ``""``, or to the value itself and the code of its fault."""


def is_missing(value: object) -> bool:
    """True for None and for NaN."""
    return value is None or (isinstance(value, float) and value != value)  # noqa: PLR0124


def microseconds(moment: datetime) -> int:
    """Whole microseconds from 1970 in UTC to *moment*; without a zone it is taken as UTC."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    delta = aware - _EPOCH
    return delta.days * _DAY_US + delta.seconds * 1_000_000 + delta.microseconds


def parse_timestamp(text: str) -> int | None:
    """Microseconds since 1970 of ISO 8601 *text*, or None if it is not one.

    >>> parse_timestamp("1970-01-01T01:00:00+01:00")
    0
    """
    try:
        return microseconds(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def are_timestamps(values: Iterable[object]) -> bool:
    """True if all of *values* are text that :func:`parse_timestamp` takes; they are not kept."""
    try:
        for value in values:
            datetime.fromisoformat(value)  # type: ignore[arg-type]  # TypeError tells what is no text
    except (TypeError, ValueError):
        return False
    return True


def parse_date(text: str) -> int | None:
    """Microseconds since 1970 of the midnight of ISO 8601 *text*; a time of day is not a date."""
    moment = parse_timestamp(text)
    return moment if moment is not None and moment % _DAY_US == 0 else None


def _number(value: object) -> tuple[Read, str]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0, violations.WRONG_TYPE
    try:
        number = float(value)
    except OverflowError:
        return 0.0, violations.NOT_FINITE
    return (number, "") if abs(number) <= FLOAT_HIGH else (0.0, violations.NOT_FINITE)


def _integer(value: object) -> tuple[Read, str]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0, violations.WRONG_TYPE
    if isinstance(value, float):
        if abs(value) > FLOAT_HIGH:
            return 0, violations.NOT_FINITE
        if not value.is_integer():
            return 0, violations.WRONG_TYPE
    whole = int(value)
    return (whole, "") if INT64_LOW <= whole <= INT64_HIGH else (0, violations.TOO_LARGE)


def _boolean(value: object) -> tuple[Read, str]:
    return (value, "") if isinstance(value, bool) else (False, violations.WRONG_TYPE)


def _string(value: object) -> tuple[Read, str]:
    return (value, "") if isinstance(value, str) else ("", violations.WRONG_TYPE)


def _moment(value: object, parse: Callable[[str], int | None]) -> tuple[Read, str]:
    if isinstance(value, str):
        found = parse(value)
    elif isinstance(value, datetime):
        found = parse(value.isoformat())
    elif isinstance(value, date):
        found = microseconds(datetime(value.year, value.month, value.day, tzinfo=UTC))
    else:
        return 0, violations.WRONG_TYPE
    return (0, violations.BAD_TIME) if found is None else (found, "")


def _timestamp(value: object) -> tuple[Read, str]:
    return _moment(value, parse_timestamp)


def _date(value: object) -> tuple[Read, str]:
    return _moment(value, parse_date)


READERS: Final[dict[Kind, Reader]] = {
    Kind.NUMBER: _number,
    Kind.INTEGER: _integer,
    Kind.BOOLEAN: _boolean,
    Kind.STRING: _string,
    Kind.DATE: _date,
    Kind.TIMESTAMP: _timestamp,
}
"""How a value that is not missing is read. Times read as microseconds since 1970 in UTC."""
