"""A process that makes ended journals small: ``python -P -m shipway.bootstrap.compacting``.

It is apart from the control plane so that it can be scheduled apart: it takes only the time that
the workers leave, until so much waits that the disk matters more. What it holds of a journal is
given back when it ends. A kill loses nothing: the next one goes on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from shipway.errors import ShipwayError, StoreError
from shipway.monitoring.journal import journals
from shipway.security.sealing import PLAIN, Encryption

_URGENT_BYTES = 1 << 30
_LOWEST = 19
_LONGEST_REPORT = 4096


class _Order(msgspec.Struct, frozen=True):
    """The folder of the events, the time column of each model that has one, and where keys are."""

    events: str
    time_columns: dict[str, str]
    encryption: Encryption = PLAIN


class Compacting:
    """The process at work on *events*; ask :meth:`ended` now and then, and close it at the end."""

    def __init__(
        self, events: Path, time_columns: Mapping[str, str], encryption: Encryption = PLAIN
    ) -> None:
        order = _Order(str(events.absolute()), dict(time_columns), encryption)
        self._events = events
        self._process = subprocess.Popen(
            (sys.executable, "-P", "-m", __name__, msgspec.json.encode(order).decode()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "POLARS_MAX_THREADS": "1"},
        )

    def ended(self) -> bool:
        """Whether it is done; raises :class:`~shipway.errors.StoreError` if it failed."""
        if self._process.poll() is None:
            return False
        output = self._process.stdout
        said = b"" if output is None else output.read()[-_LONGEST_REPORT:]
        self.close()
        if self._process.returncode:
            reason = said.decode(errors="replace").strip() or f"exit {self._process.returncode}"
            raise StoreError(
                f"the journals in {self._events} were not made smaller: {reason}",
                next_step="they are untouched; make room, or look at what it says",
            )
        return True

    def close(self) -> None:
        """End it, whatever it is at."""
        with suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def waiting_bytes(events: Path) -> int:
    """How large the journals in the folder *events* are together."""
    sizes = 0
    for path in journals(events).values():
        with suppress(FileNotFoundError):
            sizes += path.stat().st_size
    return sizes


def stand_back(*, urgent: bool) -> None:
    """Run when nobody else wants to; with *urgent*, only as what is least important.

    Niceness alone is not enough: a nice process still keeps one that has just woken up waiting
    for milliseconds, which is what a worker does between any two batches.
    """
    os.nice(_LOWEST)
    if not urgent and hasattr(os, "SCHED_IDLE"):
        with suppress(OSError):  # a sandbox may forbid it
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def main(arguments: Sequence[str]) -> int:
    """Do what the one argument says; on failure, say why on stdout and give 4."""
    order = msgspec.json.decode(arguments[0], type=_Order)
    stand_back(urgent=waiting_bytes(Path(order.events)) > _URGENT_BYTES)
    # What takes long to import must not be in anybody's way either.
    from shipway.monitoring.segments import compact  # noqa: PLC0415

    try:
        compact(
            Path(order.events),
            time_columns=order.time_columns,
            keyring=order.encryption.keyring(os.environ),
        )
    except ShipwayError as error:
        sys.stdout.write(f"{error.message}\n")
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
