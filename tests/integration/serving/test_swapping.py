"""Versions come and go under load, and nobody notices."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.serving_rig import MODEL, MemoryRouting, World, eventually, infer, make_key, running

from shipway.errors import ShipwayError, StoreError, TrialFailed
from shipway.registry.records import EndpointState
from shipway.security.policy import Scope
from shipway.serving.routing import LoadedVersion
from shipway.serving.status import read_workers, wait_for_workers


@contextmanager
def load(world: World, clients: int = 4) -> Iterator[list[tuple[int, str]]]:
    """Clients that ask without pause; what they were answered: status and version."""
    answers: list[tuple[int, str]] = []
    ended = threading.Event()

    def ask() -> None:
        wire = world.wire()
        while not ended.is_set():
            reply = wire.send(infer()).reply()
            answers.append((reply.status, str(reply.json.get("model_version"))))

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def served_version(world: World) -> str:
    version: str = world.ask(infer()).json["model_version"]
    return version


def test_swaps_under_load(tmp_path: Path) -> None:
    """Thirty promotions under load: no request fails, and none begun afterwards is stale."""
    with running(tmp_path) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        with load(world) as answers:
            for number in range(2, 32):
                sequence = world.routing.promote(number)
                wait_for_workers(tmp_path, MODEL, sequence, timeout_s=10)
                assert served_version(world) == str(number)
        assert {status for status, _ in answers} == {200}
        assert len({version for _, version in answers}) > 2
        eventually(lambda: all(world.routing.models[n].closed for n in range(1, 31)))
        assert not world.routing.models[31].closed


def test_broken_version(tmp_path: Path) -> None:
    """A version that cannot be loaded disturbs nobody, and the worker says why it is not live."""
    with running(tmp_path) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        world.routing.broken.add(2)
        with load(world) as answers:
            sequence = world.routing.promote(2)
            (worker,) = wait_for_workers(tmp_path, MODEL, sequence, timeout_s=10)
        assert set(answers) == {(200, "1")}
        assert worker.endpoints[MODEL].live == 1
        assert "the model is broken" in worker.endpoints[MODEL].error
        assert worker.ready
        wait_for_workers(tmp_path, MODEL, world.routing.promote(3), timeout_s=10)
        assert served_version(world) == "3"
        assert read_workers(tmp_path)[0].endpoints[MODEL].error == ""


def test_nothing_live(tmp_path: Path) -> None:
    """A server with nothing to serve lives, is not ready, and says what to do."""
    with running(tmp_path, routing=MemoryRouting(live=None)) as world:
        eventually(lambda: world.get("/livez").status == 200)
        reply = world.get("/readyz")
        assert reply.status == 503
        assert "promote" in reply.json["next"]
        assert world.ask(infer()).status == 404
        world.routing.promote(1)
        eventually(lambda: world.get("/readyz").status == 200)


def test_registry_away(tmp_path: Path) -> None:
    """While the registry cannot be read the server serves on, says so, and follows again later."""
    with running(tmp_path) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        world.routing.away = StoreError("the store is locked", next_step="wait")
        eventually(lambda: "locked" in read_workers(tmp_path)[0].error)
        assert world.ask(infer()).status == 200
        assert world.get("/readyz").status == 200
        world.routing.away = None
        eventually(lambda: read_workers(tmp_path)[0].error == "")
        wait_for_workers(tmp_path, MODEL, world.routing.promote(2), timeout_s=10)
        assert served_version(world) == "2"


def test_drain_under_load(tmp_path: Path) -> None:
    """While a worker drains it answers, says that it is not ready, and asks clients to leave."""
    with running(tmp_path, drain_wait_s=0.5) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        kept = world.wire()
        assert kept.send(infer()).reply().status == 200
        idle = world.wire()
        idle.send(infer()).reply()
        world.stop()
        eventually(lambda: world.get("/readyz").status == 503)
        reply = kept.send(infer()).reply()
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        assert kept.ended()
        assert idle.ended()
    assert read_workers(tmp_path) == ()


def test_keys(tmp_path: Path) -> None:
    """Only health is open; a key works from any place it may stand, until it is revoked."""
    text, record = make_key(Scope.PREDICT)
    routing = MemoryRouting(keys=[record])
    with running(tmp_path, routing=routing, authentication=True) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        bearer, plain = f"Authorization: Bearer {text}", f"X-API-Key: {text}"
        for path in ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready"):
            assert world.get(path).status == 200
        closed = ("/v2", "/v2/models/late", "/v2/models/late/ready", "/v2/models/nope")
        for path in closed:
            reply = world.get(path)
            assert reply.status == 401
            assert reply.headers["www-authenticate"].startswith("Bearer")
            assert "late" not in reply.json["error"]
        assert world.get("/v2/models/late", bearer).status == 200
        assert world.ask(infer()).status == 401
        assert world.ask(infer(bearer)).status == 200
        assert world.ask(infer(plain)).status == 200
        assert world.ask(infer(bearer, plain)).status == 200
        assert world.ask(infer(bearer, "X-API-Key: other")).status == 400
        assert world.ask(infer("Authorization: Basic eDp5")).status == 401
        assert world.ask(infer(f"Authorization: Bearer {text[:-1]}x")).status == 401
        assert {e.caller for e in world.sink.events} == {record.id}
        routing.set_keys([])
        eventually(lambda: world.ask(infer(bearer)).status == 401, timeout_s=1)


def test_a_revoked_key_on_a_connection_that_repeats_itself(tmp_path: Path) -> None:
    """What is remembered of a head does not outlive the keys that it was judged by."""
    text, record = make_key(Scope.PREDICT)
    routing = MemoryRouting(keys=[record])
    request = infer(f"Authorization: Bearer {text}")
    with running(tmp_path, routing=routing, authentication=True) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        wire = world.wire()
        assert [wire.send(request).reply().status for _ in range(5)] == [200] * 5
        routing.set_keys([])
        eventually(lambda: wire.send(request).reply().status == 401, timeout_s=1)


def test_wrong_scope(tmp_path: Path) -> None:
    """A key for labels may not predict."""
    text, record = make_key(Scope.LABEL)
    with running(tmp_path, routing=MemoryRouting(keys=[record]), authentication=True) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        reply = world.ask(infer(f"Authorization: Bearer {text}"))
        assert (reply.status, reply.json["code"]) == (403, "access.not-authorised")


def test_body_across_a_swap(tmp_path: Path) -> None:
    """A request whose body is still coming when its version is retired is answered by the next."""
    with running(tmp_path) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        raw = infer()
        wire = world.wire().send(raw[:-10])
        wait_for_workers(tmp_path, MODEL, world.routing.promote(2), timeout_s=10)
        eventually(lambda: world.routing.models[1].closed)
        reply = wire.send(raw[-10:]).reply()
        assert (reply.status, reply.json["model_version"]) == (200, "2")


class EndlessTrial:
    """A trial that does not end by itself."""

    def __init__(self) -> None:
        self.error: ShipwayError | None = None
        self.begun = False
        self.abandoned = False

    def poll(self) -> bool:
        self.begun = True
        if self.error is not None:
            raise self.error
        return False

    def abandon(self) -> None:
        self.abandoned = True


def test_a_trial_keeps_nobody_waiting(tmp_path: Path) -> None:
    """While a trial hangs the live version answers, and a revoked key is refused in a second."""
    text, record = make_key(Scope.PREDICT)
    routing = MemoryRouting(keys=[record])
    routing.trials[2] = trial = EndlessTrial()
    bearer = f"Authorization: Bearer {text}"
    with running(tmp_path, routing=routing, authentication=True) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        sequence = routing.promote(2)
        eventually(lambda: read_workers(tmp_path)[0].revision == routing.revision())
        assert not read_workers(tmp_path)[0].acknowledges(MODEL, sequence)
        assert world.ask(infer(bearer)).json["model_version"] == "1"
        routing.set_keys([])
        eventually(lambda: world.ask(infer(bearer)).status == 401, timeout_s=1)
        assert routing.loaded == [1]
        assert not trial.abandoned
    assert trial.abandoned


def test_a_trial_that_fails_is_told(tmp_path: Path) -> None:
    """What a trial finds is the worker's reason to stay on what it has."""
    routing = MemoryRouting()
    routing.trials[2] = trial = EndlessTrial()
    with running(tmp_path, routing=routing) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        sequence = routing.promote(2)
        trial.error = TrialFailed("it burst", next_step="promote another")
        (worker,) = wait_for_workers(tmp_path, MODEL, sequence, timeout_s=10)
        assert (worker.endpoints[MODEL].live, worker.ready) == (1, True)
        assert worker.endpoints[MODEL].error == "it burst [model.trial-failed]"
        assert served_version(world) == "1"


