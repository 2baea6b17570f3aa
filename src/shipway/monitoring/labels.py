"""The truth about predictions, as it comes in: an append-only log that survives a power cut.

A label that was acknowledged is on the disk (``fsync``), because nobody will send it again. The
newest label of a prediction, by the time it was observed, is the one that counts; earlier ones
are kept as history. Several processes may append: each takes the lock of the folder for a moment.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import msgspec
import polars as pl

from shipway.domain.events import Label
from shipway.durable import made_folder, store_error, sync_folder
from shipway.errors import DataError, Problem
from shipway.monitoring.framing import frame, scan
from shipway.monitoring.rows import series, together
from shipway.monitoring.sealed import FrameOpener, FrameSealer
from shipway.security.sealing import NO_KEYRING, Keyring, Sealer

SUFFIX = ".labels"
KIND = "labels"
DEFAULT_MAX_BYTES = 64 << 20
_LONGEST_ID = 512
_NS_OF_2200 = 7_258_118_400_000_000_000


class LabelLog:
    """Appends labels to the files of *folder*. Safe to share between threads and processes.

    With a *sealer* only its recipients can read them.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int = DEFAULT_MAX_BYTES,
        sealer: Sealer | None = None,
    ) -> None:
        self._folder = made_folder(folder)
        self._sealer = sealer
        self._frames: FrameSealer | None = None
        self._max_bytes = max_bytes
        self._path, self._end = self._folder, 0

    def append(self, labels: Sequence[Label]) -> None:
        """Keep *labels*; they survive a power cut once this returns.

        Raises :class:`~shipway.errors.DataError` naming every label that is not one, and
        :class:`~shipway.errors.StoreError` when the disk refuses; then none of them is kept.
        """
        _check(labels)
        if not labels:
            return
        payload = msgspec.msgpack.encode(list(labels))
        path = self._folder
        try:
            with appending(self._folder):
                path, end = self._place(len(payload))
                data, frames = self._framed(payload, path, end)
                fresh = not path.exists()
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o640)
                try:
                    _write(descriptor, data, end)
                finally:
                    os.close(descriptor)
                if fresh:
                    sync_folder(self._folder)
                self._path, self._end, self._frames = path, end + len(data), frames
                if frames is not None:
                    frames.kept()
        except OSError as error:
            raise store_error(path, error) from error

    def _framed(self, payload: bytes, path: Path, end: int) -> tuple[bytes, FrameSealer | None]:
        """*payload* as it goes to byte *end* of *path*, and what encrypted it.

        A key goes before it unless what is there ends with what this log wrote last.
        """
        if self._sealer is None:
            return frame(payload), None
        frames = self._frames
        if frames is not None and (path, end) == (self._path, self._end):
            return frame(frames.seal(payload)), frames
        frames = FrameSealer(self._sealer, KIND, path.stem)
        return frames.key_frame + frame(frames.seal(payload)), frames

    def _place(self, size: int) -> tuple[Path, int]:
        """The file to append to and the offset after its last whole frame; a torn tail is cut."""
        paths = label_files(self._folder)
        if not paths:
            return self._folder / f"{1:08d}{SUFFIX}", 0
        path = paths[-1]
        known = self._end if path == self._path else 0
        with path.open("rb") as file:
            file.seek(known)
            end = known + scan(file.read()).end
        if end and end + size > self._max_bytes:
            return self._folder / f"{int(path.stem) + 1:08d}{SUFFIX}", 0
        return path, end


