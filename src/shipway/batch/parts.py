"""The finished parts of a job beside its output, so that a run that was cut off goes on.

``.<output>.parts`` holds, for each chunk of the input, what was made of it: ``<number>.rows``
(answers), ``<number>.bad`` (rows set aside), ``<number>.seen`` (what monitoring is to see), and
``<number>.json`` with their digests, written last. A part counts only if all of them are what it
says. Parts of another job, by what goes into its key, are thrown away.
"""

from __future__ import annotations

import fcntl
import io
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import polars as pl

from shipway.domain.digests import digest_of
from shipway.durable import private_folder, replace_file, storing, sync_folder
from shipway.errors import ConflictError, Problem

ROWS, BAD, SEEN = "rows", "bad", "seen"
_ATTEMPTS = 20


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What was made of one chunk: ``files`` are its tables by kind, with their digests.

    ``expected`` of its bad rows broke rules of quarantine alone. ``source`` counts the input's
    files from 0, and says of which one it is. ``problems`` are the first faults of its bad rows,
    and ``warnings`` counts soft ones by code.
    """

    rows: int
    bad_rows: int
    expected: int
    warnings: dict[str, int]
    problems: tuple[Problem, ...]
    files: dict[str, str]
    source: int = 0


class _Begun(msgspec.Struct, frozen=True, kw_only=True):
    """Which job the parts are of, and when (nanoseconds since 1970) it was first begun."""

    key: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts in *folder* of the one job that holds its lock; see :func:`parts_of`."""

    folder: Path
    begun_at_ns: int

    def known(self, number: int) -> Part | None:
        """Part *number* if it is there and whole."""
        try:
            part = msgspec.json.decode(self._path(number, "json").read_bytes(), type=Part)
            whole = all(
                digest_of(self._path(number, kind).read_bytes()) == digest
                for kind, digest in part.files.items()
            )
        except (OSError, msgspec.DecodeError):
            return None
        return part if whole else None

    def keep(
        self,
        number: int,
        tables: Mapping[str, pl.DataFrame],
        *,
        rows: int,
        bad_rows: int,
        expected: int,
        warnings: dict[str, int],
        problems: tuple[Problem, ...],
        source: int,
    ) -> Part:
        """Keep *tables*, by kind, as part *number*; it survives a power cut once this returns.

        Raises :class:`~shipway.errors.StoreError` when there is no room.
        """
        files = {}
        with storing(self.folder):
            for kind, table in tables.items():
                content = io.BytesIO()
                table.write_parquet(content, compression="lz4")
                replace_file(self._path(number, kind), content.getvalue())
                files[kind] = digest_of(content.getvalue())
            part = Part(
                rows=rows,
                bad_rows=bad_rows,
                expected=expected,
                warnings=warnings,
                problems=problems,
                files=files,
                source=source,
            )
            replace_file(self._path(number, "json"), msgspec.json.encode(part))
        return part

    def tables(self, kind: str) -> Iterator[pl.DataFrame]:
        """The tables of *kind*, in the order of the parts."""
        return map(pl.read_parquet, self.paths(kind))

    def columns(self, kind: str) -> list[str]:
        """The names that any table of *kind* has, in the order in which they turn up."""
        schemas = map(pl.read_parquet_schema, self.paths(kind))
        return list(dict.fromkeys(name for schema in schemas for name in schema))

    def paths(self, kind: str) -> list[Path]:
        """The files of *kind*, in the order of the parts."""
        return sorted(self.folder.glob(f"*.{kind}"))

    def discard(self) -> None:
        """Throw them away: the job is done, or never will be."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, number: int, kind: str) -> Path:
        return self.folder / f"{number:08d}.{kind}"


def folder_of_parts(output: Path) -> Path:
    """Where the parts of *output* lie until it is there."""
    return output.with_name(f".{output.name}.parts")


@contextmanager
def parts_of(output: Path, key: str, *, now_ns: int) -> Iterator[Parts]:
    """The parts of the job *key* that makes *output*, for this run alone.

    Raises :class:`~shipway.errors.ConflictError` while another run makes the same output, and
    :class:`~shipway.errors.StoreError` where nothing can be written.
    """
    folder = folder_of_parts(output)
    lock = _lock(folder, output)
    try:
        with storing(folder):
            begun = _begun(folder)
            if begun is None or begun.key != key:
                _clear(folder)
                begun = _Begun(key=key, at_ns=now_ns)
                replace_file(folder / "job.json", msgspec.json.encode(begun))
        yield Parts(folder, begun.at_ns)
    finally:
        os.close(lock)


def _lock(folder: Path, output: Path) -> int:
    """Take the lock of *folder*, which whoever had it before may just have removed."""
    for _ in range(_ATTEMPTS):
        with storing(folder):
            private_folder(folder)
            path = folder / "lock"
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            except FileNotFoundError:
                continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as busy:
            process = os.pread(descriptor, 20, 0).decode(errors="replace") or "unknown"
            os.close(descriptor)
            raise ConflictError(
                f"{output} is being made by another run (process {process})",
                next_step="wait until it has ended, or name another output",
            ) from busy
        with suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                os.pwrite(descriptor, str(os.getpid()).encode(), 0)
                return descriptor
        os.close(descriptor)
    raise ConflictError(
        f"{output} is being made by other runs, one after the other",
        next_step="wait until they have ended, or name another output",
    )


def _begun(folder: Path) -> _Begun | None:
    try:
        return msgspec.json.decode((folder / "job.json").read_bytes(), type=_Begun)
    except (OSError, msgspec.DecodeError):
        return None


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "lock":
            path.unlink(missing_ok=True)
    sync_folder(folder)
