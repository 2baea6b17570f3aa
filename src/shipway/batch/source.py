"""The table to be scored, read in chunks: parquet as it is, CSV as text by the contract's kinds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from shipway.batch.cells import text_schema
from shipway.contract.schema import Contract
from shipway.contract.tables import is_parquet, reading, scan_table
from shipway.errors import ContractViolated, Problem, UsageError

FORMATS = (".parquet", ".csv")


@dataclass(frozen=True, slots=True)
class Source:
    """An opened table. ``schema`` is that of a chunk once typed; ``rows`` is None if unknown."""

    path: Path
    scan: pl.LazyFrame
    schema: pl.Schema
    is_text: bool
    rows: int | None

    def chunks(self, size: int, *, skip: int = 0) -> Iterator[pl.DataFrame]:
        """The rows in order behind the first *skip*, *size* at a time, text still as text.

        Only the last chunk may be smaller, so that the same rows are always one chunk. Raises
        :class:`~shipway.errors.UnreadableTable` where the file is damaged.
        """
        with reading(self.path):
            scan = self.scan.slice(skip) if skip else self.scan
            waiting: list[pl.DataFrame] = []
            for batch in scan.collect_batches(chunk_size=size, maintain_order=True):
                waiting.append(batch)
                while sum(one.height for one in waiting) >= size:
                    together = pl.concat(waiting, rechunk=True)
                    yield together.head(size)
                    waiting = [together.slice(size)] if together.height > size else []
            if rest := [one for one in waiting if one.height]:
                yield pl.concat(rest, rechunk=True)


def format_of(path: Path) -> str:
    """``.parquet`` or ``.csv``. Raises :class:`~shipway.errors.UsageError` for anything else."""
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(
            f"{path.name} is neither parquet nor CSV by its name",
            next_step="give a file whose name ends in .parquet or .csv",
        )
    return suffix


def open_source(path: Path, contract: Contract, *, every_column: bool) -> Source:
    """Open *path* for the columns of *contract*, or for every column that it has.

    Raises :class:`~shipway.errors.UnreadableTable` if it cannot be read at all, and
    :class:`~shipway.errors.ContractViolated` with every feature that it lacks.
    """
    is_text = not is_parquet(path)
    scan = scan_table(path, as_text=True)
    with reading(path):
        schema = scan.collect_schema()
        rows = None if is_text else int(scan.select(pl.len()).collect().item())
    _check_features(path, schema, contract)
    wanted = [column.name for column in contract.request_columns]
    kept = [name for name in schema if every_column or name in wanted]
    typed = text_schema(kept, contract) if is_text else pl.Schema({n: schema[n] for n in kept})
    return Source(path=path, scan=scan.select(kept), schema=typed, is_text=is_text, rows=rows)


def _check_features(path: Path, schema: pl.Schema, contract: Contract) -> None:
    missing = [column.name for column in contract.features if column.name not in schema]
    if missing:
        raise ContractViolated(
            f"{path.name} lacks {len(missing)} of the model's {len(contract.features)} features",
            next_step="add or rename these columns; `shipway contract validate` tells more",
            problems=[
                Problem(
                    code="contract.missing-column",
                    message="this feature is missing",
                    where=f"column {name}",
                )
                for name in missing
            ],
        )