@contextmanager
def appending(folder: Path) -> Iterator[None]:
    """Hold the lock of the log in *folder*: nobody else appends meanwhile."""
    descriptor = os.open(folder / "append.lock", os.O_RDWR | os.O_CREAT, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class LabelReader:
    """Reads the labels of *folder*; ``refresh`` takes in what is new since the last call.

    *keyring* opens what is encrypted. Frames have the columns ``prediction_id`` (String),
    ``truth`` (as the target is) and ``observed_at`` (Datetime[us, UTC]).
    """

    def __init__(self, folder: Path, keyring: Keyring = NO_KEYRING) -> None:
        self._folder = folder
        self._opener = FrameOpener(KIND, keyring)
        self._offsets: dict[Path, int] = {}
        self._all: pl.DataFrame = _table([])
        self._newest: pl.DataFrame = self._all
        self.damaged = 0

    def refresh(self) -> pl.DataFrame:
        """Take in what was appended, and give the newest label of each prediction id.

        Newest is by ``observed_at``; of two observed at once the one appended later counts.
        """
        fresh: list[Label] = []
        decoder = msgspec.msgpack.Decoder(list[Label])
        for path in label_files(self._folder):
            start = self._offsets.get(path, 0)
            with path.open("rb") as file:
                file.seek(start)
                found = scan(file.read())
            payloads, altered = self._opener.open(path.stem, found, start)
            self._offsets[path] = start + found.end
            self.damaged += found.damaged + altered
            for payload in payloads:
                fresh += decoder.decode(payload)
        if fresh:
            table = _table(fresh)
            self._all = together([self._all, table])
            self._newest = _newest(together([self._newest, table]))
        return self._newest

    @property
    def newest(self) -> pl.DataFrame:
        """The newest label of each prediction id read so far."""
        return self._newest

    def as_of(self, moment: datetime) -> pl.DataFrame:
        """The newest label of each prediction id among those observed by *moment*."""
        return _newest(self._all.filter(pl.col("observed_at") <= moment))

    def history(self, prediction_id: str) -> pl.DataFrame:
        """Every label that *prediction_id* has had, in order of observation."""
        found = self._all.filter(pl.col("prediction_id") == prediction_id)
        return found.sort("observed_at", maintain_order=True)


def label_files(folder: Path) -> list[Path]:
    """The files of the log, oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def _newest(table: pl.DataFrame) -> pl.DataFrame:
    ordered = table.sort("observed_at", maintain_order=True)
    return ordered.filter(pl.col("prediction_id").is_last_distinct())


def _table(labels: Sequence[Label]) -> pl.DataFrame:
    observed = pl.Series([label.observed_at_ns // 1000 for label in labels], dtype=pl.Int64)
    return pl.DataFrame(
        [
            pl.Series("prediction_id", [label.prediction_id for label in labels], dtype=pl.String),
            series("truth", [label.value for label in labels]),
            observed.cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias("observed_at"),
        ]
    )


def _write(descriptor: int, data: bytes, end: int) -> None:
    """Put *data* at *end* and sync it; when that fails the file ends at *end* again."""
    try:
        os.ftruncate(descriptor, end)
        os.lseek(descriptor, end, os.SEEK_SET)
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    except OSError:
        with suppress(OSError):
            os.ftruncate(descriptor, end)
        raise


def _check(labels: Sequence[Label]) -> None:
    """Raise one error that names everything that is wrong with *labels*."""
    problems: list[Problem] = []
    for place, label in enumerate(labels):
        where = f"label {place}"
        if not 0 < len(label.prediction_id) <= _LONGEST_ID:
            what = f"a prediction id has 1 to {_LONGEST_ID} characters"
            problems.append(Problem("label.prediction-id", what, where))
        if label.value is None or label.value != label.value:
            what = "a label needs a value; a prediction without one is simply not labelled yet"
            problems.append(Problem("label.value", what, where))
        if not 0 <= label.observed_at_ns < _NS_OF_2200:
            what = f"{label.observed_at_ns} is not a time in nanoseconds since 1970"
            problems.append(Problem("label.observed-at", what, where))
    if problems:
        raise DataError(
            f"{len(problems)} faults in {len(labels)} labels; none was kept",
            next_step="mend the labels named and send all of them again",
            problems=problems,
        )
