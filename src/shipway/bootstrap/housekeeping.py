"""What the control plane's process does between requests: events made safe, journals made small.

Workers write each event once before they answer, which a kill survives. A power cut is survived
by what is on the platter: every second the journals are synced from here, off the hot path.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

from shipway.bootstrap.compacting import Compacting
from shipway.durable import storing
from shipway.errors import ShipwayError
from shipway.monitoring.journal import journals
from shipway.monitoring.segments import awaiting
from shipway.security.sealing import PLAIN, Encryption

SYNC_EVERY_S = 1.0
COMPACT_EVERY_S = 600.0

_log = logging.getLogger(__name__)


class Housekeeping:
    """A thread that syncs journals and has ended ones turned into segments; a context manager.

    *time_columns* is asked before each compaction: a version that went live meanwhile may have
    another one, and the event times in a segment are there for good.
    """

    def __init__(
        self,
        events: Path,
        time_columns: Callable[[], Mapping[str, str]],
        *,
        encryption: Encryption = PLAIN,
        sync_every_s: float = SYNC_EVERY_S,
        compact_every_s: float = COMPACT_EVERY_S,
    ) -> None:
        self._events = events
        self._time_columns = time_columns
        self._encryption = encryption
        self._sync_every_s, self._compact_every_s = sync_every_s, compact_every_s
        self._sizes: dict[Path, int] = {}
        self._compacting: Compacting | None = None
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
        if self._compacting is not None:
            self._compacting.close()

    def _run(self) -> None:
        compact_at = time.monotonic()
        while not self._end.wait(self._sync_every_s):
            try:
                self.sync()
                if self._compacts():
                    continue
                if time.monotonic() >= compact_at:
                    compact_at = time.monotonic() + self._compact_every_s
                    if awaiting(self._events):
                        self._compacting = Compacting(
                            self._events, self._time_columns(), self._encryption
                        )
            except ShipwayError as error:
                _log.error("housekeeping failed: %s", error.message, extra={"code": error.code})
            except Exception:  # an outermost loop: without it nothing would be synced any more
                _log.exception("housekeeping failed")

    def _compacts(self) -> bool:
        """Whether a compaction is under way; raises StoreError if it has just failed."""
        compacting, self._compacting = self._compacting, None
        if compacting is None or compacting.ended():
            return False
        self._compacting = compacting
        return True

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
