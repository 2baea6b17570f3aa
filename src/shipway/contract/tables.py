"""Tables from files, or a clear word why not: parquet, Arrow, CSV, JSON lines, folders of them.

Content decides what a file is, and its name only explains the surprise. Everything that cannot be
read is an :class:`~shipway.errors.UnreadableTable` with the next thing to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import polars as pl

from shipway.contract.delimited import NULLS, scan_csv, texts_of, with_times
from shipway.contract.folders import are_several, files_of, names_of
from shipway.contract.formats import Format, format_of_head, head_of
from shipway.contract.joining import joined
from shipway.domain.digests import digest_of, digest_of_file
from shipway.domain.model import Kind
from shipway.domain.times import iso
from shipway.errors import UnreadableTable

__all__ = ["NULLS", "TableFacts", "describe_table", "digest_table", "read_table", "scan_table"]


class TableFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What lineage keeps of a table: ``digest`` is of the bytes of its file, or files.

    ``time_from`` and ``time_to`` are RFC 3339, empty without a time column.
    """

    digest: str
    rows: int
    columns: int
    time_from: str = ""
    time_to: str = ""


def read_table(path: Path | str, *, kinds: Mapping[str, Kind] | None = None) -> pl.DataFrame:
    """The table at *path*, whole: a file, or a folder or pattern of files with the same columns.

    Of CSV the separator is found, and ``NA`` and nothing are missing; columns of text that hold
    ISO 8601 dates or times become dates or UTC times. *kinds*, from a contract, keeps its strings
    from being read as numbers. Raises :class:`~shipway.errors.UnreadableTable`; also for a table
    without rows.
    """
    place = Path(path)
    with reading(place):
        frame = scan_table(place, kinds=kinds).collect()
    if frame.height == 0:
        raise UnreadableTable(
            f"{place} has {frame.width} columns and no rows", next_step="give a table with rows"
        )
    return frame


def scan_table(path: Path | str, *, kinds: Mapping[str, Kind] | None = None) -> pl.LazyFrame:
    """The table at *path* to be streamed; as :func:`read_table`, and no rows are allowed.

    What is found to be damaged only later is raised by polars: collect within :func:`reading`.
    """
    place = Path(path)
    files = files_of(place)
    tables = [_scan_file(file, kinds or {}) for file in files]
    if len(tables) == 1:
        return tables[0]
    with reading(place):
        return joined(place, files, tables)


def _scan_file(path: Path, kinds: Mapping[str, Kind]) -> pl.LazyFrame:
    head = head_of(path)
    match format_of_head(path, head):
        case Format.CSV:
            with reading(path):
                return scan_csv(path, head, kinds)
        case Format.LINES:
            with reading(path):
                lazy = pl.scan_ndjson(path, infer_schema_length=None)
                return with_times(lazy, texts_of(lazy.collect_schema(), kinds))
        case columnar:
            return scan_columnar(path, columnar)


def scan_columnar(path: Path, form: Format) -> pl.LazyFrame:
    """The parquet or Arrow file at *path*, to be streamed."""
    with reading(path):
        lazy = (
            pl.scan_parquet(path, glob=False)
            if form is Format.PARQUET
            else pl.scan_ipc(path, glob=False)
        )
        lazy.collect_schema()
        return lazy


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
    """The digest of the bytes of the file at *path*; of several, of their names and digests."""
    place = Path(path)
    files = files_of(place)
    if not are_several(place):
        head_of(place)
        with reading(place):
            return digest_of_file(place)
    with reading(place):
        lines = [
            f"{digest_of_file(file)} {name}\n"
            for file, name in zip(files, names_of(place, files), strict=True)
        ]
    return digest_of("".join(lines).encode())


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


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0][:300] if text else type(error).__name__
