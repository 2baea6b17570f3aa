"""What can be wrong with data: stable codes, one record a fault, and their first hundred.

The request checker and the table checker both build their faults here, so that one row has the
same faults, in the same words, whichever way it comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from shipway.contract.schema import Column
from shipway.domain.model import Kind
from shipway.errors import ContractViolated, Problem

LIMIT: Final = 100
"""How many faults are told one by one; all of them are counted."""

MISSING_COLUMN: Final = "contract.missing-column"
UNEXPECTED_COLUMN: Final = "contract.unexpected-column"
LENGTH: Final = "contract.length"
NO_ROWS: Final = "contract.no-rows"
NULL: Final = "contract.null"
WRONG_TYPE: Final = "contract.wrong-type"
NOT_FINITE: Final = "contract.not-finite"
TOO_LARGE: Final = "contract.too-large"
BAD_TIME: Final = "contract.bad-time"
OUT_OF_RANGE: Final = "contract.out-of-range"
UNSEEN: Final = "contract.unseen-category"
PATTERN: Final = "contract.pattern"
NO_ROW: Final = "contract.no-row"
DUPLICATE: Final = "contract.duplicate"

MEANINGS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        MISSING_COLUMN: ("columns", "a feature of the contract is not there"),
        UNEXPECTED_COLUMN: ("columns", "a request has a column that the contract does not know"),
        LENGTH: ("length", "a column of a request has not as many values as the others"),
        NO_ROWS: ("rows", "there are no rows"),
        NULL: ("nullable", "a value is missing where none may be"),
        WRONG_TYPE: ("type", "a value is not of the column's kind"),
        NOT_FINITE: ("finite", "a number is infinite, or not a number"),
        TOO_LARGE: ("int64", "a whole number does not fit into 64 bits"),
        BAD_TIME: ("time", "a date or a time is none, or not written as RFC 3339 has it"),
        OUT_OF_RANGE: ("range", "a number lies outside of minimum and maximum"),
        UNSEEN: ("categories", "a value is none of those that training saw"),
        DUPLICATE: ("unique", "a value stands in an earlier row of the table already"),
        NO_ROW: ("line", "a line of JSON lines is no object"),
        PATTERN: ("pattern", "a text does not look as the column's texts do"),
    }
)
"""The rule that each code belongs to, and what it says; the reference page is made from it."""

HIDDEN: Final = "<personal>"
_SHOWN = 60
_WANTED = {
    Kind.NUMBER: "a number",
    Kind.INTEGER: "a whole number",
    Kind.BOOLEAN: "true or false",
    Kind.STRING: "text",
    Kind.DATE: "a date as text, 2013-04-01",
    Kind.TIMESTAMP: "a time as text, 2013-04-01T12:00:00Z",
}


class Violation(msgspec.Struct, frozen=True, gc=False):
    """One broken promise. ``row`` counts from 0 and is None when the whole column is at fault.

    ``rule`` names the promise (``type``, ``nullable``, ``range`` ...), ``code`` is stable, and
    ``value`` is the offending value, cut to 60 characters.
    """

    row: int | None
    column: str
    rule: str
    code: str
    value: str
    message: str

    def problem(self) -> Problem:
        """The fault as the errors of the product list it."""
        where = f"column {self.column}" if self.column else "the request"
        if self.row is not None:
            where = f"row {self.row}, {where}"
        return Problem(self.code, self.message, where)


def shown(value: object) -> str:
    """*value* as a person recognises it, in at most 60 characters."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def value_violation(column: Column, code: str, row: int, value: object) -> Violation:
    """The fault *code* of one *value* in *row* of *column*; a personal one is not told."""
    text = shown(value) if column.personal is None or value is None else HIDDEN
    rule, message = _wording(column, code, text)
    return Violation(row, column.name, rule, code, text, message)


def duplicate(column: Column, row: int, value: object, first: int) -> Violation:
    """The fault of *value* in *row* of a unique *column*; it stands in the row *first* already."""
    text = shown(value) if column.personal is None else HIDDEN
    message = f"{text} stands in row {first} already"
    return Violation(row, column.name, "unique", DUPLICATE, text, message)


def no_row(row: int, text: str) -> Violation:
    """The fault of a line, which begins with *text*, where an object was due."""
    message = f"the line is no JSON object: {shown(text)}"
    return Violation(row, "", "line", NO_ROW, shown(text), message)


def _wording(column: Column, code: str, text: str) -> tuple[str, str]:
    if code == OUT_OF_RANGE:
        low = "" if column.minimum is None else f"{column.minimum:g}"
        high = "" if column.maximum is None else f"{column.maximum:g}"
        return "range", f"{text} is outside of {low}…{high}"
    if code == UNSEEN:
        seen = len(column.categories or ())
        return "categories", f"{text} is none of the {seen} values seen in training"
    if code == PATTERN:
        return "pattern", f"{text} does not look like {column.pattern}"
    wanted = _WANTED[column.kind]
    wordings = {
        NULL: ("nullable", f"the value is missing; {column.name} is never empty"),
        WRONG_TYPE: ("type", f"{text} is not {wanted}"),
        NOT_FINITE: ("finite", f"{text} is not a finite number"),
        TOO_LARGE: ("int64", f"{text} does not fit into 64 bits"),
        BAD_TIME: ("time", f"{text} is not {wanted}"),
    }
    return wordings[code]


def violated(found: Iterable[Violation], total: int, *, what: str) -> ContractViolated:
    """The error that refuses *what*, with the faults *found* out of *total*."""
    problems = [violation.problem() for violation in found]
    more = f"; the first {len(problems)} are told" if total > len(problems) else ""
    plural = "" if total == 1 else "s"
    return ContractViolated(
        f"{what} breaks the data contract {total} time{plural}{more}",
        next_step="mend the values named, or change contract.yaml if the promise is wrong",
        problems=problems,
    )
