"""A table of any size held against the contract, and its good and bad rows written apart."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import msgspec
import polars as pl

from shipway import __version__
from shipway.batch.checking import Checked, all_but, check_chunk, with_faults
from shipway.batch.chunks import Chunk, ahead
from shipway.batch.output import assembled, form_of, replacing_whole
from shipway.batch.parts import BAD, ROWS, Parts, parts_of
from shipway.batch.protecting import protected
from shipway.batch.quarantine import set_aside, write_quarantine
from shipway.batch.source import Source, open_source
from shipway.batch.uniqueness import Repeats
from shipway.contract.compiled import CompiledContract, RuleCount
from shipway.contract.formats import Format
from shipway.contract.schema import Contract, Policy, Role
from shipway.contract.violations import LIMIT, Violation
from shipway.domain.digests import digest_of
from shipway.domain.progress import SILENT, Progress
from shipway.durable import storing
from shipway.errors import UnreadableTable, UsageError
from shipway.inference.personal import Protection

_CHUNK_ROWS = 50_000


class TableReport(msgspec.Struct, frozen=True, kw_only=True):
    """A table after its check; ``rows`` of it were read, and ``bad_rows`` would be refused.

    ``violations`` are the first 100 of ``violations_total`` that refuse a row, ``soft`` the first
    100 that only count, ``warnings`` these by code, and ``counts`` has every broken rule.
    """

    table: str
    rows: int
    bad_rows: int
    violations_total: int
    violations: tuple[Violation, ...]
    soft: tuple[Violation, ...]
    warnings: dict[str, int]
    counts: tuple[RuleCount, ...]
    notes: tuple[str, ...]
    good: str | None = None
    bad: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the model may see every row."""
        return self.violations_total == 0


def validate(
    table: Path,
    contract: Contract,
    *,
    good: Path | None = None,
    bad: Path | None = None,
    protection: Protection | None = None,
    progress: Progress = SILENT,
) -> TableReport:
    """Hold *table*, a file or several, against *contract*, in bounded memory.

    Values of the target are judged where they are there, and unique columns over all rows. Rows
    that keep the contract go to *good* (in the format of its name, with the contract's types), the
    others to *bad* (CSV), each with its number and the reasons. Neither is there until it is whole.
    Raises
    :class:`~shipway.errors.UnreadableTable` for what cannot be read.
    """
    _check_places(table, good, bad)
    source = open_source(table, _with_target(contract), every_column=True, complete=False)
    found = _Found(source, CompiledContract(contract), protection)
    found.repeats = Repeats(table, contract, _CHUNK_ROWS)
    anchor = good or bad
    with progress.start("Validating", source.about_rows(), "rows") as task:
        if anchor is None:
            for chunk in ahead(source.chunks(_CHUNK_ROWS)):
                found.take(chunk)
                task.advance(chunk.frame.height)
        else:
            key = digest_of(f"validate {source.digest()} {time.time_ns()} {__version__}".encode())
            with parts_of(anchor, key, now_ns=time.time_ns()) as parts:
                for number, chunk in enumerate(ahead(source.chunks(_CHUNK_ROWS))):
                    _keep(parts, number, chunk, found.take(chunk), found)
                    task.advance(chunk.frame.height)
                _write(parts, source, good, bad)
                parts.discard()
    if not found.rows:
        raise UnreadableTable(f"{table} has no rows", next_step="give a table with rows")
    return found.report(table, good, bad)


