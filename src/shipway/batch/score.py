"""Offline predictions: a table in, the same table's predictions out, in bounded memory.

The rows go through the same contract and the same rule as a request to the server. One that
breaks the contract is set aside with its reasons; the others are answered in their order.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec
import polars as pl
from polars.io.plugins import register_io_source

from shipway import __version__
from shipway.batch.cells import safe_cells, safe_schema
from shipway.batch.job import Job, Scorer
from shipway.batch.parts import BAD, ROWS, SEEN, Parts, parts_of
from shipway.batch.quarantine import write_quarantine
from shipway.batch.source import format_of, open_source
from shipway.contract.compiled import CompiledContract
from shipway.contract.schema import Contract
from shipway.contract.tables import reading
from shipway.domain.digests import digest_of, digest_of_file
from shipway.domain.events import Scalar
from shipway.domain.progress import SILENT, Progress
from shipway.durable import store_error, storing, sync_folder
from shipway.errors import (
    ContractViolated,
    ShipwayError,
    StoreError,
    UnreadableTable,
    UsageError,
)
from shipway.inference.personal import Protection
from shipway.monitoring.scored import Seen

CHUNK_ROWS = 50_000
_ROW_GROUP_ROWS = 100_000

OnBad = Literal["quarantine", "fail"]


class ScoreSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What was done: ``rows`` were read, ``bad_rows`` of them set aside in ``quarantine``.

    ``warnings`` counts the answered rows that broke a soft rule, by code.
    """

    rows: int
    bad_rows: int
    seconds: float
    rows_per_s: float
    output: str
    quarantine: str | None
    warnings: dict[str, int]


def score(
    input: Path,  # noqa: A002  the word that the command uses
    output: Path,
    *,
    predictor: Scorer,
    contract: Contract,
    version: str,
    classes: Sequence[Scalar] = (),
    chunk_rows: int = CHUNK_ROWS,
    keep_inputs: bool = False,
    on_bad: OnBad = "quarantine",
    max_bad_share: float = 0.05,
    excel_safe: bool = False,
    protection: Protection | None = None,
    version_digest: str = "",
    seen: Seen | None = None,
    progress: Progress = SILENT,
    clock_s: Callable[[], float] = time.perf_counter,
) -> ScoreSummary:
    """Predict every row of *input* (parquet or CSV) into *output* (parquet or CSV).

    The output has, in the order of the input: ``row`` (from 0), the contract's id columns (every
    column with *keep_inputs*), ``prediction``, ``score`` (binary) or ``probability_<class>``
    (multiclass, in the order of *classes*), ``model_version`` and ``prediction_id``. The ids are
    made from the bytes of the input and *version*, so the same job gives the same ids. An input
    column with the name of one of these is kept as ``input_<name>``.

    Rows that break *contract* go to ``<output>.quarantine.csv`` with their reasons. When they
    are more than *max_bad_share* of the rows, :class:`~shipway.errors.ContractViolated` is
    raised, *output* is left as it was, and the quarantine holds the bad rows met so far; with
    *on_bad* ``fail`` one bad row is enough and there is no quarantine. With
    *excel_safe*, text in CSV that a spreadsheet would run as a formula is quoted. Of personal
    columns output and quarantine hold what *protection* gives, and monitoring is shown what was
    answered by *seen*.

    Killed at any point, the same call goes on where it was and gives the same bytes: what is done
    lies in ``.<output>.parts`` until the output is there, bound to the bytes of the input, the
    version (*version_digest*) and all that changes an answer. Raises
    :class:`~shipway.errors.ConflictError` while another run makes the same output, and
    UnreadableTable for an input that somebody changes meanwhile.
    """
    _check_arguments(input, output, chunk_rows, max_bad_share)
    started_s = clock_s()
    source = open_source(input, contract, every_column=keep_inputs)
    before = _signature(input)
    request_id = _request_id(input, version)
    told = [request_id, version_digest, contract, keep_inputs, chunk_rows, __version__]
    key = digest_of(msgspec.json.encode([*told, seen is not None]))
    with parts_of(output, key, now_ns=time.time_ns()) as parts:
        with progress.start("Predicting", source.rows, "rows") as task:
            job = Job(
                source=source,
                predictor=predictor,
                compiled=CompiledContract(contract),
                version=version,
                request_id=request_id,
                classes=tuple(classes),
                keep_inputs=keep_inputs,
                chunk_rows=chunk_rows,
                max_bad_share=0.0 if on_bad == "fail" else max_bad_share,
                progress=task.advance,
                protection=protection,
                seen=seen,
            )
            with _ending(parts):
                try:
                    _answer(job, parts, before)
                except ContractViolated:
                    if on_bad != "fail":
                        _set_aside(parts, output, excel_safe=excel_safe)
                    raise
        with _replacing(output, parts.folder / "output") as made:
            _write(job, parts, made, output, excel_safe=excel_safe)
            aside = _set_aside(parts, output, excel_safe=excel_safe)
            if seen is not None:
                seen.keep(parts.tables(SEEN), request_id)
        parts.discard()
    seconds = clock_s() - started_s
    return ScoreSummary(
        rows=job.rows,
        bad_rows=job.bad_rows,
        seconds=seconds,
        rows_per_s=job.rows / seconds if seconds > 0 else 0.0,
        output=str(output),
        quarantine=str(aside) if job.bad_rows else None,
        warnings=job.warnings,
    )


