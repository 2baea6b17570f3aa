"""Trying out versions before they may answer: each in a process of its own, each only once.

How a trial went is kept under ``run/trials``, by the version's digest and the libraries that it
ran with, so that several workers and a rollback need no second one. Whoever holds the lock beside
the record runs the trial; the others wait for the record.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from shipway.bootstrap.descriptors import available, pipe, readable
from shipway.bootstrap.trial import TrialOrder, TrialReport
from shipway.domain.digests import digest_of
from shipway.durable import private_folder, replace_file
from shipway.errors import ModelError, PredictionFailed, ShipwayError, TrialFailed
from shipway.inference.predictor import Pace
from shipway.registry.records import Version
from shipway.registry.registry import Registry
from shipway.runtimes.confinement import Confined, clean_environment, start
from shipway.runtimes.port import ProcessLimits
from shipway.runtimes.versions import installed
from shipway.security.trust import DEFAULT_TRUST, TrustPolicy

_POLL_S = 0.01
_TIMES_SLOWER = 10.0
_HARMLESS_S = 0.05
_FAILURE_COUNTS_FOR_S = 30.0
_LARGEST_REPORT = 1 << 20
_KEPT_OUTPUT = 2_000
_KEPT_VARIABLES = ("HOME", "PYTHONPATH", "TMPDIR", "ORT_DISABLE_TELEMETRY")
_ALWAYS_THERE = ("shipway", "numpy", "onnxruntime")


class _Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A trial that ended, and when (seconds of the clock on the wall)."""

    at: float
    report: TrialReport


@dataclass(frozen=True, slots=True)
class Trials:
    """The trials of the versions in the cache of *home*, with the variables of *environ*."""

    home: Path
    limits: ProcessLimits
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    trust: TrustPolicy = DEFAULT_TRUST
    opened_in: str = ""

    def begin(
        self, version: Version, *, against: Version | None = None, anew: bool = False
    ) -> VersionTrial:
        """Begin to try out *version*; its pace must bear comparison with that of *against*.

        A trial that was passed is not repeated; *anew* says that one that failed is.
        """
        return VersionTrial(
            self,
            version,
            TrialRecord(self._path(version)),
            live=None if against is None else self.pace_of(against),
            believe_failures=not anew,
        )

    def run(self, registry: Registry, version: Version, *, against: Version | None = None) -> None:
        """Verify and try out *version* and wait for the end; raises if it does not get through."""
        registry.open_files(version)
        trial = self.begin(version, against=against, anew=True)
        try:
            while not trial.poll():
                time.sleep(_POLL_S)
        finally:
            trial.abandon()

    def remember(self, version: Version, pace: Pace) -> None:
        """Keep that *version* was loaded without a trial, where nobody was served, and is good."""
        record = TrialRecord(self._path(version))
        known = record.read()
        if known is None or known.report.pace is None:
            record.keep(TrialReport(pace=pace))

    def pace_of(self, version: Version) -> Pace | None:
        """The pace of *version* in its trial, if that is known."""
        known = TrialRecord(self._path(version)).read()
        return None if known is None else known.report.pace

    def _path(self, version: Version) -> Path:
        libraries = installed((*_ALWAYS_THERE, *_names(version.manifest.spec.library)))
        key = msgspec.json.encode([version.digest, sys.version, sorted(libraries.items())])
        return self.home / "run" / "trials" / digest_of(key).removeprefix("sha256:")