class _Found:
    """What was found so far."""

    def __init__(
        self, source: Source, compiled: CompiledContract, protection: Protection | None
    ) -> None:
        self.source = source
        self.protection = protection
        self.repeats: Repeats | None = None
        self.rows = 0
        self._compiled = compiled
        self._bad = 0
        self._counts: Counter[tuple[str, str, Policy]] = Counter()
        self._whole: dict[Violation, None] = {}
        self._violations: list[Violation] = []
        self._soft: list[Violation] = []
        self._warnings: Counter[str] = Counter()
        self._notes: dict[str, None] = {}

    def take(self, chunk: Chunk) -> Checked:
        """Check *chunk*, which follows the last one, and count what is wrong with it."""
        checked = check_chunk(self._compiled, chunk, target=True)
        if self.repeats is not None:
            checked = with_faults(checked, self.repeats.of(chunk, self.rows))
        for count in checked.counts:
            self._counts[count.column, count.code, count.policy] += count.rows
        self._whole |= dict.fromkeys(checked.whole)
        told = (one for faults in checked.faults.values() for one in faults)
        self._violations += _moved(told, self.rows, LIMIT - len(self._violations))
        self._soft += _moved(checked.soft, self.rows, LIMIT - len(self._soft))
        self._warnings.update(checked.warnings)
        self._notes |= dict.fromkeys(checked.notes)
        self._bad += chunk.frame.height if checked.whole else len(checked.faults)
        self.rows += chunk.frame.height
        return checked

    def report(self, table: Path, good: Path | None, bad: Path | None) -> TableReport:
        """All of it."""
        counts = tuple(
            RuleCount(column, code, rows, policy)
            for (column, code, policy), rows in self._counts.items()
        )
        refusing = sum(count.rows for count in counts if count.policy.refuses)
        return TableReport(
            table=str(table),
            rows=self.rows,
            bad_rows=self._bad,
            violations_total=len(self._whole) + refusing,
            violations=(*self._whole, *self._violations)[:LIMIT],
            soft=tuple(self._soft),
            warnings=dict(self._warnings),
            counts=counts,
            notes=tuple(self._notes),
            good=None if good is None else str(good),
            bad=str(bad) if bad is not None and self._bad else None,
        )


def _moved(violations: Iterable[Violation], by: int, most: int) -> list[Violation]:
    """The first *most* of *violations*, their rows counted from the beginning of the table."""
    return [
        msgspec.structs.replace(one, row=by + (one.row or 0)) for one in islice(violations, most)
    ]


def _keep(parts: Parts, number: int, chunk: Chunk, checked: Checked, found: _Found) -> None:
    faults = checked.faults
    if checked.whole:
        faults = {row: list(checked.whole) for row in range(chunk.frame.height)}
    places = list(faults)
    first_row = found.rows - chunk.frame.height
    tables: dict[str, pl.DataFrame] = {}
    if places:
        raw = protected(chunk.raw(places), found.protection)
        numbers = [first_row + place for place in places]
        tables[BAD] = set_aside(raw, numbers, faults, file=found.source.told(chunk))
    if len(places) < chunk.frame.height:
        rows = chunk.frame.filter(all_but(faults, chunk.frame.height))
        absent = [name for name in found.source.schema if name not in rows.columns]
        rows = rows.with_columns(pl.lit(None).alias(name) for name in absent)
        tables[ROWS] = rows.select(list(found.source.schema)).cast(found.source.schema)
    parts.keep(
        number,
        tables,
        rows=chunk.frame.height,
        bad_rows=len(places),
        expected=checked.expected,
        warnings=dict(checked.warnings),
        problems=(),
        source=chunk.file,
    )


def _write(parts: Parts, source: Source, good: Path | None, bad: Path | None) -> None:
    if bad is not None:
        staged = parts.folder / "aside"
        with replacing_whole(bad, staged) as partial, storing(bad), partial.open("wb") as file:
            write_quarantine(parts.tables(BAD), parts.columns(BAD), file, excel_safe=False)
    if good is not None:
        with assembled(parts, source.schema, good, excel_safe=False):
            pass


def _with_target(contract: Contract) -> Contract:
    """*contract* with its target among what may stand in a table, to be read with its type."""
    columns = [
        msgspec.structs.replace(column, role=Role.GROUP) if column.role is Role.TARGET else column
        for column in contract.columns
    ]
    return msgspec.structs.replace(contract, columns=tuple(columns))


def _check_places(table: Path, good: Path | None, bad: Path | None) -> None:
    given = [path for path in (good, bad) if path is not None]
    if good is not None and form_of(good) is None:
        raise UsageError(f"{good} has no ending", next_step="give a name like good.parquet")
    if bad is not None and form_of(bad) is not Format.CSV:
        raise UsageError(
            f"{bad} is no CSV file by its name",
            next_step="bad rows are written as CSV, with reasons: give a name like bad.csv",
        )
    resolved = [path.resolve() for path in given]
    for path in given:
        if path.resolve() in (table.resolve(), *table.resolve().parents):
            raise UsageError(
                f"{path} would be written over the table that is read",
                next_step="give it another name",
            )
        if not path.parent.is_dir():
            raise UsageError(f"there is no folder {path.parent}", next_step="make it first")
    if len(set(resolved)) < len(resolved):
        raise UsageError(f"{good} is named for good and bad rows", next_step="give two names")