def _answer(job: Job, parts: Parts, before: tuple[int, ...]) -> None:
    """Make all *parts* of *job*, from the input as it was *before* and no other."""
    path = job.source.path
    try:
        job.run(parts)
        if job.rows == 0:
            raise UnreadableTable(f"{path} has no rows", next_step="give a table with a row")
    except UnreadableTable:
        _check_unchanged(path, before)  # what somebody changes cannot be read, and that is why
        raise
    _check_unchanged(path, before)
    job.check_share(job.rows)


@contextmanager
def _ending(parts: Parts) -> Iterator[None]:
    """Throw *parts* away after an error that the next run would meet too; else they are kept."""
    try:
        yield
    except StoreError:
        raise  # with more room the next run goes on
    except ShipwayError:
        parts.discard()
        raise


def _set_aside(parts: Parts, output: Path, *, excel_safe: bool) -> Path:
    """Put the bad rows of *parts* beside *output*; without any, nothing stale stays there."""
    aside = output.with_name(f"{output.name}.quarantine.csv")
    staged = parts.folder / "aside"
    with _replacing(aside, staged) as partial, storing(aside), partial.open("wb") as file:
        write_quarantine(parts.tables(BAD), file, excel_safe=excel_safe)
    return aside


def _signature(path: Path) -> tuple[int, ...]:
    """What changes whenever somebody writes to the file at *path*, or puts another in its place."""
    with reading(path):
        status = path.stat()
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def _check_unchanged(path: Path, before: tuple[int, ...]) -> None:
    if not path.exists() or _signature(path) != before:
        raise UnreadableTable(
            f"{path} was changed while it was being scored; no predictions were written",
            next_step="score it again once nobody writes to it, or score a copy",
        )


def _check_arguments(source: Path, output: Path, chunk_rows: int, max_bad_share: float) -> None:
    format_of(output)
    if chunk_rows < 1 or not 0 <= max_bad_share <= 1:
        raise UsageError(
            f"chunks of {chunk_rows} rows with a share of {max_bad_share} bad ones make no sense",
            next_step="give at least one row a chunk, and a share from 0 to 1",
        )
    if output.resolve() == source.resolve():
        raise UsageError(
            f"{output} would be written over the table that is read",
            next_step="give the output another name",
        )
    if not output.parent.is_dir():
        raise UsageError(f"there is no folder {output.parent}", next_step="make it first")


def _request_id(path: Path, version: str) -> str:
    """32 hex digits that say which bytes were scored by which version."""
    return hashlib.sha256(f"{digest_of_file(path)} {version}".encode()).hexdigest()[:32]


def _write(job: Job, parts: Parts, partial: Path, output: Path, *, excel_safe: bool) -> None:
    """Stream the answers of *parts* into *partial*, in the format of *output*.

    polars pulls one frame at a time from the generator and holds a few row groups at most; an
    exception of ours comes through it as it is. The same parts give the same bytes.
    """
    as_csv = format_of(output) == ".csv"
    safe = as_csv and excel_safe
    schema = safe_schema(job.schema()) if safe else job.schema()

    def frames(*_: object) -> Iterator[pl.DataFrame]:
        return (safe_cells(frame) if safe else frame for frame in parts.tables(ROWS))

    query = register_io_source(frames, schema=schema)
    try:
        if as_csv:
            query.sink_csv(partial, check_extension=False)
        else:
            query.sink_parquet(partial, row_group_size=_ROW_GROUP_ROWS)
    except OSError as error:
        raise store_error(output, error) from error
    except pl.exceptions.PolarsError as error:
        raise StoreError(
            f"{output} cannot be written: {str(error).strip().splitlines()[0]}",
            next_step="look at the disk and the folder, then try again",
        ) from error


@contextmanager
def _replacing(target: Path, partial: Path) -> Iterator[Path]:
    """The new file *partial*, which takes the place of *target* when the block ends well.

    It lies among the parts, where what a kill left of it is found and written over. An empty one
    removes *target* instead: nothing stale may lie beside a new result.
    """
    with storing(partial):
        partial.unlink(missing_ok=True)
    try:
        yield partial
        _settle(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _settle(partial: Path, target: Path) -> None:
    with storing(target):
        if partial.stat().st_size == 0:
            target.unlink(missing_ok=True)
        else:
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.replace(target)
        sync_folder(target.parent)
