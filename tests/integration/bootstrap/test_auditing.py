"""What may happen often is told in lines whose number is bounded, and nothing is lost of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.serving_rig import make_key

from shipway.bootstrap.auditing import Auditing, Tally, settings_told
from shipway.bootstrap.processes import ProcessPlan
from shipway.config.auth import AuthSettings
from shipway.config.settings import ServeSettings
from shipway.errors import StoreError, StoreUnavailable
from shipway.security.acting import Actor
from shipway.security.audit import Entry, Outcome
from shipway.security.policy import Scope
from shipway.serving.counters import CounterFile
from shipway.serving.gatekeeper import UNKNOWN
from shipway.serving.metrics import METRICS_FOLDER


class Kept:
    """A log in memory."""

    def __init__(self) -> None:
        self.lines: list[tuple[Entry, Actor | None]] = []

    def record(self, entry: Entry, actor: Actor | None = None) -> None:
        self.lines.append((entry, actor))

    def flush(self) -> None:
        """There is nothing noted."""


def bad_key(number: int, code: str = "access.not-authenticated") -> tuple[Entry, Actor]:
    entry = Entry(what="request", object=f"GET /{number}", outcome=Outcome.REFUSED, code=code)
    return entry, Actor(id="unknown", source=f"10.0.0.{number % 250}", request=str(number))


def test_a_flood_of_bad_keys(tmp_path: Path) -> None:
    """A hundred thousand strangers make a handful of lines, which count every one of them."""
    log = Kept()
    tally = Tally(log)
    for number in range(100_000):
        tally.refused(*bad_key(number))
    assert len(log.lines) == 10
    tally.flush()
    assert len(log.lines) <= 22
    assert sum(entry.count for entry, _ in log.lines) == 100_000
    assert {entry.outcome for entry, _ in log.lines} == {Outcome.REFUSED}
    tally.refused(*bad_key(1))
    assert log.lines[-1][0].object == "GET /1", "the next stretch of time begins anew"


def test_a_flood_hides_no_caller(tmp_path: Path) -> None:
    """A caller who is denied something has a line with what it was, whatever strangers do."""
    log = Kept()
    tally = Tally(log)
    for number in range(1_000):
        tally.refused(*bad_key(number))
    entry = Entry(what="endpoints.promote", object="POST /p", outcome=Outcome.REFUSED, code="c")
    for _ in range(5):
        tally.refused(entry, Actor(id="a1B2", source="10.0.0.1"))
    assert log.lines[-1] == (entry, Actor(id="a1B2", source="10.0.0.1"))
    tally.flush()
    (told,) = [(e, a) for e, a in log.lines[11:] if a is not None and a.id == "a1B2"]
    assert (told[0].what, told[0].count) == ("endpoints.promote", 4)


def test_a_refusal_stays_one_when_it_cannot_be_told() -> None:
    """A log that cannot be written makes no refusal an error of another kind."""

    class Full(Kept):
        def record(self, entry: Entry, actor: Actor | None = None) -> None:
            raise StoreError("full", next_step="make room")

    tally = Tally(Full())
    tally.refused(*bad_key(1))
    with pytest.raises(StoreError):
        tally.add(Entry(what="labels.add", count=3), Actor(id="a"))


def test_a_store_that_is_away_delays_what_is_told(tmp_path: Path) -> None:
    """A server starts and counts while its records are away, and tells all of it afterwards."""

    class Away(Kept):
        here = False

        def record(self, entry: Entry, actor: Actor | None = None) -> None:
            if not self.here:
                raise StoreUnavailable("away", next_step="wait")
            super().record(entry, actor)

    log = Away()
    plan = ProcessPlan(home=str(tmp_path), model="late", serve=ServeSettings())
    with Auditing(log, plan) as auditing:
        for _ in range(3):
            auditing.tally.add(Entry(what="labels.add", count=3), Actor(id="a"))
        with pytest.raises(StoreUnavailable):
            auditing.tell()
        log.here = True
        auditing.tell()
        auditing.tell()
        assert [(e.what, e.count) for e, _ in log.lines] == [("server.start", 1), ("labels.add", 9)]


def test_what_the_workers_refuse(tmp_path: Path) -> None:
    """What the prediction ports turned away is told in sums, by the code, each once."""
    plan = ProcessPlan(home=str(tmp_path), model="late", serve=ServeSettings(workers=2))
    counters = CounterFile(plan.run / METRICS_FOLDER / "worker-0.counters")
    refused = counters.counter("shipway_http_refused_total", "access.not-authenticated")
    refused.add(7)
    log = Kept()
    with Auditing(log, plan) as auditing:
        auditing.tell()
        assert [entry.what for entry, _ in log.lines] == ["server.start"]
        refused.add(5)
        counters.counter("shipway_grpc_refused_total", "access.not-authorised").add(2)
        counters.counter("shipway_http_refused_total", "request.malformed").add(9)
        auditing.tell()
        auditing.tell()
        refused.add(1)
    told = [(e.object, e.code, e.count) for e, _ in log.lines if e.what == "predictions.refused"]
    assert told == [
        ("http", "access.not-authenticated", 5),
        ("grpc", "access.not-authorised", 2),
        ("http", "access.not-authenticated", 1),
    ]
    assert log.lines[-1][0].what == "server.stop"
    assert {actor for e, actor in log.lines if e.what == "predictions.refused"} == {UNKNOWN}
    counters.close()


def test_settings_without_people(tmp_path: Path) -> None:
    """A start is told with the settings that are no defaults; whom they name is not."""
    _, record = make_key(Scope.VIEW)
    plan = ProcessPlan(
        home=str(tmp_path),
        model="late",
        serve=ServeSettings(host="0.0.0.0", port=1),
        auth=AuthSettings(certificates=("email:anna@example.org = view",)),
        two_person=True,
    )
    told = settings_told(plan)
    assert told == {
        "two_person": True, "serve.host": "0.0.0.0", "serve.port": 1, "auth.certificates": 1,
    }  # fmt: skip
    assert record.digest not in str(told)
