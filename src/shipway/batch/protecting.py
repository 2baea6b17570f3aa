"""Tables as they may be written: personal columns replaced, as ``inference.personal`` says."""

from __future__ import annotations

import polars as pl

from shipway.inference.personal import Protection, plain
from shipway.security.personal import Written


def protected(frame: pl.DataFrame, protection: Protection | None) -> pl.DataFrame:
    """*frame* with its personal columns replaced; itself where nothing is protected."""
    if protection is None:
        return frame
    return frame.with_columns(
        _series(frame[name], write)
        for name, write in protection.columns.items()
        if name in frame.columns
    )


def protected_dtype(name: str, dtype: pl.DataType, protection: Protection | None) -> pl.DataType:
    """The type that the column *name* of *dtype* has in what :func:`protected` gives."""
    replaced = protection is not None and protection.columns.get(name) is not None
    return pl.String() if replaced else dtype


def _series(values: pl.Series, write: Written | None) -> pl.Series:
    if write is None:
        return pl.Series(values.name, [None] * len(values), dtype=values.dtype)
    told = (plain(value) for value in values.to_list())
    written = [None if value is None else write(value) for value in told]
    return pl.Series(values.name, written, dtype=pl.String)