def test_a_later_promotion_overtakes_a_trial(tmp_path: Path) -> None:
    """Nobody waits for the trial of a version that is no longer wanted; it is abandoned."""
    routing = MemoryRouting()
    routing.trials[2] = trial = EndlessTrial()
    with running(tmp_path, routing=routing) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        routing.promote(2)
        eventually(lambda: trial.begun)
        wait_for_workers(tmp_path, MODEL, routing.promote(3), timeout_s=10)
        assert served_version(world) == "3"
        assert trial.abandoned


def test_a_load_keeps_nobody_waiting(tmp_path: Path) -> None:
    """A version that takes its time to load in the worker holds up no key, and is closed if it is
    no longer wanted when it is there."""
    text, record = make_key(Scope.PREDICT)
    routing = SlowToLoad(keys=[record])
    bearer = f"Authorization: Bearer {text}"
    with running(tmp_path, routing=routing, authentication=True) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        routing.promote(2)
        eventually(lambda: 2 in routing.loaded)
        routing.set_keys([])
        eventually(lambda: world.ask(infer(bearer)).status == 401, timeout_s=1)
        routing.set_keys([record])
        wait_for_workers(tmp_path, MODEL, routing.promote(3), timeout_s=10)
        routing.may_load.set()
        eventually(lambda: 2 in routing.models and routing.models[2].closed)
        assert world.ask(infer(bearer)).json["model_version"] == "3"


class SlowToLoad(MemoryRouting):
    """Version 2 is loaded when ``may_load`` is set."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.may_load = threading.Event()

    def load(self, endpoint: EndpointState) -> LoadedVersion:
        if endpoint.live == 2:
            self.loaded.append(2)
            self.may_load.wait(20)
        return super().load(endpoint)
