"""What the control plane's process does between requests: events made safe, journals made small.

Workers write each event once before they answer, which a kill survives. A power cut is survived
by what is on the platter: every second the journals are synced from here, off the hot path.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import structlog

from shipway.durable import storing
from shipway.errors import ShipwayError
from shipway.monitoring.journal import journals
from shipway.monitoring.segments import compact

SYNC_EVERY_S = 1.0
COMPACT_EVERY_S = 600.0

_log = structlog.get_logger(__name__)


class Housekeeping:
    """A thread that syncs journals and turns ended ones into segments; a context manager."""

    def __init__(self, events: Path, time_columns: Mapping[str, str]) -> None:
        self._events = events
        self._time_columns = dict(time_columns)
        self._sizes: dict[Path, int] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def __enter__(self) -> Housekeeping:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        compact_at = time.monotonic()
        while not self._end.wait(SYNC_EVERY_S):
            try:
                self.sync()
                if time.monotonic() >= compact_at:
                    compact(self._events, time_columns=self._time_columns)
                    compact_at = time.monotonic() + COMPACT_EVERY_S
            except ShipwayError as error:
                _log.error("housekeeping failed", code=error.code, reason=error.message)

    def sync(self) -> None:
        """Put on disk what the journals have gained since the last call.

        Raises :class:`~shipway.errors.StoreError` when the disk says no.
        """
        live = journals(self._events)
        for path in live.values():
            with storing(path):
                try:
                    descriptor = os.open(path, os.O_RDONLY)
                except FileNotFoundError:
                    continue  # it has become a segment, which is synced when it is made
                try:
                    size = os.fstat(descriptor).st_size
                    if size != self._sizes.get(path):
                        os.fsync(descriptor)
                        self._sizes[path] = size
                finally:
                    os.close(descriptor)
        self._sizes = {path: size for path, size in self._sizes.items() if path in live.values()}
