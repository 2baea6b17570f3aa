"""Offline predictions: a table in, the same table's predictions out, in bounded memory.

The rows go through the same contract and the same rule as a request to the server. One that
breaks the contract is set aside with its reasons; the others are answered in their order.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from shipway import __version__
from shipway.batch.estimate import ScoreEstimate, estimate_job
from shipway.batch.job import Job, Scorer
from shipway.batch.output import assembled, form_of, replacing_whole, write_folder
from shipway.batch.parts import BAD, SEEN, Parts, parts_of
from shipway.batch.quarantine import write_quarantine
from shipway.batch.source import Source, open_source
from shipway.contract.compiled import CompiledContract
from shipway.contract.schema import Contract
from shipway.domain.digests import digest_of
from shipway.domain.events import Scalar
from shipway.domain.progress import SILENT, Progress
from shipway.durable import storing
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
    """Predict every row of *input* into *output*.

    The input is a parquet, Arrow, CSV or JSON lines file, or a folder or pattern of such. The
    output is a file in the format that its name asks for, or, without an ending, a folder of
    parquet files beside which ``<output>.manifest.json`` says what it holds.

    The output has, in the order of the input: ``row`` (from 0), ``file`` where the input is several
    files, the contract's id columns (every column with *keep_inputs*), ``prediction``, ``score``
    (binary) or ``probability_<class>`` (multiclass, in the order of *classes*), ``model_version``
    and ``prediction_id``. The ids are made from the bytes of the input and *version*, so the same
    job gives the same ids. An input column with the name of one of these is kept as
    ``input_<name>``.

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
    before = source.signature()
    job = Job(
        source=source,
        predictor=predictor,
        compiled=CompiledContract(contract),
        version=version,
        request_id=_request_id(source, version),
        classes=tuple(classes),
        chunk_rows=chunk_rows,
        max_bad_share=0.0 if on_bad == "fail" else max_bad_share,
        protection=protection,
        seen=seen,
    )
    told = [job.request_id, version_digest, contract, keep_inputs, chunk_rows, __version__]
    key = digest_of(msgspec.json.encode([*told, seen is not None]))
    with parts_of(output, key, now_ns=time.time_ns()) as parts:
        with progress.start("Predicting", source.about_rows(), "rows") as task, _ending(parts):
            job.progress = task.advance
            try:
                _answer(job, parts, before)
            except ContractViolated:
                if on_bad != "fail":
                    _set_aside(parts, output, excel_safe=excel_safe)
                raise
        aside = _finish(job, parts, key, output, excel_safe=excel_safe)
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


def estimate(
    input: Path,  # noqa: A002  the word that the command uses
    output: Path,
    *,
    predictor: Scorer,
    contract: Contract,
    version: str,
    classes: Sequence[Scalar] = (),
    chunk_rows: int = CHUNK_ROWS,
    keep_inputs: bool = False,
) -> ScoreEstimate:
    """What :func:`score` with the same arguments would cost; nothing is written."""
    _check_arguments(input, output, chunk_rows, 0.0)
    job = Job(
        source=open_source(input, contract, every_column=keep_inputs),
        predictor=predictor,
        compiled=CompiledContract(contract),
        version=version,
        request_id="",
        classes=tuple(classes),
        chunk_rows=chunk_rows,
        max_bad_share=1.0,
    )
    return estimate_job(job, time.time_ns())


def _finish(job: Job, parts: Parts, key: str, output: Path, *, excel_safe: bool) -> Path:
    """Make *output* of all *parts*, and show monitoring what it is to see; where bad rows are."""
    if form_of(output) is None:
        aside = _set_aside(parts, output, excel_safe=excel_safe)
        _show(job, parts)
        write_folder(parts, key, job.version, output, bad_rows=job.bad_rows)
        return aside
    with assembled(parts, job.schema(), output, excel_safe=excel_safe):
        aside = _set_aside(parts, output, excel_safe=excel_safe)
        _show(job, parts)
    return aside


def _show(job: Job, parts: Parts) -> None:
    if job.seen is not None:
        job.seen.keep(parts.tables(SEEN), job.request_id)


def _answer(job: Job, parts: Parts, before: tuple[object, ...]) -> None:
    """Make all *parts* of *job*, from the input as it was *before* and no other."""
    source = job.source
    try:
        job.run(parts)
        if job.rows == 0:
            raise UnreadableTable(f"{source.path} has no rows", next_step="give a table with a row")
    except UnreadableTable:
        _check_unchanged(source, before)  # what somebody changes cannot be read, and that is why
        raise
    _check_unchanged(source, before)
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
    with replacing_whole(aside, staged) as partial, storing(aside), partial.open("wb") as file:
        write_quarantine(parts.tables(BAD), parts.columns(BAD), file, excel_safe=excel_safe)
    return aside


def _check_unchanged(source: Source, before: tuple[object, ...]) -> None:
    try:
        same = source.signature() == before
    except UnreadableTable:
        same = False
    if not same:
        raise UnreadableTable(
            f"{source.path} was changed while it was being scored; no predictions were written",
            next_step="score it again once nobody writes to it, or score a copy",
        )


def _check_arguments(source: Path, output: Path, chunk_rows: int, max_bad_share: float) -> None:
    if chunk_rows < 1 or not 0 <= max_bad_share <= 1:
        raise UsageError(
            f"chunks of {chunk_rows} rows with a share of {max_bad_share} bad ones make no sense",
            next_step="give at least one row a chunk, and a share from 0 to 1",
        )
    if output.resolve() in (source.resolve(), *source.resolve().parents):
        raise UsageError(
            f"{output} would be written over the table that is read",
            next_step="give the output another name",
        )
    form_of(output)
    if not output.parent.is_dir():
        raise UsageError(f"there is no folder {output.parent}", next_step="make it first")


def _request_id(source: Source, version: str) -> str:
    """32 hex digits that say which bytes were scored by which version."""
    return hashlib.sha256(f"{source.digest()} {version}".encode()).hexdigest()[:32]
