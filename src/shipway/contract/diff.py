"""Two contracts compared: every change, and whom it breaks.

A change breaks *callers* where a row that the old contract answers is refused by the new one. It
widens what the *model* may get where a row that the old one refused is answered. It changes what
is *read* of answers where the target is another. All else changes what is counted and compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

import msgspec

from shipway.contract.rules import Rules
from shipway.contract.schema import (
    CategoricalBins,
    Column,
    Contract,
    NumericBins,
    Policy,
    Role,
)
from shipway.domain.model import Kind

_NAMED = (Kind.STRING, Kind.INTEGER, Kind.BOOLEAN)
_NUMBERS = (Kind.NUMBER, Kind.INTEGER)
_WIDER = {Kind.NUMBER: (Kind.INTEGER,), Kind.TIMESTAMP: (Kind.DATE,)}
_TOLD = (
    "kind", "role", "nullable", "missing", "minimum", "maximum", "out_of_range", "categories",
    "unseen", "pattern", "mismatched", "fill", "unique", "personal", "bins", "null_rate",
)  # fmt: skip
_COUNTED = ("bins", "null_rate", "unique")
"""What a column or a table is compared with later; no request is refused by it."""


class Breaks(StrEnum):
    """Whom a change touches."""

    CALLERS = "callers"
    MODEL = "model"
    READERS = "readers"
    NOBODY = "nobody"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One change: ``what`` of ``column``, from ``old`` to ``new`` (None where there is none).

    ``breaks`` says whom, and ``why`` in words; both of the column as a whole, since a policy and
    a range are one rule.
    """

    column: str
    what: str
    old: object
    new: object
    breaks: tuple[Breaks, ...]
    why: str


def compare(old: Contract, new: Contract) -> tuple[Change, ...]:
    """Every change from *old* to *new*, in the order of the columns of *new*; then what is gone."""
    before = {column.name: column for column in old.columns}
    after = {column.name: column for column in new.columns}
    changes: list[Change] = []
    if old.task != new.task:
        changes.append(_change("", "task", old.task, new.task, [(Breaks.READERS, "another task")]))
    for name, column in after.items():
        if name in before:
            changes += _changed(before[name], column)
        else:
            changes.append(_added(column))
    changes += [_removed(column) for name, column in before.items() if name not in after]
    order = [one.name for one in old.features if one.name in after]
    if order != [one.name for one in new.features if one.name in before]:
        why = "rows sent as lists are read in another order"
        changes.append(_change("", "order", None, None, [(Breaks.CALLERS, why)]))
    return tuple(changes)


def refuses_more(old: Contract, new: Contract) -> bool:
    """Whether a request that *old* answers may be refused by *new*."""
    return any(Breaks.CALLERS in change.breaks for change in compare(old, new))


def _added(column: Column) -> Change:
    found = []
    if column.role is Role.FEATURE:
        found.append((Breaks.CALLERS, "requests without the column are refused"))
        found.append((Breaks.MODEL, "it gets a feature more"))
    return _change(column.name, "column", None, column.kind.value, found)


def _removed(column: Column) -> Change:
    found = []
    if _is_asked(column):
        found.append((Breaks.CALLERS, "requests with the column are refused"))
    if column.role is Role.FEATURE:
        found.append((Breaks.MODEL, "it gets a feature less"))
    if column.role is Role.TARGET:
        found.append((Breaks.READERS, "nothing is predicted of it any more"))
    return _change(column.name, "column", column.kind.value, None, found)


def _is_asked(column: Column) -> bool:
    """Whether a request may have *column*."""
    return column.role in (Role.FEATURE, Role.TIME, Role.ID, Role.GROUP)


def _changed(old: Column, new: Column) -> Iterator[Change]:
    differing = [name for name in _TOLD if getattr(old, name) != getattr(new, name)]
    if not differing:
        return
    found = [*_of_roles(old, new)]
    if _is_asked(old) and _is_asked(new):
        found += [(Breaks.CALLERS, why) for why in _narrower(old, new)]
        if new.role is Role.FEATURE:
            found += [(Breaks.MODEL, f"it may get {why}") for why in _wider(old, new)]
    for name in differing:
        left, right = _plain(getattr(old, name)), _plain(getattr(new, name))
        yield _change(new.name, name, left, right, [] if name in _COUNTED else found)


