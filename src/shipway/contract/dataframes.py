"""Data frames of other libraries (pandas, Arrow ...) as polars frames, without pyarrow."""

from __future__ import annotations

from typing import Any, cast

import narwhals as nw
import polars as pl
from narwhals.typing import IntoFrame

from shipway.errors import UnreadableTable

_NUMPY_NUMBERS = frozenset(
    f"{sign}{bits}" for sign in ("int", "uint") for bits in (8, 16, 32, 64)
) | {"float32", "float64"}


def to_polars(frame: IntoFrame | pl.DataFrame | pl.LazyFrame) -> pl.DataFrame:
    """Any eager data frame that narwhals knows (pandas, polars, Arrow ...) as a polars one.

    NaN, NaT and NA of pandas become nulls in columns that are not floats; columns of mixed types
    get the dtype ``Object``. Raises ``UnreadableTable`` for column names that are not text.
    """
    if isinstance(frame, pl.DataFrame):
        return frame
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    try:
        known: nw.DataFrame[Any] = nw.from_native(cast("Any", frame), eager_only=True)
    except TypeError as error:
        raise UnreadableTable(
            f"{type(frame).__name__} is not a data frame",
            next_step="give a pandas, polars or Arrow table",
        ) from error
    except ValueError as error:
        raise UnreadableTable(
            str(error).splitlines()[0], next_step="give each column its own name"
        ) from error
    odd = [name for name in list[object](known.columns) if not isinstance(name, str)]
    if odd:
        raise UnreadableTable(
            f"column names must be text, not {odd[0]!r}",
            next_step="rename them: frame.columns = frame.columns.astype(str)",
        )
    return pl.DataFrame([_series(known[name]) for name in known.columns])


def _series(column: nw.Series[Any]) -> pl.Series:
    dtype = column.dtype
    native = column.to_native()
    if dtype.is_numeric() and str(getattr(native, "dtype", "")) in _NUMPY_NUMBERS:
        return pl.Series(column.name, column.to_numpy())
    values = [None if value is None or _is_na(value) else value for value in column.to_list()]
    if dtype.is_float():
        return pl.Series(column.name, values, dtype=pl.Float64)
    try:
        return pl.Series(column.name, values, strict=True)
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        return pl.Series(column.name, values, dtype=pl.Object)


def _is_na(value: Any) -> bool:
    """True for NaN, NaT and the NA of pandas, which refuses to say whether it equals itself."""
    if isinstance(value, list | dict):
        return False
    try:
        return bool(value != value)  # noqa: PLR0124
    except TypeError:
        return True
