"""Tables from parquet and CSV files, or a clear word why not.

Content decides what a file is, and its name only explains the surprise. Everything that cannot be
read is an :class:`~shipway.errors.UnreadableTable` with the next thing to do.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from shipway.domain.digests import digest_of_file
from shipway.domain.model import Kind
from shipway.domain.times import iso
from shipway.errors import Problem, UnreadableTable

NULLS: Final = ("", "NA")
"""The cells of a CSV file that count as missing."""

_PARQUET = b"PAR1"
_OTHERS: Mapping[bytes, str] = {
    b"PK\x03\x04": "a zip archive (an Excel workbook is one)",
    b"\x1f\x8b": "compressed with gzip",
    b"\x28\xb5\x2f\xfd": "compressed with zstandard",
    b"ARROW1": "an Arrow file",
    b"SQLite format 3": "an SQLite database",
    b"\x89HDF": "an HDF5 file",
    b"\x80\x04": "a Python pickle",
    b"\x80\x05": "a Python pickle",
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
}
_CONVERT = "convert it to parquet or to CSV in UTF-8"
_HEAD_BYTES = 64 * 1024
_SAMPLE_ROWS = 200
_SEPARATORS = (",", ";", "\t", "|")
_TIME_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f%:z")


class TableFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What lineage keeps of a table: ``digest`` is of the bytes of its file.

    ``time_from`` and ``time_to`` are RFC 3339, empty without a time column.
    """

    digest: str
    rows: int
    columns: int
    time_from: str = ""
    time_to: str = ""


def read_table(path: Path | str, *, kinds: Mapping[str, Kind] | None = None) -> pl.DataFrame:
    """The table in the parquet or CSV file at *path*, whole.

    CSV: the separator is found, ``NA`` and nothing are missing, columns of ISO 8601 dates and times
    become dates and UTC times. *kinds*, from a contract, keeps its strings from being read as
    numbers. Raises :class:`~shipway.errors.UnreadableTable`; also for a table without rows.
    """
    place = Path(path)
    with reading(place):
        frame = scan_table(place, kinds=kinds).collect()
    if frame.height == 0:
        raise UnreadableTable(
            f"{place} has {frame.width} columns and no rows", next_step="give a table with rows"
        )
    return frame


def scan_table(
    path: Path | str, *, kinds: Mapping[str, Kind] | None = None, as_text: bool = False
) -> pl.LazyFrame:
    """The table at *path* to be streamed; as :func:`read_table`, and no rows are allowed.

    With *as_text* every column of a CSV file stays text, so that a cell of the wrong type costs
    its row and not the file. What is found to be damaged only later is raised by polars: collect
    within :func:`reading`.
    """
    place = Path(path)
    head = _head(place)
    with reading(place):
        if head.startswith(_PARQUET):
            lazy = pl.scan_parquet(place, glob=False)
            lazy.collect_schema()
            return lazy
        _refuse_other_formats(place, head)
        return _scan_csv(place, head, kinds or {}, as_text=as_text)


