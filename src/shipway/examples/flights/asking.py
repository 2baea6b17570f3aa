"""What the passengers' app sends: flights as inference requests, over a connection kept open.

All requests of a stretch are cut from the table in one pass of polars, and sent with the standard
library's client: the app shares the machine with the server that it asks.
"""

from __future__ import annotations

import http.client
import select
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec
import polars as pl

from shipway.examples.flights.data import CATEGORIES, FEATURES, TARGET, TIME

_TIMEOUT_S = 30.0
_HOUR, _PART, _MOMENTS = "_hour", "_part", "_moments"
_INPUTS = (*FEATURES, TIME)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: flights that leave one airport in one ``hour``, in order of time.

    ``truths`` holds None for a flight that never arrived.
    """

    hour: datetime
    body: bytes
    moments: list[datetime]
    truths: list[int | None]


def requests_of(rows: pl.DataFrame, most_rows: int) -> Iterator[Asked]:
    """*rows* hour by hour and airport by airport, at most *most_rows* of them in a request."""
    datatypes = {name: _datatype(name, rows.schema[name]) for name in _INPUTS}
    place = pl.int_range(pl.len()).over(_HOUR, "origin")
    parts = (
        rows.with_columns(pl.col(TIME).dt.truncate("1h").alias(_HOUR))
        .with_columns((place // most_rows).alias(_PART), pl.col("origin").alias("_airport"))
        .group_by(_HOUR, "_airport", _PART, maintain_order=True)
        .agg(
            *(pl.col(name) for name in FEATURES),
            _text_of_time(),
            pl.col(TIME).alias(_MOMENTS),
            pl.col(TARGET),
        )
    )
    for part in parts.iter_rows(named=True):
        columns = {name: part[name] for name in _INPUTS}
        yield Asked(part[_HOUR], _body(columns, datatypes), part[_MOMENTS], part[TARGET])


def infer_request(rows: pl.DataFrame) -> bytes:
    """*rows* as one Open Inference Protocol v2 request: one input a column."""
    texts = rows.with_columns(_text_of_time()).select(_INPUTS)
    datatypes = {name: _datatype(name, texts.schema[name]) for name in _INPUTS}
    return _body(texts.to_dict(as_series=False), datatypes)


class Line:
    """A connection to one server, opened again when the server has closed it while it rested."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        address = urlsplit(url)
        self._headers = dict(headers)
        self._connection = http.client.HTTPConnection(
            address.hostname or "", address.port, timeout=_TIMEOUT_S
        )

    def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """The status and the body of the answer; OSError or HTTPException if there is none."""
        if self._closed_there():
            self._connection.close()
        try:
            self._connection.request("POST", path, body, self._headers)
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def _closed_there(self) -> bool:
        """Whether something came unasked: on a resting connection that is its end."""
        waiting = self._connection.sock
        return waiting is not None and bool(select.select([waiting], [], [], 0)[0])


def _body(columns: Mapping[str, list[Any]], datatypes: Mapping[str, str]) -> bytes:
    inputs = [
        {"name": name, "shape": [len(values)], "datatype": datatypes[name], "data": values}
        for name, values in columns.items()
    ]
    return msgspec.json.encode({"inputs": inputs})


def _text_of_time() -> pl.Expr:
    return pl.col(TIME).dt.strftime("%Y-%m-%dT%H:%M:%SZ")


def _datatype(name: str, kind: pl.DataType) -> str:
    if name in CATEGORIES or name == TIME:
        return "BYTES"
    return "INT64" if kind == pl.Int64 else "FP64"
