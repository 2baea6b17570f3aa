"""Where a score goes: one file in the format of its name, or a folder of its parts."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import polars as pl
from polars.io.plugins import register_io_source

from shipway.batch.cells import safe_cells, safe_schema
from shipway.batch.parts import ROWS, Parts
from shipway.contract.formats import SUFFIXES, Format
from shipway.domain.digests import digest_of
from shipway.durable import SHARED, replace_file, store_error, storing, sync_folder
from shipway.errors import StoreError, UsageError

_ROW_GROUP_ROWS = 100_000
_NAME_DIGITS = 16
_PART = re.compile(rf"[0-9]{{5,}}-[0-9a-f]{{{_NAME_DIGITS}}}\.parquet")


class WrittenPart(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a folder of predictions, and its digest."""

    file: str
    rows: int
    digest: str


class OutputManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder of predictions holds, and what it was made from.

    It is written last: the folder is whole if each of ``parts`` is there with its digest. ``job``
    is the SHA-256 of the input's bytes, the version and the options that change an answer.
    """

    job: str
    version: str
    rows: int
    bad_rows: int
    parts: tuple[WrittenPart, ...]


def form_of(output: Path) -> Format | None:
    """The format that the name of *output* asks for; None for a folder, whose name has no ending.

    Raises :class:`~shipway.errors.UsageError` for any other ending, and for a folder that is there
    and holds anything but parts of a score, which would be lost.
    """
    suffix = output.suffix.lower()
    if output.is_dir():
        _check_ours(output)
        return None
    if not suffix:
        return None
    if suffix not in SUFFIXES:
        raise UsageError(
            f"{output.name} is by its name neither of {', '.join(Format)}, nor a folder",
            next_step=f"give a name that ends in {', '.join(SUFFIXES)}, or has no ending",
        )
    return SUFFIXES[suffix]


def _check_ours(folder: Path) -> None:
    """Refuse to put a folder of predictions in the place of one that holds anything else."""
    strange = sorted(path.name for path in folder.iterdir() if not _PART.fullmatch(path.name))
    if strange:
        raise UsageError(
            f"{folder} is there and holds what is no part of a score: {', '.join(strange[:5])}",
            next_step="name a folder that is not there yet, or a file in this one",
        )


def manifest_path(output: Path) -> Path:
    """Where the manifest of the folder *output* lies: beside it, so that it holds parquet alone."""
    return output.with_name(f"{output.name}.manifest.json")


@contextmanager
def assembled(parts: Parts, schema: pl.Schema, output: Path, *, excel_safe: bool) -> Iterator[None]:
    """The answers of *parts* in one file, which is *output* when the block ends well.

    polars pulls one frame at a time from the generator and holds a few row groups at most; an
    exception of ours comes through it as it is. The same parts give the same bytes.
    """
    form = form_of(output)
    safe = form is Format.CSV and excel_safe

    def frames(*_: object) -> Iterator[pl.DataFrame]:
        return (safe_cells(frame) if safe else frame for frame in parts.tables(ROWS))

    query = register_io_source(frames, schema=safe_schema(schema) if safe else schema)
    with replacing_whole(output, parts.folder / "output") as partial:
        try:
            _sink(query, partial, form)
        except OSError as error:
            raise store_error(output, error) from error
        except pl.exceptions.PolarsError as error:
            raise StoreError(
                f"{output} cannot be written: {str(error).strip().splitlines()[0]}",
                next_step="look at the disk and the folder, then try again",
            ) from error
        yield


def _sink(query: pl.LazyFrame, path: Path, form: Format | None) -> None:
    match form:
        case Format.CSV:
            query.sink_csv(path, check_extension=False)
        case Format.LINES:
            query.sink_ndjson(path, check_extension=False)
        case Format.ARROW:
            query.sink_ipc(path, compression="zstd", record_batch_size=_ROW_GROUP_ROWS)
        case _:
            query.sink_parquet(path, row_group_size=_ROW_GROUP_ROWS)


def write_folder(parts: Parts, job: str, version: str, output: Path, *, bad_rows: int) -> None:
    """Make *output* the folder of the answers of *parts*, as they are; the manifest comes last.

    Its files are named by the *job* and their place, so that the same job gives the same folder.
    """
    staged, before = parts.folder / "folder", parts.folder / "before"
    with storing(output):
        for rest in (staged, before):
            shutil.rmtree(rest, ignore_errors=True)
        staged.mkdir()
        written = tuple(_linked(parts, job, staged))
        sync_folder(staged)
        manifest_path(output).unlink(missing_ok=True)
        if output.exists():
            output.replace(before)
        staged.replace(output)
        sync_folder(output.parent)
        manifest = OutputManifest(
            job=job,
            version=version,
            rows=sum(part.rows for part in written),
            bad_rows=bad_rows,
            parts=written,
        )
        content = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
        replace_file(manifest_path(output), content, mode=SHARED)


def _linked(parts: Parts, job: str, folder: Path) -> Iterator[WrittenPart]:
    for number, path in enumerate(parts.paths(ROWS)):
        digits = digest_of(f"{job} {number}".encode()).rpartition(":")[2][:_NAME_DIGITS]
        name = f"{number:05d}-{digits}.parquet"
        (folder / name).hardlink_to(path)
        (folder / name).chmod(SHARED)
        content = path.read_bytes()
        yield WrittenPart(
            file=name,
            rows=int(pl.scan_parquet(path).select(pl.len()).collect().item()),
            digest=digest_of(content),
        )


@contextmanager
def replacing_whole(target: Path, partial: Path) -> Iterator[Path]:
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
