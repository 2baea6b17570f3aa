"""What was acknowledged survives ``kill -9``: answers, labels, and the server's own start."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

import httpx
import pytest
from tests.projects import Project

from shipway.monitoring.labels import LabelReader
from shipway.monitoring.reader import EventReader
from shipway.serving.status import ServerRecord, read_server, read_workers

KILLS = 10
START_S = 60.0
AT_LEAST = 3
"""So many answers are waited for before a kill; more may be under way."""


def started(project: Project) -> tuple[subprocess.Popen[bytes], ServerRecord]:
    """A server of *project* in a process group of its own, ready; the caller ends it."""
    environ = {
        **os.environ,
        "SHIPWAY_SERVE__PORT": "0",
        "SHIPWAY_SERVE__CONTROL_PORT": "0",
        "SHIPWAY_SERVE__GRPC_PORT": "0",
    }
    with (project.folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "shipway", "serve", "--project", str(project.folder)],
            stdout=log,
            stderr=log,
            env=environ,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        record = read_server(project.folder / ".shipway" / "run")
        if record is not None and record.pid == process.pid:
            return process, record
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    raise AssertionError((project.folder / "server.log").read_text())


@dataclass
class Client:
    """Asks and labels without a pause until nobody answers; keeps what was acknowledged."""

    record: ServerRecord
    key: str
    answered: list[str] = field(default_factory=list)
    labelled: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    killing: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Go on until the server is gone."""
        values = {"age": ("INT64", 40), "fee": ("FP64", 35.5), "city": ("BYTES", "Lima")}
        inputs = [
            {"name": name, "shape": [2], "datatype": kind, "data": [value, value]}
            for name, (kind, value) in values.items()
        ]
        headers = {"Authorization": f"Bearer {self.key}"}
        with httpx.Client(headers=headers, timeout=30.0) as client:
            try:
                while not self.refused:
                    self._once(client, {"inputs": inputs})
            except httpx.TransportError as error:
                if not self.killing.is_set():
                    self.refused.append(repr(error))

    def _once(self, client: httpx.Client, body: object) -> None:
        answer = client.post(f"{self.record.url}/v2/models/churn/infer", json=body)
        if answer.status_code != 200:
            self.refused.append(answer.text)
            return
        outputs = {each["name"]: each["data"] for each in answer.json()["outputs"]}
        self.answered += outputs["prediction_id"]
        told = [{"prediction_id": name, "value": 1} for name in outputs["prediction_id"]]
        labels = client.post(f"{self.record.control_url}/v1/labels", json={"labels": told})
        if labels.status_code != 200:
            self.refused.append(labels.text)
            return
        self.labelled += outputs["prediction_id"]


@pytest.mark.slow
def test_ten_kills_of_the_server_lose_no_acknowledged_answer_or_label(live: Project) -> None:
    """Every answer that arrived and every label that was accepted is there afterwards.

    Supervisor, workers and control plane are killed together, at a random moment under load; the
    next start finds the store in order each time.
    """
    chance = random.Random(8)
    key = live.new_key()
    answered: list[str] = []
    labelled: list[str] = []
    for _ in range(KILLS):
        process, record = started(live)
        client = Client(record, key)
        thread = threading.Thread(target=client.run)
        try:
            thread.start()
            until = time.monotonic() + START_S
            while len(client.labelled) < AT_LEAST and time.monotonic() < until:
                time.sleep(0.001)
            time.sleep(chance.uniform(0.0, 0.1))
        finally:
            client.killing.set()
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            thread.join()
        assert client.refused == []
        assert len(client.labelled) >= AT_LEAST
        answered += client.answered
        labelled += client.labelled
    home = live.folder / ".shipway"
    kept = set(EventReader(home / "events").refresh()["prediction_id"].drop_nulls().to_list())
    assert len(answered) == len(set(answered))
    assert set(answered) <= kept
    truths = LabelReader(home / "labels").refresh()
    assert set(labelled) <= set(truths["prediction_id"].to_list())
    assert live.call("doctor", "--thorough").code == 0


@pytest.mark.slow
def test_workers_end_after_their_killed_supervisor(live: Project) -> None:
    """A supervisor that is killed alone leaves no process behind, and a new one starts at once."""
    key = live.new_key()
    process, record = started(live)
    run = live.folder / ".shipway" / "run"
    before = {worker.pid for worker in read_workers(run)}
    process.kill()
    process.wait()
    again, fresh = started(live)
    try:
        assert fresh.url != record.url
        assert live.json("predict", '{"age": 40, "fee": 35.5, "city": "Lima"}', "--key", key)
        until = time.monotonic() + START_S
        while any(map(running, before)) and time.monotonic() < until:
            time.sleep(0.05)
        assert not any(map(running, before))
    finally:
        again.send_signal(signal.SIGTERM)
        assert again.wait(START_S) == 0


def running(pid: int) -> bool:
    """Whether a process *pid* is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