@dataclass(slots=True)
class TrialRecord:
    """What is known of a trial at *path*, and the lock of whoever is about to know more."""

    path: Path
    _lock: int | None = None

    def read(self) -> _Ended | None:
        """The trial that ended, if one did."""
        try:
            content = self.path.with_suffix(".json").read_bytes()
            return msgspec.json.decode(content, type=_Ended)
        except (OSError, msgspec.DecodeError):
            return None

    def keep(self, report: TrialReport) -> None:
        """Keep *report*; where nothing can be written, the next trial is made anew."""
        with suppress(OSError):
            private_folder(self.path.parent)
            ended = _Ended(at=time.time(), report=report)
            replace_file(self.path.with_suffix(".json"), msgspec.json.encode(ended))

    def lock(self) -> bool:
        """Whether the trial is this one's to make; without a place for a lock it is everybody's."""
        try:
            if self._lock is None:
                private_folder(self.path.parent)
                flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
                self._lock = os.open(self.path.with_suffix(".lock"), flags, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def unlock(self) -> None:
        """Let others make the trial."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


class VersionTrial:
    """One trial: made by :meth:`Trials.begin`, asked by :meth:`poll` until it has ended."""

    def __init__(
        self,
        trials: Trials,
        version: Version,
        record: TrialRecord,
        *,
        live: Pace | None,
        believe_failures: bool,
    ) -> None:
        self._trials = trials
        self._version = version
        self._record = record
        self._live = live
        self._since = time.time() - (_FAILURE_COUNTS_FOR_S if believe_failures else 0.0)
        self._process: _Process | None = None

    def poll(self) -> bool:
        """Whether the version got through; raises the ShipwayError that says why it did not."""
        report = self._report()
        if report is None:
            return False
        self.abandon()
        if report.pace is None:
            raise _error_of(report)
        _check_pace(self._version, report.pace, self._live)
        return True

    def abandon(self) -> None:
        """End the process if there is one, and let go of the lock."""
        if self._process is not None:
            self._process.end()
            self._process = None
        self._record.unlock()

    def _report(self) -> TrialReport | None:
        if self._process is None:
            if (known := self._known()) is not None:
                return known
            if not self._record.lock():
                return None
            if (known := self._known()) is not None:  # made by who held the lock until now
                return known
            self._process = _Process(self._trials, self._version)
        report = self._process.poll()
        if report is not None and (report.pace is not None or _is_the_models(report)):
            self._record.keep(report)
        return report

    def _known(self) -> TrialReport | None:
        ended = self._record.read()
        if ended is None or (ended.report.pace is None and ended.at < self._since):
            return None
        return ended.report


class _Process:
    """The process of one trial, what it reported and the end of what it printed."""

    def __init__(self, trials: Trials, version: Version) -> None:
        self._version = version
        self._limits = trials.limits
        self._until = time.monotonic() + trials.limits.load_timeout_s
        order = TrialOrder(
            home=str(trials.home.absolute()),
            version=version,
            limits=trials.limits,
            trust=trials.trust,
            opened_in=trials.opened_in,
        )
        environ = trials.environ
        kept = {name: environ[name] for name in _KEPT_VARIABLES if name in environ}
        with (
            readable(msgspec.json.encode(order)) as ordered,
            pipe() as (reported, report_to),
            pipe() as (printed, output),
        ):
            command = (sys.executable, "-P", "-m", "shipway.bootstrap.trial")
            self._confined: Confined = start(
                [*command, str(ordered), str(report_to)],
                environment=clean_environment(environ, **kept),
                pass_fds=(ordered, report_to),
                output=output,
            )
            self._reported, self._printed = os.dup(reported), os.dup(printed)
        for descriptor in (self._reported, self._printed):
            os.set_blocking(descriptor, False)
        self._report = b""
        self._output = b""

    def poll(self) -> TrialReport | None:
        """The report, or None while the process is at work."""
        ended = self._confined.process.poll() is not None
        self._read()
        if not ended and time.monotonic() < self._until:
            return None
        self._confined.end()
        self._read()
        try:
            return msgspec.json.decode(self._report, type=TrialReport)
        except msgspec.DecodeError:
            return TrialReport.of_error(self._failure(late=not ended))

    def end(self) -> None:
        """Kill it if it is at work, and close what belongs to it."""
        self._confined.end()
        for descriptor in (self._reported, self._printed):
            os.close(descriptor)

    def _read(self) -> None:
        self._report += b"".join(available(self._reported, _LARGEST_REPORT))
        for part in available(self._printed, _LARGEST_REPORT):
            self._output = (self._output + part)[-_KEPT_OUTPUT:]

    def _failure(self, *, late: bool) -> TrialFailed:
        ref, most_s = self._version.ref, self._limits.load_timeout_s
        lines = self._output.decode(errors="replace").strip().splitlines()
        said = f"; it last said: {lines[-1][:300]}" if lines else ""
        if late:
            return TrialFailed(
                f"{ref} was not loaded and warmed up within {most_s:g} s{said}",
                next_step="raise serve.load_timeout_s if it needs that long, or mend the model",
            )
        return TrialFailed(
            f"{ref} did not get through its trial: {self._confined.ending()}{said}",
            next_step="load it where it was trained and pack it again; if memory was short, raise"
            " serve.model_memory_bytes",
        )


def opponent(
    registry: Registry, endpoint: str, version: Version, *, before: int | None = None
) -> Version | None:
    """The live version of *endpoint* that the pace of *version* is held against, or None.

    None as well for one that was live there *before* that change of the endpoint (any by
    default): the way back is never refused for its pace.
    """
    changes = [one for one in registry.history(endpoint) if before is None or one.sequence < before]
    if not changes or any(one.live == version.number for one in changes):
        return None
    return registry.version(changes[-1].model, changes[-1].live)


def _check_pace(version: Version, pace: Pace, live: Pace | None) -> None:
    """Raise TrialFailed for a version ten times slower than what is live, and slow as such.

    Slow as such is a row that takes longer than the version's own objective for the latency
    allows, or than 50 ms where there is none.
    """
    if live is None or not live.one_row_s or pace.one_row_s < _TIMES_SLOWER * live.one_row_s:
        return
    allowed = [
        objective.at_most / 1000
        for objective in version.manifest.objectives.objectives
        if objective.metric.startswith("latency_") and objective.at_most is not None
    ]
    most_s = min(allowed, default=_HARMLESS_S)
    if pace.one_row_s > most_s:
        raise TrialFailed(
            f"{version.ref} takes {pace.one_row_s * 1000:.3g} ms for a row, over"
            f" {most_s * 1000:g} ms and {pace.one_row_s / live.one_row_s:.0f} times as long as"
            " what is live",
            next_step="make it faster, or say with an objective for latency_p99_ms that it may"
            " take that long, and pack it again",
        )


def _error_of(report: TrialReport) -> ShipwayError:
    """The error that was reported, of its own class."""
    kinds = {kind.code: kind for kind in _descendants(ShipwayError)}
    kind = kinds.get(report.code, PredictionFailed)
    return kind(report.message, next_step=report.next_step, problems=report.problems)


def _is_the_models(report: TrialReport) -> bool:
    """Whether the version itself is at fault; a full disk or a missing package may be mended."""
    return isinstance(_error_of(report), ModelError)


def _descendants(kind: type[ShipwayError]) -> Iterator[type[ShipwayError]]:
    for below in kind.__subclasses__():
        yield below
        yield from _descendants(below)


def _names(libraries: Iterable[str]) -> Iterator[str]:
    """Distributions without what they are asked to bring along: ``uvicorn[standard]``."""
    return (name.partition("[")[0] for name in libraries)
