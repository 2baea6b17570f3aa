"""A contract from a training table: kinds, roles, ranges, categories, null rates, reference bins.

What inference promises is what the table shows, widened by a stated slack, and soft by default:
a value outside of it is counted, not refused. Only kinds and missing values are hard.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC
from typing import Any, Final

import numpy as np
import polars as pl
from narwhals.typing import IntoFrame
from numpy.typing import NDArray

from shipway.contract.bins import MAX_DISCRETE, make_bins
from shipway.contract.dataframes import to_polars
from shipway.contract.patterns import inferred
from shipway.contract.schema import Column, Contract, Role
from shipway.contract.values import parse_timestamp
from shipway.domain.events import Scalar
from shipway.domain.metrics import Task
from shipway.domain.model import Kind
from shipway.domain.text import text_of
from shipway.domain.times import iso
from shipway.errors import ContractError, NotEnoughData, Problem

MAX_CATEGORIES: Final = 1_000
"""A column of text with more different values than this has no list of known ones."""

MIN_REPEATS: Final = 2.0
"""Nor has one whose values stand fewer times than this in the table, on average."""

MIN_TEXTS: Final = 20
"""A pattern is read from no fewer different texts."""

MAX_CLASSES: Final = 1_000
SLACK: Final = 0.1

_INVALID = "contract.invalid"
_TOO_FEW = "data.not-enough"
_ROLES_NAMED = ("target", "time", "id", "weight")


def infer(
    frame: IntoFrame | pl.DataFrame,
    *,
    model: str,
    task: Task,
    target: str | None = None,
    time: str | None = None,
    id: str | None = None,  # noqa: A002 - the name that the settings and the contract use
    weight: str | None = None,
    groups: Sequence[str] = (),
    ignore: Collection[str] = (),
    features: Collection[str] | None = None,
    positive: str | None = None,
    slack: float = SLACK,
    description: str = "",
) -> Contract:
    """The contract that *frame* (any frame that narwhals knows) keeps.

    With *features*, those columns alone are the model's and every other is ignored; without, all
    that nothing else is said about, but for times and columns without values. Ranges are what was
    seen, widened by *slack* of the spread at either end. Raises ``ContractError`` with every
    problem at once, ``NotEnoughData`` for no rows or a target with one class.
    """
    table = to_polars(frame)
    if table.height == 0:
        raise NotEnoughData("the table has no rows", next_step="give a table with rows")
    roles: dict[str, Role] = dict.fromkeys(ignore, Role.IGNORED)
    roles |= dict.fromkeys(groups, Role.GROUP)
    named = {Role.TARGET: target, Role.TIME: time, Role.ID: id, Role.WEIGHT: weight}
    roles |= {name: role for role, name in named.items() if name is not None}
    problems = [*_absent(table, [*roles, *(features or ())])]
    columns: list[Column] = []
    notes: list[str] = []
    for series in table.iter_columns():
        role = roles.get(series.name)
        if role is None and features is not None:
            role = Role.FEATURE if series.name in features else Role.IGNORED
        draft = _Draft(series, role, slack, explicit=role is not None)
        column = draft.column(task)
        problems += draft.problems
        notes += draft.notes
        columns += [column] if column is not None else []
    contract = Contract(
        model=model,
        task=task,
        columns=tuple(columns),
        rows=table.height,
        description=description,
        range_slack=slack,
        notes=tuple(notes),
    )
    problems += _task_problems(contract, table, positive)
    _raise(problems)
    return contract


def _raise(problems: list[Problem]) -> None:
    if not problems:
        return
    if all(problem.code == _TOO_FEW for problem in problems):
        raise NotEnoughData(
            "the table is not enough to learn from",
            next_step="give a table with more than one class, or check what the target is",
            problems=problems,
        )
    plural = "" if len(problems) == 1 else "s"
    raise ContractError(
        f"no contract can be made of the table: {len(problems)} problem{plural}",
        next_step="mend the table, or name other columns",
        problems=problems,
    )


def _absent(table: pl.DataFrame, names: Iterable[str]) -> Iterable[Problem]:
    for name in dict.fromkeys(names):
        if name not in table.columns:
            near = difflib.get_close_matches(name, table.columns, n=1)
            shown = ", ".join(table.columns[:10])
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {shown}"
            yield Problem(_INVALID, f"the table has no column {name!r}", hint=hint)


def _task_problems(
    contract: Contract, table: pl.DataFrame, positive: str | None
) -> Iterable[Problem]:
    if not contract.features:
        yield Problem(_INVALID, "no column is left to be a feature")
    target = contract.target
    if target is None or contract.task is Task.REGRESSION:
        return
    classes = target.categories or ()
    distinct = table[target.name].drop_nulls().n_unique()
    place = f"column {target.name}"
    if target.categories is None:
        text = f"a {contract.task} needs classes; the target has {distinct} different values"
        yield Problem(_INVALID, text, place, f"is the task {Task.REGRESSION}?")
    elif len(classes) < 2:
        text = f"the target has only the class {', '.join(classes) or 'of nothing'}"
        yield Problem(_TOO_FEW, text, place)
    elif contract.task is Task.BINARY and len(classes) > 2:
        shown = ", ".join(classes[:5])
        text = f"a {Task.BINARY} needs two classes; the target has {len(classes)}: {shown}"
        yield Problem(_INVALID, text, place, f"is the task {Task.MULTICLASS}?")
    if positive is not None and classes and positive not in classes:
        near = difflib.get_close_matches(positive, classes, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(classes[:5])}"
        yield Problem(
            _INVALID, f"the positive class {positive!r} is not in the target", place, hint
        )


class _Draft:
    """One column on its way into the contract, with what is wrong or worth telling about it."""

    def __init__(self, series: pl.Series, role: Role | None, slack: float, *, explicit: bool):
        self.series = series
        self.role = role or Role.FEATURE
        self.slack = slack
        self.explicit = explicit
        self.problems: list[Problem] = []
        self.notes: list[str] = []
        self.repeats = True

    def column(self, task: Task) -> Column | None:
        kind = self._kind()
        if kind is None:
            return None
        values, missing = self._values(kind)
        if self.problems:
            return None
        rate = missing / len(self.series)
        classes = self._classes(kind, values, task) if self.role is Role.TARGET else None
        if self.role is Role.TARGET and kind is Kind.NUMBER and classes is not None:
            kind = Kind.INTEGER
        minimum, maximum = self._range(kind, values)
        known = classes or self._known(kind, values)
        counted = self.role not in (Role.ID, Role.TIME, Role.IGNORED, Role.WEIGHT)
        return Column(
            name=self.series.name,
            kind=kind,
            role=self.role,
            nullable=missing > 0,
            null_rate=rate,
            minimum=minimum,
            maximum=maximum,
            categories=known,
            pattern=self._pattern(kind),
            unique=self.role is Role.ID and missing == 0 and self._is_unique(),
            fill=self._fill(kind) if self.role is Role.FEATURE else None,
            bins=make_bins(values, kind, categories=classes) if counted and self.repeats else None,
            example=self._example(kind),
        )

    def _kind(self) -> Kind | None:
        dtype = self.series.dtype
        name = self.series.name
        if self.series.null_count() == len(self.series):
            if self.role in (Role.FEATURE, Role.IGNORED) and not self.explicit:
                self.role = Role.IGNORED
                self.notes.append(f"{name}: every value is missing; ignored")
            elif self.role is not Role.IGNORED:
                self._problem(f"every value of {name!r} is missing; it cannot be a {self.role}")
        kind = _kind_of(dtype)
        if kind is None and self.role in (Role.FEATURE, Role.IGNORED):
            if self.explicit and self.role is Role.FEATURE:
                self._problem(f"{name!r} is of the type {dtype}, which no contract can hold")
            self.notes.append(f"{name}: the type {dtype} is not supported; left out")
            return None
        if kind is None:
            self._problem(f"{name!r} is of the type {dtype} and cannot be the {self.role}")
            return None
        times = (Kind.DATE, Kind.TIMESTAMP)
        if self.role is Role.TIME and kind is Kind.STRING and self._all_times():
            return Kind.TIMESTAMP
        if self.role is Role.TIME and kind not in times:
            self._problem(f"{name!r} is no time but {kind}", "give dates or ISO 8601 times")
        if self.role is Role.FEATURE and kind in times and not self.explicit:
            self.role = Role.IGNORED
            self.notes.append(f"{name}: a time that nothing was said about; ignored")
        return kind

    def _all_times(self) -> bool:
        distinct = self.series.drop_nulls().cast(pl.String).unique().to_list()
        return all(parse_timestamp(text) is not None for text in distinct)

    def _values(self, kind: Kind) -> tuple[NDArray[Any], int]:
        """The column's values in the dtype of *kind*, and how many are missing."""
        series = self.series
        if kind is Kind.STRING:
            texts = series.cast(pl.String)
            return texts.to_numpy(), texts.null_count()
        if kind in (Kind.DATE, Kind.TIMESTAMP):
            if series.dtype == pl.String:
                return np.empty(0, dtype="datetime64[us]"), series.null_count()
            if isinstance(series.dtype, pl.Datetime) and series.dtype.time_zone is not None:
                series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
            return series.cast(pl.Datetime("us")).to_numpy(), series.null_count()
        numbers = series.cast(pl.Float64).to_numpy()
        infinite = int(np.isinf(numbers).sum())
        if infinite and self.role is not Role.IGNORED:
            text = f"{infinite} values of {series.name!r} are infinite"
            self._problem(text, "replace them by missing values, or ignore the column")
        return numbers, int(np.isnan(numbers).sum())

    def _classes(self, kind: Kind, values: NDArray[Any], task: Task) -> tuple[str, ...] | None:
        """The classes of a classification's target in sorted order; None where it has none."""
        if task is Task.REGRESSION:
            if kind not in (Kind.NUMBER, Kind.INTEGER):
                text = f"a {task} needs a number; the target {self.series.name!r} is {kind}"
                self._problem(text, f"is the task {Task.BINARY}?")
            return None
        if kind in (Kind.DATE, Kind.TIMESTAMP):
            return None
        if kind is Kind.STRING:
            distinct: list[Any] = sorted({text for text in values.tolist() if text is not None})
        else:
            found = np.unique(values[~np.isnan(values)])
            if np.any(found != np.floor(found)):
                return None
            whole = found.astype(bool) if kind is Kind.BOOLEAN else found
            distinct = whole.tolist()
        return tuple(map(text_of, distinct)) if len(distinct) <= MAX_CLASSES else None

    def _range(self, kind: Kind, values: NDArray[Any]) -> tuple[float | None, float | None]:
        if kind not in (Kind.NUMBER, Kind.INTEGER) or self.role in (Role.ID, Role.IGNORED):
            return None, None
        finite = values[np.isfinite(values)]
        if finite.size == 0:
            return None, None
        low, high = float(finite.min()), float(finite.max())
        if kind is Kind.INTEGER and max(-low, high) >= 2.0**53:
            low, high = float(np.nextafter(low, -np.inf)), float(np.nextafter(high, np.inf))
        if kind is Kind.INTEGER and np.unique(finite).size <= MAX_DISCRETE:
            return low, high
        widened = self.slack * (high - low)
        if not math.isfinite(max(high + widened, widened - low)):
            return low, high
        # What was never negative is not expected to become so.
        least = max(low - widened, 0.0) if low >= 0 else low - widened
        most = min(high + widened, 0.0) if high <= 0 else high + widened
        if kind is Kind.INTEGER:
            return float(math.floor(least)), float(math.ceil(most))
        return _rounded(least, widened, down=True), _rounded(most, widened, down=False)

    def _known(self, kind: Kind, values: NDArray[Any]) -> tuple[str, ...] | None:
        if kind is not Kind.STRING or self.role not in (Role.FEATURE, Role.GROUP):
            return None
        texts = self.series.cast(pl.String).alias("text").drop_nulls()
        tally = texts.value_counts(name="times")
        self.repeats = len(texts) >= MIN_REPEATS * tally.height
        if tally.is_empty() or tally.height > MAX_CATEGORIES or not self.repeats:
            return None
        ordered = tally.sort(["times", "text"], descending=[True, False])
        return tuple(ordered["text"].to_list())

    def _is_unique(self) -> bool:
        return self.series.n_unique() == len(self.series)

    def _pattern(self, kind: Kind) -> str:
        """What the texts look like; told of ids, and of texts too many to be listed."""
        if kind is not Kind.STRING or (self.role is not Role.ID and self.repeats):
            return ""
        distinct = self.series.drop_nulls().cast(pl.String).unique()
        return inferred(distinct.to_list()) if len(distinct) >= MIN_TEXTS else ""

    def _fill(self, kind: Kind) -> Scalar:
        """The middle of the numbers, or what is there most often."""
        present = self._present()
        if present.is_empty() or kind in (Kind.DATE, Kind.TIMESTAMP):
            return None
        if kind is Kind.NUMBER:
            return float(present.cast(pl.Float64).quantile(0.5, "lower") or 0.0)
        if kind is Kind.INTEGER:
            return int(present.sort()[(len(present) - 1) // 2])
        if not self.repeats:
            return None
        tally = present.cast(pl.String).alias("text").value_counts(name="times")
        most: str = tally.sort(["times", "text"], descending=[True, False])["text"][0]
        return most == "true" if kind is Kind.BOOLEAN else most

    def _present(self) -> pl.Series:
        present = self.series.drop_nulls()
        return present.filter(present.is_finite()) if present.dtype.is_float() else present

    def _example(self, kind: Kind) -> Scalar:
        present = self._present()
        if present.is_empty():
            return None
        value: Any = present[len(present) // 2]
        if kind is Kind.DATE:
            return str(value.isoformat())
        if kind is Kind.TIMESTAMP and not isinstance(value, str):
            return _moment(self.series.dtype, value)
        if kind is Kind.INTEGER:
            return int(value)
        return float(value) if kind is Kind.NUMBER else value

    def _problem(self, message: str, hint: str = "") -> None:
        self.problems.append(Problem(_INVALID, message, f"column {self.series.name}", hint))


def _kind_of(dtype: pl.DataType) -> Kind | None:
    """The kind of a polars *dtype*, or None where there is none."""
    if dtype in (pl.String, pl.Categorical, pl.Enum, pl.Null):
        return Kind.STRING
    if dtype == pl.Boolean:
        return Kind.BOOLEAN
    if dtype.is_integer():
        return Kind.INTEGER
    if dtype.is_numeric():
        return Kind.NUMBER
    return {pl.Date: Kind.DATE, pl.Datetime: Kind.TIMESTAMP}.get(type(dtype))


def _rounded(bound: float, widened: float, *, down: bool) -> float:
    """*bound* rounded away from the data to about a hundredth of the slack, to be readable."""
    unit = 10.0 ** (math.floor(math.log10(widened)) - 1) if widened else 0.0
    if not unit or not math.isfinite(bound / unit):
        return bound
    steps = math.floor(bound / unit) if down else math.ceil(bound / unit)
    readable = float(f"{steps * unit:.12g}")
    if not math.isfinite(readable):
        return bound
    return min(readable, bound) if down else max(readable, bound)


def _moment(dtype: pl.DataType, value: Any) -> str:
    zoned = isinstance(dtype, pl.Datetime) and dtype.time_zone is not None
    return iso(value if zoned else value.replace(tzinfo=UTC))
