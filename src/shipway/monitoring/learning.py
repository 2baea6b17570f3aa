"""What a retraining can learn from: what was asked, in the contract's types, and what came true."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from shipway.contract.schema import Contract, Role
from shipway.domain.model import Kind
from shipway.errors import NotEnoughData
from shipway.monitoring.rows import MOMENT, as_text, inputs, moment_of

_TYPES = {
    Kind.NUMBER: pl.Float64(),
    Kind.INTEGER: pl.Int64(),
    Kind.BOOLEAN: pl.Boolean(),
    Kind.STRING: pl.String(),
    Kind.DATE: pl.Date(),
    Kind.TIMESTAMP: MOMENT,
}
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


def learnt(frame: pl.DataFrame, contract: Contract, until: datetime) -> pl.DataFrame:
    """The rows of *frame* (``window.with_truth``) before *until* whose truth is known.

    Their columns are the features, the time and the target of *contract*, in its types; what an
    older version did not ask for, and a value that is not of its type, is null. Raises
    :class:`~shipway.errors.NotEnoughData` while no prediction has a label.
    """
    target = contract.target
    known = frame.filter(pl.col("truth").is_not_null(), pl.col("event_time") < until)
    if target is None or known.height == 0:
        raise NotEnoughData(
            "no prediction has a label yet",
            next_step="add labels with `shipway labels add TABLE`",
        )
    personal = [column.name for column in contract.features if column.personal is not None]
    if personal:
        raise NotEnoughData(
            f"what was asked is not kept of the personal columns {', '.join(personal)}",
            next_step="train on a table from where the data are kept",
        )
    sent = inputs(known, [column.name for column in contract.features])
    return pl.DataFrame(
        [
            *(promised(sent[column.name], column.kind) for column in contract.features),
            *(known["event_time"].alias(column.name) for column in contract.having(Role.TIME)),
            promised(known["truth"].alias(target.name), target.kind),
        ]
    )


def promised(values: pl.Series, kind: Kind) -> pl.Series:
    """*values*, as they were sent, as a column of *kind*; null where one is not of it."""
    wanted = _TYPES[kind]
    if values.dtype in (wanted, pl.Null) or kind in (Kind.NUMBER, Kind.INTEGER):
        return values.cast(wanted, strict=False)
    if kind is Kind.STRING:
        return as_text(values)
    if kind is Kind.BOOLEAN:
        return as_text(values).replace_strict(_BOOLEANS, default=None, return_dtype=pl.Boolean)
    if values.dtype == pl.String:
        unique = values.unique()
        moments = pl.Series([moment_of(text) for text in unique.to_list()], dtype=MOMENT)
        values = values.replace_strict(unique, moments, return_dtype=MOMENT)
    return values.cast(wanted, strict=False)
