"""All events of a store as one frame, reading on each call only what is new.

A monitor asks for window after window while requests keep coming. An :class:`EventReader`
remembers how far it has read each journal; when the journal has become a segment meanwhile, it
takes the rest from there. Nothing is read twice, and nothing that a compaction moves is missed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from shipway.errors import StoreError
from shipway.monitoring.journal import journal_opener, journals
from shipway.monitoring.rows import empty, together
from shipway.monitoring.segments import Segment, read_frames, read_segment, segments
from shipway.security.sealing import NO_KEYRING, Keyring

_ATTEMPTS = 20


@dataclass(slots=True)
class _Progress:
    """How far a journal was read: byte offset, rows, and whether its segment was read."""

    offset: int = 0
    rows: int = 0
    finished: bool = False
    damaged: int = 0


class EventReader:
    """Reads segments and live journals of *folder*; ``refresh`` takes in what is new.

    The first event of a prediction id is the prediction: a later one with the same id is a retry
    and is left out. Segments wholly outside of [since, until) of event time are never opened.
    *keyring* opens what is encrypted.
    """

    def __init__(
        self,
        folder: Path,
        *,
        time_columns: Mapping[str, str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        keyring: Keyring = NO_KEYRING,
    ) -> None:
        self._folder = folder
        self._time_columns = dict(time_columns or {})
        self._since, self._until = since, until
        self._keyring = keyring
        self._opener = journal_opener(keyring)
        self._progress: dict[str, _Progress] = {}
        self._frame = empty()

    @property
    def frame(self) -> pl.DataFrame:
        """Every prediction and refusal read so far; see ``rows`` for the columns."""
        return self._frame

    @property
    def damaged(self) -> int:
        """Whole frames that could not be read because they had changed on the disk."""
        return sum(progress.damaged for progress in self._progress.values())

    def refresh(self) -> pl.DataFrame:
        """Take in what was appended since the last call, and give the whole frame.

        Raises :class:`~shipway.errors.StoreError` when a segment cannot be read.
        """
        fresh: list[pl.DataFrame] = []
        for _ in range(_ATTEMPTS):
            try:
                self._take(fresh)
                break
            except FileNotFoundError:
                continue  # compaction moved a journal between the listing and the opening
        if fresh:
            self._frame = _once(self._frame, together(fresh))
        return self._frame

    def _take(self, fresh: list[pl.DataFrame]) -> None:
        # In this order: a journal that is gone before it is listed has its segment by then.
        live = journals(self._folder)
        compacted = segments(self._folder)
        for stem, path in live.items():
            if stem in compacted:
                continue
            progress = self._progress.setdefault(stem, _Progress())
            if path.stat().st_size == progress.offset:
                continue
            frames, end, damaged, _ = read_frames(
                path, self._time_columns, progress.offset, opener=self._opener
            )
            fresh += frames
            progress.offset = end
            progress.rows += sum(frame.height for frame in frames)
            progress.damaged += damaged
        for stem, segment in compacted.items():
            progress = self._progress.setdefault(stem, _Progress())
            if not progress.finished and segment.overlaps(self._since, self._until):
                fresh.append(_read_segment(segment, self._keyring).slice(progress.rows))
            progress.finished = True


def _read_segment(segment: Segment, keyring: Keyring) -> pl.DataFrame:
    try:
        return pl.read_parquet(read_segment(segment, keyring))
    except FileNotFoundError:
        raise
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StoreError(
            f"the segment {segment.path} cannot be read: {error}",
            next_step="restore the file from a backup, or move it away to go on without it",
        ) from error


def _once(known: pl.DataFrame, fresh: pl.DataFrame) -> pl.DataFrame:
    """*known* and *fresh* with one row a prediction id: the one that was received first."""
    key = "prediction_id"
    fresh = fresh.sort("received_at", maintain_order=True)
    if fresh[key].drop_nulls().is_duplicated().any():
        fresh = fresh.filter(pl.col(key).is_null() | pl.col(key).is_first_distinct())
    repeated = known.select(key).join(fresh.select(key), on=key, how="semi").height
    both = together([known, fresh]) if known.height else fresh
    if repeated:
        both = both.sort("received_at", maintain_order=True)
        both = both.filter(pl.col(key).is_null() | pl.col(key).is_first_distinct())
    return both
