"""What was acknowledged survives ``kill -9``: answers, labels, and the server's own start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import polars as pl
import pytest
from tests.projects import Flights

from shipway.api.predict import infer_request
from shipway.bootstrap.project import open_project
from shipway.monitoring.labels import LabelReader
from shipway.monitoring.reader import EventReader
from shipway.serving.status import ServerRecord, read_server

KILLS = 10
START_S = 60.0


def started(project: Flights) -> tuple[subprocess.Popen[bytes], ServerRecord]:
    """A server of *project*, ready; the caller ends it."""
    environ = {**os.environ, "SHIPWAY_SERVE__PORT": "0", "SHIPWAY_SERVE__CONTROL_PORT": "0"}
    with (project.folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "shipway", "serve", "--project", str(project.folder)],
            stdout=log,
            stderr=log,
            env=environ,
        )
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        record = read_server(project.folder / ".shipway" / "run")
        if record is not None and record.pid == process.pid:
            return process, record
        time.sleep(0.02)
    process.kill()
    raise AssertionError((project.folder / "server.log").read_text())


@pytest.mark.slow
def test_ten_kills_of_the_server_lose_no_acknowledged_answer_or_label(
    flights: Flights, tmp_path: Path
) -> None:
    """Every prediction that was answered and every label that was accepted is there afterwards."""
    project = flights.copy(tmp_path / "project")
    headers = {"Authorization": f"Bearer {project.new_key()}"}
    contract = open_project(project.folder).contract
    names = [column.name for column in contract.request_columns]
    answered: list[str] = []
    labelled: list[str] = []
    for kill in range(KILLS):
        process, record = started(project)
        try:
            with httpx.Client(headers=headers, timeout=30.0) as client:
                for request in range(5 + kill):
                    rows = project.later.slice(request * 7, 3).select(names)
                    body = infer_request(contract, rows)
                    url = f"{record.url}/v2/models/flight-delay/infer"
                    answer = client.post(url, json=body)
                    assert answer.status_code == 200, answer.text
                    outputs = {each["name"]: each["data"] for each in answer.json()["outputs"]}
                    answered += outputs["prediction_id"]
                    told = [
                        {"prediction_id": name, "value": 1} for name in outputs["prediction_id"]
                    ]
                    labels = client.post(f"{record.control_url}/v1/labels", json={"labels": told})
                    assert labels.status_code == 200, labels.text
                    labelled += outputs["prediction_id"]
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    home = project.folder / ".shipway"
    kept = set(EventReader(home / "events").refresh()["prediction_id"].drop_nulls().to_list())
    assert set(answered) <= kept
    truths = LabelReader(home / "labels").refresh()
    assert set(labelled) <= set(truths["prediction_id"].to_list())
    assert len(answered) == len(set(answered)) == pl.Series(answered).n_unique()