def is_parquet(path: Path | str) -> bool:
    """Whether the file at *path* begins as parquet does; raises if it cannot be read."""
    return _head(Path(path)).startswith(_PARQUET)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Within it, what polars cannot read of *path* is an ``UnreadableTable``."""
    try:
        yield
    except UnicodeError as error:
        raise UnreadableTable(
            f"{path} is not text in UTF-8", next_step="save it in UTF-8, or as parquet"
        ) from error
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UnreadableTable(
            f"{path} cannot be read: {_first_line(error)}",
            next_step="the file may be damaged or cut short; write it anew from its source",
        ) from error


def _moment(utc: datetime | None) -> str:
    return "" if utc is None else iso(utc.replace(tzinfo=UTC))


def known_rows(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """The rows of *frame* where the column *name* is neither missing nor NaN."""
    known = pl.col(name).is_not_null()
    if frame.schema[name].is_float():
        known &= pl.col(name).is_not_nan()
    return frame.filter(known)


def digest_table(path: Path | str) -> str:
    """The digest of the bytes of the file at *path*."""
    place = Path(path)
    _head(place)
    with reading(place):
        return digest_of_file(place)


def describe_table(path: Path | str, *, time: str | None = None) -> TableFacts:
    """The facts of the table at *path*, streamed; *time* names its time column."""
    place = Path(path)
    lazy = scan_table(place)
    with reading(place):
        schema = lazy.collect_schema()
        wanted = [pl.len().alias("rows")]
        if time is not None and schema.get(time) in (pl.Date, pl.Datetime):
            moments = pl.col(time).cast(pl.Datetime("us"))
            wanted += [moments.min().alias("from"), moments.max().alias("to")]
        row = lazy.select(wanted).collect(engine="streaming").row(0, named=True)
    return TableFacts(
        digest=digest_table(place),
        rows=row["rows"],
        columns=len(schema),
        time_from=_moment(row.get("from")),
        time_to=_moment(row.get("to")),
    )


def _head(path: Path) -> bytes:
    if path.is_dir():
        raise UnreadableTable(
            f"{path} is a folder", next_step="name one parquet or CSV file within it"
        )
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except FileNotFoundError as error:
        raise UnreadableTable(
            f"there is no file at {path}", next_step=f"check the path{_neighbours(path)}"
        ) from error
    except OSError as error:
        raise UnreadableTable(
            f"{path} cannot be opened: {error.strerror}", next_step="check its permissions"
        ) from error
    if not head:
        raise UnreadableTable(
            f"{path} is empty (0 bytes)", next_step="write the table again: it was cut off"
        )
    return head


def _neighbours(path: Path) -> str:
    try:
        names = sorted(p.name for p in path.parent.iterdir() if p.suffix in (".parquet", ".csv"))
    except OSError:
        return ""
    return f"; tables in {path.parent}: {', '.join(names[:5])}" if names else ""


def _refuse_other_formats(path: Path, head: bytes) -> None:
    for magic, what in _OTHERS.items():
        if head.startswith(magic):
            raise UnreadableTable(f"{path} is {what}", next_step=_CONVERT)
    if path.suffix == ".parquet":
        raise UnreadableTable(
            f"{path} is named .parquet but does not hold parquet",
            next_step="write it again as parquet, or rename it to .csv if it is one",
        )
    if b"\0" in head:
        raise UnreadableTable(f"{path} is a binary file of an unknown kind", next_step=_CONVERT)
    if path.suffix in (".json", ".jsonl", ".ndjson") or head.lstrip()[:1] in (b"{", b"["):
        raise UnreadableTable(f"{path} looks like JSON", next_step=_CONVERT)


def _scan_csv(path: Path, head: bytes, kinds: Mapping[str, Kind], *, as_text: bool) -> pl.LazyFrame:
    separator = _separator(head)
    names = _header(path, separator)
    _check_names(path, names)
    if as_text:
        return pl.scan_csv(
            path, separator=separator, null_values=list(NULLS), infer_schema=False, glob=False
        )
    texts = {name: pl.String for name in names if kinds.get(name) is Kind.STRING}
    lazy = pl.scan_csv(
        path,
        separator=separator,
        null_values=list(NULLS),
        schema_overrides=texts,
        infer_schema_length=None,
        glob=False,
    )
    schema = lazy.collect_schema()
    return _with_times(lazy, [n for n in names if schema[n] == pl.String and n not in texts])


def _separator(head: bytes) -> str:
    first = head.split(b"\n", 1)[0].decode("utf-8", "replace")
    return max(_SEPARATORS, key=first.count)


def _header(path: Path, separator: str) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return next(csv.reader(file, delimiter=separator), [])


def _check_names(path: Path, names: Iterable[str]) -> None:
    problems: list[Problem] = []
    seen: set[str] = set()
    for place, name in enumerate(names, start=1):
        if not name.strip():
            hint = "did pandas write its index? to_csv(..., index=False)" if place == 1 else ""
            problems.append(
                Problem("data.unreadable", f"column {place} has no name", f"{path}:1", hint)
            )
        elif name in seen:
            text = f"the column name {name!r} stands twice"
            problems.append(Problem("data.unreadable", text, f"{path}:1"))
        seen.add(name)
    if problems:
        raise UnreadableTable(
            f"the first line of {path} does not name every column once",
            next_step="mend the header; it must be the first line",
            problems=problems,
        )


def _with_times(lazy: pl.LazyFrame, names: list[str]) -> pl.LazyFrame:
    """Columns *names* as dates or UTC times where every value that is not missing is one.

    Only ISO 8601 is taken: ``01/02/2013`` means two days, and a request could not send it.
    """
    tries = [(name, index) for name in names for index in range(len(_time_readings(pl.col(name))))]
    # Nearly all columns of text fail on their first rows; only the rest are read to the end.
    likely = _fitting(lazy.head(_SAMPLE_ROWS), tries, empty_fits=True)
    chosen = dict(reversed(_fitting(lazy, likely, empty_fits=False)))
    readings = [_time_readings(pl.col(name))[index].alias(name) for name, index in chosen.items()]
    return lazy.with_columns(readings) if readings else lazy


def _fitting(
    lazy: pl.LazyFrame, tries: list[tuple[str, int]], *, empty_fits: bool
) -> list[tuple[str, int]]:
    if not tries:
        return []
    checks = []
    for place, (name, index) in enumerate(tries):
        column = pl.col(name)
        same = (_time_readings(column)[index].is_null() == column.is_null()).all()
        filled = pl.lit(True) if empty_fits else column.is_not_null().any()
        checks.append((same & filled).alias(str(place)))
    fits = lazy.select(checks).collect(engine="streaming").row(0)
    return [attempt for attempt, fit in zip(tries, fits, strict=True) if fit]


def _time_readings(column: pl.Expr) -> list[pl.Expr]:
    plain = column.str.replace(" ", "T", literal=True).str.replace("Z$", "+00:00")
    whole = plain.str.replace(r"^(.{10}T\d\d:\d\d)($|[+-])", "${1}:00${2}")
    return [
        column.str.to_date("%Y-%m-%d", strict=False),
        *(
            whole.str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False)
            for form in _TIME_FORMATS
        ),
    ]


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0][:300] if text else type(error).__name__
