"""Files that are one table: which columns it has, and the types that hold the values of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from shipway.errors import Problem, UnreadableTable

_TEXTS = (pl.String, pl.Categorical, pl.Enum)


def joined(path: Path, files: Sequence[Path], tables: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
    """*tables* of the *files* of *path* under each other; their columns must be the same.

    Raises :class:`~shipway.errors.UnreadableTable` with every file that has others, or every
    column whose types do not go together.
    """
    _check_columns(path, files, tables)
    names = list(tables[0].collect_schema())
    told = [_without_empty(table) for table in tables]
    schema = common_schema(path, [file.name for file in files], told)
    return pl.concat([table.select(names).cast(schema) for table in tables])


def common_schema(
    path: Path, files: Sequence[str], schemas: Sequence[Mapping[str, pl.DataType]]
) -> pl.Schema:
    """The columns that any of the *files* of *path* has, with types that hold those of all.

    Numbers go together, as do kinds of text, and times of one zone; anything goes with nothing but
    missing values. Raises :class:`~shipway.errors.UnreadableTable` with every column where they
    do not.
    """
    found: dict[str, pl.DataType] = {}
    first: dict[str, str] = {}
    problems: list[Problem] = []
    for file, schema in zip(files, schemas, strict=True):
        for name, dtype in schema.items():
            both = _both(found.get(name, dtype), dtype)
            if both is None:
                text = f"{found[name]} in {first[name]}, {dtype} in {file}"
                problems.append(Problem("data.unreadable", text, f"column {name}"))
            else:
                found[name] = both
                first.setdefault(name, file)
    if problems:
        raise UnreadableTable(
            f"the files of {path} have columns of types that do not go together",
            next_step="write each column with one type in all files, or use the files apart",
            problems=problems,
        )
    return pl.Schema(found)


def _both(one: pl.DataType, other: pl.DataType) -> pl.DataType | None:
    """The type that holds values of both, None where there is none."""
    if other in (one, pl.Null):
        return one
    if one == pl.Null:
        return other
    if one in _TEXTS and other in _TEXTS:
        return pl.String()
    times = isinstance(one, pl.Datetime) and isinstance(other, pl.Datetime)
    if not times and not (one.is_numeric() and other.is_numeric()):
        return None
    try:
        empty = [pl.DataFrame(schema={"column": dtype}) for dtype in (one, other)]
        return pl.concat(empty, how="vertical_relaxed").schema["column"]
    except pl.exceptions.PolarsError:
        return None


def _check_columns(path: Path, files: Sequence[Path], tables: Sequence[pl.LazyFrame]) -> None:
    names = set(tables[0].collect_schema())
    problems: list[Problem] = []
    for file, table in zip(files[1:], tables[1:], strict=True):
        own = set(table.collect_schema())
        lacks, adds = sorted(names - own), sorted(own - names)
        told = [f"lacks {', '.join(lacks)}"] * bool(lacks) + [f"has {', '.join(adds)}"] * bool(adds)
        if told:
            problems.append(Problem("data.unreadable", " and ".join(told), str(file)))
    if problems:
        raise UnreadableTable(
            f"{len(problems)} of the {len(files)} files of {path} have other columns"
            f" than {files[0].name}",
            next_step="give files with the same columns, or name those that belong together",
            problems=problems,
        )


def _without_empty(table: pl.LazyFrame) -> dict[str, pl.DataType]:
    """The types of *table*; columns without a value, which CSV calls text, have none."""
    schema = table.collect_schema()
    texts = [name for name, dtype in schema.items() if dtype == pl.String]
    if not texts:
        return dict(schema)
    filled = table.select(pl.col(texts).is_not_null().any()).collect(engine="streaming").row(0)
    empty = [name for name, any_value in zip(texts, filled, strict=True) if not any_value]
    return dict(schema) | dict.fromkeys(empty, pl.Null())
