"""``predict``: a table's rows, or one row in JSON, sent to a running server."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from shipway.api.server import Caller, caller
from shipway.bootstrap.project import Project
from shipway.contract.schema import Contract
from shipway.contract.tables import read_table
from shipway.domain.model import DATATYPE_OF
from shipway.domain.progress import SILENT, Progress
from shipway.domain.times import iso
from shipway.errors import DataError

ROWS_A_REQUEST = 1_000


class Predictions(msgspec.Struct, frozen=True, kw_only=True):
    """What the server answered: one entry a row in every column of ``outputs``."""

    model: str
    versions: tuple[str, ...]
    rows: int
    outputs: dict[str, list[Any]]


def predict(
    project: Project,
    rows: Path | str,
    *,
    url: str | None = None,
    key: str | None = None,
    progress: Progress = SILENT,
) -> Predictions:
    """Ask the server about *rows*: the path of a table, or JSON text of one row or a list of rows.

    Columns that are neither features nor time, id or group stay at home. Raises what the server
    refuses with, every row and column named.
    """
    contract = project.contract
    table = _table(rows, contract)
    asked = table.select(
        column.name for column in contract.request_columns if column.name in table.columns
    )
    absent = any(column.name not in table.columns for column in contract.features)
    if absent or any(dtype.is_nested() for dtype in asked.schema.values()):
        # The server would see neither the name that was meant nor what a row was written like.
        what = rows.name if isinstance(rows, Path) else "the row"
        raise project.compiled.check_frame(table).error(what)
    server = caller(project, url=url, key=key)
    outputs: dict[str, list[Any]] = {}
    versions: dict[str, None] = {}
    with progress.start("Predicting", asked.height, "rows") as task:
        for chunk in asked.iter_slices(ROWS_A_REQUEST):
            answer = _ask(server, contract, chunk)
            versions[str(answer.get("model_version", ""))] = None
            for output in answer["outputs"]:
                outputs.setdefault(output["name"], []).extend(_rows_of(output))
            task.advance(chunk.height)
    return Predictions(
        model=contract.model, versions=tuple(versions), rows=asked.height, outputs=outputs
    )


def infer_request(contract: Contract, rows: pl.DataFrame) -> dict[str, Any]:
    """*rows* as an Open Inference Protocol v2 request: one input a column of the contract."""
    kinds = {column.name: column.kind for column in contract.request_columns}
    return {
        "inputs": [
            {
                "name": name,
                "shape": [rows.height],
                "datatype": DATATYPE_OF[kinds[name]],
                "data": [_plain(value) for value in rows[name].to_list()],
            }
            for name in rows.columns
        ]
    }


def _ask(server: Caller, contract: Contract, rows: pl.DataFrame) -> dict[str, Any]:
    url = f"{server.url}/v2/models/{contract.model}/infer"
    answer: dict[str, Any] = server.post(url, infer_request(contract, rows))
    return answer


def _rows_of(output: dict[str, Any]) -> list[Any]:
    """The data of one output, one entry a row."""
    data, shape = output["data"], output["shape"]
    if len(shape) == 1 or shape[1] == 1:
        return list(data)
    width = shape[1]
    if data and isinstance(data[0], list):
        return list(data)
    return [data[start : start + width] for start in range(0, len(data), width)]


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return iso(value)
    return value.isoformat() if isinstance(value, date) else value


def _table(rows: Path | str, contract: Contract) -> pl.DataFrame:
    if isinstance(rows, Path):
        return read_table(rows, kinds=contract.kinds)
    try:
        decoded = msgspec.json.decode(rows)
    except msgspec.DecodeError as error:
        raise DataError(
            f"the rows are not JSON: {error}",
            next_step='give one like \'{"carrier": "UA", "distance": 1400}\', or a table',
        ) from error
    listed = decoded if isinstance(decoded, list) else [decoded]
    if not listed or not all(isinstance(row, dict) for row in listed):
        raise DataError(
            "the rows are not an object, nor a list of objects",
            next_step='give one like \'{"carrier": "UA", "distance": 1400}\'',
        )
    return pl.DataFrame(listed, infer_schema_length=None, strict=False)
