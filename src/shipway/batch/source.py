"""The table to be scored, read in chunks: one file, or several, as their contract's kinds say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl

from shipway.batch import lines
from shipway.batch.cells import text_schema, typed, unreadable_cells
from shipway.batch.chunks import Chunk, in_sizes
from shipway.contract.delimited import scan_text
from shipway.contract.folders import are_several, files_of, names_of
from shipway.contract.formats import Format, format_of_head, head_of
from shipway.contract.joining import common_schema
from shipway.contract.schema import Contract, Role
from shipway.contract.tables import reading, scan_columnar
from shipway.domain.digests import digest_of_file
from shipway.errors import ContractViolated, Problem

_SAMPLE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class OneFile:
    """An opened file. ``schema`` is that of a chunk of it; ``rows`` is None if unknown."""

    path: Path
    name: str
    form: Format
    schema: pl.Schema
    rows: int | None
    contract: Contract

    def chunks(self, size: int, *, skip: int = 0) -> Iterator[Chunk]:
        """Its rows in order behind the first *skip*, *size* at a time; only the last may be fewer.

        Raises :class:`~shipway.errors.UnreadableTable` where the file is damaged.
        """
        with reading(self.path):
            if self.form is Format.LINES:
                yield from lines.chunks_of(
                    self.path, list(self.schema), self.contract, size, skip=skip
                )
                return
            scan = self._scan().select(list(self.schema)).slice(skip)
            batches = scan.collect_batches(chunk_size=size, maintain_order=True)
            for raw in in_sizes(iter(batches), size):
                yield (
                    self._text(raw) if self.form is Format.CSV else Chunk(raw, {}, raw.__getitem__)
                )

    def about_rows(self) -> int:
        """How many rows it has, by its size and its first lines where nobody has counted them."""
        if self.rows is not None:
            return self.rows
        with reading(self.path), self.path.open("rb") as file:
            head, size = file.read(_SAMPLE_BYTES), self.path.stat().st_size
        count = head.count(b"\n") or 1
        found = count if len(head) == size else round(size * count / len(head))
        return max(1, found - (self.form is Format.CSV))

    def _scan(self) -> pl.LazyFrame:
        if self.form is Format.CSV:
            return scan_text(self.path, head_of(self.path))
        return scan_columnar(self.path, self.form)

    def _text(self, raw: pl.DataFrame) -> Chunk:
        frame = typed(raw, self.schema)
        return Chunk(frame, unreadable_cells(raw, frame, self.contract), raw.__getitem__)


@dataclass(frozen=True, slots=True)
class Source:
    """The files of one input, in order. ``schema`` has their columns that are written again.

    ``several`` says that the input is a folder or a pattern, whatever it holds.
    """

    path: Path
    several: bool
    files: tuple[OneFile, ...]
    schema: pl.Schema

    @property
    def rows(self) -> int | None:
        """How many rows there are, None if that is not known."""
        counted = [one.rows for one in self.files]
        known = [rows for rows in counted if rows is not None]
        return sum(known) if len(known) == len(counted) else None

    def about_rows(self) -> int:
        """How many rows there are, or about how many."""
        return sum(one.about_rows() for one in self.files)

    def chunks(self, size: int, *, file: int = 0, skip: int = 0) -> Iterator[Chunk]:
        """The rows behind the first *skip* of the file number *file*, at most *size* at a time.

        No chunk has rows of two files.
        """
        for number in range(file, len(self.files)):
            for chunk in self.files[number].chunks(size, skip=skip if number == file else 0):
                yield Chunk(chunk.frame, chunk.faults, chunk.raw, number)

    def told(self, chunk: Chunk) -> str | None:
        """The name of the file of *chunk* where a reader must be told it: it is one of several."""
        return self.files[chunk.file].name if self.several else None

    def digest(self) -> str:
        """What tells these bytes from all others; of several files, with their names."""
        if not self.several:
            return digest_of_file(self.path)
        return "\n".join(f"{digest_of_file(one.path)} {one.name}" for one in self.files)

    def signature(self) -> tuple[object, ...]:
        """What changes whenever somebody writes to a file of it, adds one, or takes one away."""
        with reading(self.path):
            found = files_of(self.path)
            return tuple((path, *_signature(path)) for path in found)


def open_source(
    path: Path, contract: Contract, *, every_column: bool, complete: bool = True
) -> Source:
    """Open *path* for the columns of *contract*, or for every column that it has.

    Unless *complete*, features may lack.

    Raises :class:`~shipway.errors.UnreadableTable` if it cannot be read at all, and
    :class:`~shipway.errors.ContractViolated` with every feature that a file lacks.
    """
    found = files_of(path)
    opened = [
        _open(file, name, contract, every_column=every_column)
        for file, name in zip(found, names_of(path, found), strict=True)
    ]
    if complete:
        _check_features(path, opened, contract)
    ids = {column.name for column in contract.having(Role.ID)}
    written = [
        {name: dtype for name, dtype in one.schema.items() if every_column or name in ids}
        for one in opened
    ]
    schema = common_schema(path, [one.name for one in opened], written)
    return Source(path, are_several(path), tuple(opened), schema)


def _open(path: Path, name: str, contract: Contract, *, every_column: bool) -> OneFile:
    head = head_of(path)
    form = format_of_head(path, head)
    rows: int | None = None
    with reading(path):
        if form is Format.LINES:
            there = lines.columns_in(path)
            # Whoever writes JSON may leave out what is missing, for many lines on end.
            sparse = [one.name for one in contract.features if one.nullable]
            there += [name for name in sparse if name not in there]
            schema = text_schema(there, contract)
        elif form is Format.CSV:
            schema = text_schema(list(scan_text(path, head).collect_schema()), contract)
        else:
            scan = scan_columnar(path, form)
            schema = scan.collect_schema()
            rows = int(scan.select(pl.len()).collect().item())
    wanted = {column.name for column in contract.request_columns}
    kept = {n: dtype for n, dtype in schema.items() if every_column or n in wanted}
    return OneFile(path, name, form, pl.Schema(kept), rows, contract)


def _signature(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def _check_features(path: Path, files: Sequence[OneFile], contract: Contract) -> None:
    lacking = partial(_lacking, contract=contract)
    problems = [
        Problem(
            code="contract.missing-column",
            message="this feature is missing",
            where=f"column {name}" if len(files) == 1 else f"{one.name}, column {name}",
        )
        for one in files
        for name in lacking(one)
    ]
    if not problems:
        return
    worst = max(files, key=lambda one: len(lacking(one)))
    count = f"{len(lacking(worst))} of the model's {len(contract.features)} features"
    raise ContractViolated(
        f"{worst.name} lacks {count}",
        next_step="add or rename these columns; `shipway contract validate` tells more",
        problems=problems,
    )


def _lacking(file: OneFile, contract: Contract) -> list[str]:
    return [column.name for column in contract.features if column.name not in file.schema]
