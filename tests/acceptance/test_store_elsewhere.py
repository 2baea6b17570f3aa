"""One registry in PostgreSQL and S3: the journey of a model, and serving while both are away."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from tests.databases import Postgres
from tests.objects import ObjectStorage
from tests.projects import Project
from tests.serving_rig import eventually

from shipway.serving.status import ServerRecord, read_workers

pytestmark = [pytest.mark.needs("postgres"), pytest.mark.slow]
ROW = {"age": 40, "fee": 35.5, "city": "Lima"}


@pytest.fixture
def elsewhere(
    begun: Project,
    tmp_path: Path,
    postgres: Postgres,
    s3: ObjectStorage,
    monkeypatch: pytest.MonkeyPatch,
) -> Project:
    """A project whose one change is where its store is; version 1 is live in it."""
    monkeypatch.setenv("SHIPWAY_STORE__URL", postgres.fresh())
    monkeypatch.setenv("SHIPWAY_STORE__BLOBS", s3.fresh())
    project = begun.copy(tmp_path / "project")
    project.json("pack", "model.joblib", "--trust-pickle")
    project.json("gate")
    project.json("promote", "1")
    return project


@dataclass
class Traffic:
    """Asks and labels all the time; every answer that is not a good one is kept."""

    record: ServerRecord
    key: str
    answers: int = 0
    failures: list[str] = field(default_factory=list)
    versions: set[str] = field(default_factory=set)

    def once(self, client: httpx.Client) -> None:
        """One prediction and its label."""
        values = {"age": ("INT64", 40), "fee": ("FP64", 35.5), "city": ("BYTES", "Lima")}
        inputs = [
            {"name": name, "shape": [1], "datatype": kind, "data": [value]}
            for name, (kind, value) in values.items()
        ]
        answer = client.post(f"{self.record.url}/v2/models/churn/infer", json={"inputs": inputs})
        if answer.status_code != 200:
            self.failures.append(answer.text)
            return
        self.versions.add(answer.json()["model_version"])
        outputs = {each["name"]: each["data"] for each in answer.json()["outputs"]}
        told = [{"prediction_id": name, "value": 1} for name in outputs["prediction_id"]]
        label = client.post(f"{self.record.control_url}/v1/labels", json={"labels": told})
        if label.status_code != 200:
            self.failures.append(label.text)
            return
        self.answers += 1

    def more(self, count: int = 20) -> None:
        """Wait until there are *count* more good answers, or one that is not."""
        goal = self.answers + count
        eventually(lambda: self.answers >= goal or self.failures, timeout_s=60)


@contextmanager
def traffic(record: ServerRecord, key: str) -> Iterator[Traffic]:
    """Traffic for as long as the block lasts, on connections of its own."""
    made, ended = Traffic(record, key), threading.Event()

    def run() -> None:
        with httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=30.0) as client:
            while not ended.is_set():
                made.once(client)
                time.sleep(0.005)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield made
    finally:
        ended.set()
        thread.join()


@contextmanager
def away(postgres: Postgres, objects: ObjectStorage, log: Path) -> Iterator[None]:
    """Both servers are stopped within the block, and there again after it."""
    postgres.stop()
    objects.stop()
    try:
        yield
    finally:
        objects.start(log)
        postgres.start()


def refilled(run: Path, victim: int) -> bool:
    """Whether there are workers, all ready, and *victim* is none of them."""
    workers = read_workers(run)
    pids = {one.pid for one in workers}
    return bool(workers) and victim not in pids and all(one.ready for one in workers)


def test_both_go_away_under_traffic(
    elsewhere: Project, postgres: Postgres, s3: ObjectStorage, tmp_path: Path
) -> None:
    """No answer and no label fails meanwhile, and what changes afterwards is followed.

    What needs the store says that it is away, and once it is back a new version is published,
    promoted and served without a restart.
    """
    key = elsewhere.new_key()
    bearer = {"Authorization": f"Bearer {elsewhere.new_key('--scope', 'view')}"}
    run = elsewhere.folder / ".shipway" / "run"
    with elsewhere.served() as record, traffic(record, key) as load:
        load.more()
        with away(postgres, s3, tmp_path / "log"):
            load.more(100)
            eventually(lambda: all("store.unavailable" in one.error for one in read_workers(run)))
            assert all(one.ready for one in read_workers(run))
            done = elsewhere.call("promote", "1")
            assert done.code == 4
            assert "[store.unavailable]" in done.err
            asked = httpx.get(f"{record.control_url}/v1/versions", headers=bearer, timeout=30)
            assert asked.status_code == 503
            assert asked.json()["code"] == "store.unavailable"
            assert load.failures == []
        s3.request("PUT", os.environ["SHIPWAY_STORE__BLOBS"].split("/")[2])
        eventually(lambda: not any(one.error for one in read_workers(run)), timeout_s=60)
        settings = elsewhere.folder / "shipway.toml"
        settings.write_text(f"{settings.read_text()}\n# again\n")
        elsewhere.json("pack", "model.joblib", "--trust-pickle")
        elsewhere.json("promote", "2", "--force", "--reason", "a test")
        load.more()
        assert load.failures == []
        assert load.versions == {"1", "2"}


def test_a_start_while_both_are_away(
    elsewhere: Project, postgres: Postgres, s3: ObjectStorage, tmp_path: Path
) -> None:
    """A server that was here before starts from what it knew, workers that die come back too."""
    key = elsewhere.new_key()
    run = elsewhere.folder / ".shipway" / "run"
    with elsewhere.served() as record, traffic(record, key) as load:
        load.more(1)
    with away(postgres, s3, tmp_path / "log"), elsewhere.served() as record:
        with traffic(record, key) as load:
            load.more()
        victim = read_workers(run)[0].pid
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: refilled(run, victim), timeout_s=60)
        with traffic(record, key) as again:
            again.more()
    assert load.failures + again.failures == []
    assert load.versions | again.versions == {"1"}


def test_a_start_without_memory(
    elsewhere: Project, postgres: Postgres, s3: ObjectStorage, tmp_path: Path
) -> None:
    """A server that knows nothing of a store that is away does not start, and says why."""
    with away(postgres, s3, tmp_path / "log"):
        done = elsewhere.call("serve")
    assert done.code == 4
    assert "[store.unavailable]" in done.err


def test_nothing_shows_the_password(elsewhere: Project, postgres: Postgres) -> None:
    """No command and no file of the project tells the password of the database."""
    secret = postgres.password
    for words in (("check",), ("doctor", "--thorough"), ("status",), ("versions",)):
        done = elsewhere.call(*words)
        assert done.code == 0, done.said
        assert secret not in done.said
    with elsewhere.served():
        assert any("postgresql://" in each for each in _command_lines())
        assert not any(secret in each for each in _command_lines())
    kept = [path for path in elsewhere.folder.rglob("*") if path.is_file()]
    assert not [path for path in kept if secret.encode() in path.read_bytes()]
    done = elsewhere.call("check", "--set", f"store.url=postgresql://anna:{secret}@host/x")
    assert done.code == 2
    assert secret not in done.said


def _command_lines() -> list[str]:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().decode(errors="replace"))
        except OSError:
            continue
    return [line for line in lines if "shipway" in line]