def _of_roles(old: Column, new: Column) -> Iterator[tuple[Breaks, str]]:
    if _is_asked(old) and not _is_asked(new):
        yield Breaks.CALLERS, "requests with the column are refused"
    if new.role is Role.FEATURE and old.role is not Role.FEATURE:
        yield Breaks.CALLERS, "requests without the column are refused"
    if (old.role is Role.FEATURE) is not (new.role is Role.FEATURE):
        yield Breaks.MODEL, "its features are others"
    target = Role.TARGET in (old.role, new.role)
    if target and (old.role, old.kind, old.categories) != (new.role, new.kind, new.categories):
        yield Breaks.READERS, "what is predicted is another thing"


def _narrower(old: Column, new: Column) -> Iterator[str]:
    """What *old* answers and *new* refuses."""
    if old.kind is not new.kind and old.kind not in _WIDER.get(new.kind, ()):
        yield f"{old.kind.value} is refused where {new.kind.value} is due"
        return
    if _takes_missing(old) and not _takes_missing(new):
        yield "a missing value is refused"
    low, high = _interval(new)
    least, most = _interval(old)
    if low > least or high < most:
        yield "numbers that were in range, or only counted, are refused"
    known, names = _names(new), _names(old)
    if known is not None and (names is None or not names <= known):
        yield "categories that were known, or only counted, are refused"
    pattern = _pattern(new)
    if pattern and pattern != _pattern(old):
        yield "texts of another look are refused"


def _wider(old: Column, new: Column) -> Iterator[str]:
    """What *new* gives to the model as it came, and *old* did not."""
    if old.kind is not new.kind:
        yield f"{new.kind.value} instead of {old.kind.value}"
        return
    if new.nullable and not old.nullable:
        yield "missing values"
    if _leaves(old.out_of_range, new.out_of_range) or (
        new.out_of_range is not Policy.WARN and not _within(new, old)
    ):
        yield "numbers that it never saw"
    if _leaves(old.unseen, new.unseen) or (
        new.unseen is not Policy.WARN and not set(new.categories or ()) <= set(old.categories or ())
    ):
        yield "categories that it never saw"
    if _leaves(old.mismatched, new.mismatched) or (new.pattern != old.pattern and old.pattern):
        yield "texts of another look"


def _leaves(old: Policy, new: Policy) -> bool:
    """Whether what was refused or mended is now let through."""
    return old is not Policy.WARN and new is Policy.WARN


def _within(inner: Column, outer: Column) -> bool:
    one, other = Rules(inner), Rules(outer)
    return one.low >= other.low and one.high <= other.high


def _takes_missing(column: Column) -> bool:
    return column.nullable or not column.missing.refuses


def _interval(column: Column) -> tuple[float, float]:
    """The numbers that are not refused."""
    if column.kind not in _NUMBERS or not column.out_of_range.refuses:
        return float("-inf"), float("inf")
    low, high = column.minimum, column.maximum
    return float("-inf") if low is None else low, float("inf") if high is None else high


def _names(column: Column) -> frozenset[str] | None:
    """The categories that are not refused, None for all."""
    if column.kind not in _NAMED or column.categories is None or not column.unseen.refuses:
        return None
    return frozenset(column.categories)


def _pattern(column: Column) -> str:
    refuses = column.kind is Kind.STRING and column.mismatched.refuses
    return column.pattern if refuses else ""


def _plain(value: object) -> object:
    if isinstance(value, NumericBins | CategoricalBins):
        return f"{sum(value.counts) + value.missing:,} rows"
    return value.value if isinstance(value, StrEnum) else value


def _change(
    column: str, what: str, old: object, new: object, found: list[tuple[Breaks, str]]
) -> Change:
    whom = tuple(dict.fromkeys(breaks for breaks, _ in found)) or (Breaks.NOBODY,)
    why = "; ".join(f"{breaks.value}: {why}" for breaks, why in dict.fromkeys(found))
    return Change(column=column, what=what, old=old, new=new, breaks=whom, why=why)
