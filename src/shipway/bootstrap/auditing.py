"""What a server tells its audit log besides the changes: refusals, labels, its start, in bounds.

A stranger can make as many refusals as he likes, so they are not a line each. In each stretch of
time the first of a kind is told at once and the others in one sum; beyond so many kinds there is
one sum for all. What the workers refuse they only count; here the sums are told.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, NamedTuple

from shipway.bootstrap.processes import ProcessPlan
from shipway.domain.times import Clock, system_clock
from shipway.errors import AccessError, ShipwayError, StoreError, StoreUnavailable
from shipway.registry.trail import AuditTrail, Trail
from shipway.security.acting import Actor, actor_now
from shipway.security.audit import Entry, Outcome
from shipway.serving.counters import read_counters
from shipway.serving.gatekeeper import UNKNOWN
from shipway.serving.metrics import METRICS_FOLDER

SUM_EVERY_S = 300.0
_EXPIRE_EVERY_S = 86_400.0
_KINDS_OF_STRANGERS, _KINDS_OF_CALLERS = 10, 200
_REFUSED = {"shipway_http_refused_total": "http", "shipway_grpc_refused_total": "grpc"}
_ACCESS = AccessError.code.partition(".")[0]
_log = logging.getLogger(__name__)


class _Kind(NamedTuple):
    """What is told in one sum: the same thing, done by the same from the same place."""

    what: str
    outcome: Outcome
    code: str
    who: str
    key: str
    source: str

    @property
    def is_stranger(self) -> bool:
        """Whether nobody knows who it is."""
        return self.who == UNKNOWN.id

    def blurred(self) -> _Kind:
        """The kind of all for which there is no room."""
        who = self.who if self.is_stranger else "others"
        return _Kind(self.what, self.outcome, "", who, "", "")


class Tally:
    """Tells *trail* of things that may happen often, in lines whose number is bounded."""

    def __init__(self, trail: AuditTrail) -> None:
        self._trail = trail
        self._lock = threading.Lock()
        self._sums: dict[_Kind, int] = {}

    def refused(self, entry: Entry, actor: Actor) -> None:
        """See :class:`~shipway.serving.gatekeeper.Refusals`."""
        try:
            self.add(entry, actor)
        except StoreError as error:
            _log.error("a refusal could not be told: %s", error.message)

    def add(self, entry: Entry, actor: Actor | None = None) -> None:
        """Tell *entry* now if it is the first of its kind, else count it for the next sum.

        Raises :class:`~shipway.errors.StoreError` when it cannot be told now.
        """
        actor = actor or actor_now()
        with self._lock:
            kind = _Kind(entry.what, entry.outcome, entry.code, actor.id, actor.key, actor.source)
            first = kind not in self._sums and self._has_room(kind)
            if first:
                self._sums[kind] = 0
            else:
                kind = kind if kind in self._sums else kind.blurred()
                self._sums[kind] = self._sums.get(kind, 0) + entry.count
        if first:
            self._record(kind, entry, actor)

    def _record(self, kind: _Kind, entry: Entry, actor: Actor) -> None:
        """Tell *entry*; while a store elsewhere is away, count it for the next sum."""
        try:
            self._trail.record(entry, actor)
        except StoreUnavailable as error:
            _log.warning("the audit log waits for the store: %s", error.message)
            with self._lock:
                self._sums[kind] = self._sums.get(kind, 0) + entry.count

    def _has_room(self, kind: _Kind) -> bool:
        """Whether *kind* may have a line of its own; strangers take no caller's room."""
        like = sum(known.is_stranger == kind.is_stranger for known in self._sums)
        return like < (_KINDS_OF_STRANGERS if kind.is_stranger else _KINDS_OF_CALLERS)

    def flush(self) -> None:
        """Tell the sums, and begin anew; raises StoreError, and what was not told is lost."""
        with self._lock:
            sums, self._sums = self._sums, {}
        for kind, count in sums.items():
            if count:
                entry = Entry(what=kind.what, outcome=kind.outcome, code=kind.code, count=count)
                actor = Actor(id=kind.who, key=kind.key, source=kind.source)
                self._record(kind, entry, actor)


class Auditing:
    """A thread that tells sums and lets old lines go; a context manager around the server's work.

    *run* is where the workers count. A server's start and end are told with *plan*'s settings.
    """

    def __init__(
        self,
        trail: AuditTrail,
        plan: ProcessPlan,
        *,
        clock: Clock = system_clock,
        elapsed: Callable[[], float] = monotonic,
        every_s: float = SUM_EVERY_S,
    ) -> None:
        self.tally = Tally(trail)
        self._trail, self._plan = trail, plan
        self._clock, self._elapsed, self._every_s = clock, elapsed, every_s
        self._counted = refused_by_workers(plan.run)
        self._expire_at = elapsed()
        self._told_start = False
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="auditing", daemon=True)

    def __enter__(self) -> Auditing:
        try:
            self._tell_start()
        except StoreUnavailable as error:
            _log.warning("the audit log waits for the store: %s", error.message)
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
        with suppress(StoreError):
            self.tell()
            self._trail.record(Entry(what="server.stop", object=self._plan.model))

    def _tell_start(self) -> None:
        if not self._told_start:
            detail = settings_told(self._plan)
            self._trail.record(Entry(what="server.start", object=self._plan.model, detail=detail))
            self._told_start = True

    def tell(self) -> None:
        """Tell every sum there is; raises StoreError."""
        self._tell_start()
        self.tally.flush()
        counted = refused_by_workers(self._plan.run)
        for (protocol, code), count in counted.items():
            more = count - self._counted.get((protocol, code), 0)
            if more > 0:
                entry = Entry(
                    what="predictions.refused",
                    object=protocol,
                    outcome=Outcome.REFUSED,
                    code=code,
                    count=more,
                )
                self._trail.record(entry, UNKNOWN)
        self._counted = counted

    def expire(self) -> None:
        """Let go of the lines that are old enough; raises StoreError."""
        if isinstance(self._trail, Trail):
            self._trail.expire(self._clock() - timedelta(days=self._plan.audit_days))

    def _run(self) -> None:
        while True:
            try:
                if self._elapsed() >= self._expire_at:
                    self._expire_at = self._elapsed() + _EXPIRE_EVERY_S
                    self.expire()
                if self._end.wait(self._every_s):
                    return
                self.tell()
            except ShipwayError as error:
                _log.error("the audit log: %s", error.message, extra={"code": error.code})
            except Exception:  # an outermost loop: without it no sum would be told any more
                _log.exception("the audit log failed")


def refused_by_workers(run: Path) -> dict[tuple[str, str], int]:
    """How many requests the workers have turned away, by protocol and by code of access."""
    counted: dict[tuple[str, str], int] = {}
    for series in read_counters(run / METRICS_FOLDER):
        protocol = _REFUSED.get(series.family.name)
        if protocol is not None and series.labels[0].startswith(f"{_ACCESS}."):
            key = (protocol, series.labels[0])
            counted[key] = counted.get(key, 0) + int(series.cells[0])
    return counted


def settings_told(plan: ProcessPlan) -> dict[str, Any]:
    """The settings of *plan* that are not the defaults; of grants only how many there are."""
    told: dict[str, Any] = {"two_person": plan.two_person}
    for section, settings in (("serve", plan.serve), ("auth", plan.auth)):
        defaults = type(settings)()
        for name in settings.__struct_fields__:
            value = getattr(settings, name)
            if value == getattr(defaults, name):
                continue
            listed = section == "auth" and isinstance(value, tuple)
            told[f"{section}.{name}"] = len(value) if listed else value
    return told
