"""Cells of text files: read by the contract's kinds, and written so that no program runs them."""

from __future__ import annotations

import polars as pl

from shipway.batch.chunks import Faults
from shipway.contract.schema import Contract
from shipway.contract.violations import WRONG_TYPE, value_violation
from shipway.domain.model import Kind

_BOOLEANS = {"true": True, "false": False}
_DTYPES: dict[Kind, pl.DataType] = {
    Kind.NUMBER: pl.Float64(),
    Kind.INTEGER: pl.Int64(),
    Kind.BOOLEAN: pl.Boolean(),
}
_STARTS_A_FORMULA = r"^[=+\-@\t\r]"  # OWASP, CSV injection


def text_schema(columns: list[str], contract: Contract) -> pl.Schema:
    """The types of *columns* of a text file once they are read: by the contract, else text."""
    kinds = {column.name: column.kind for column in contract.request_columns}
    return pl.Schema({name: _dtype(kinds.get(name)) for name in columns})


def _dtype(kind: Kind | None) -> pl.DataType:
    return pl.String() if kind is None else _DTYPES.get(kind, pl.String())


def typed(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """The text columns of *frame* as *schema* says; a cell that is not of its type is null."""
    return frame.select(_cast(name, dtype) for name, dtype in schema.items())


def _cast(name: str, dtype: pl.DataType) -> pl.Expr:
    text = pl.col(name).str.strip_chars()
    if dtype == pl.String:
        return pl.col(name)
    if dtype == pl.Boolean:
        spelled = text.str.to_lowercase()
        return spelled.replace_strict(_BOOLEANS, default=None, return_dtype=pl.Boolean)
    if dtype == pl.Int64:
        # 3.0 is a whole number too, as it is in a request.
        fraction = text.cast(pl.Float64, strict=False)
        whole = pl.when(fraction == fraction.floor()).then(fraction)
        return pl.coalesce(text.cast(pl.Int64, strict=False), whole.cast(pl.Int64, strict=False))
    return text.cast(dtype, strict=False)


def unreadable_cells(raw: pl.DataFrame, read: pl.DataFrame, contract: Contract) -> Faults:
    """The rows of *raw* with a cell that *read* lost, and for each row what is wrong with it."""
    columns = {column.name: column for column in contract.request_columns}
    faults: Faults = {}
    for name in read.columns:
        # An empty or blank cell is missing, which is the contract's to judge.
        full = raw[name].is_not_null() & (raw[name].str.strip_chars() != "")
        for row in (full & read[name].is_null()).arg_true().to_list():
            fault = value_violation(columns[name], WRONG_TYPE, row, raw[name][row])
            faults.setdefault(row, []).append(fault)
    return faults


def safe_cells(frame: pl.DataFrame) -> pl.DataFrame:
    """*frame* with a ``'`` before text, names included, that a spreadsheet takes for a formula.

    Numbers stay numbers: only text that begins with ``=``, ``+``, ``-``, ``@``, a tab or a
    carriage return is changed.
    """
    return frame.select(_safe(name, dtype) for name, dtype in frame.schema.items())


def safe_schema(schema: pl.Schema) -> pl.Schema:
    """The schema that :func:`safe_cells` gives to a frame of *schema*."""
    return pl.Schema({_safe_name(name): dtype for name, dtype in schema.items()})


def _safe(name: str, dtype: pl.DataType) -> pl.Expr:
    cell = pl.col(name)
    if dtype == pl.String:
        prefixed = pl.concat_str(pl.lit("'"), cell)
        cell = pl.when(cell.str.contains(_STARTS_A_FORMULA)).then(prefixed).otherwise(cell)
    return cell.alias(_safe_name(name))


def _safe_name(name: str) -> str:
    return f"'{name}" if name.startswith(("=", "+", "-", "@", "\t", "\r")) else name
