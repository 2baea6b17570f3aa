"""A writer that is killed at any moment loses nothing that it had acknowledged."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from shipway.monitoring.labels import LabelReader
from shipway.monitoring.reader import EventReader
from shipway.monitoring.segments import compact

KILLS = 10

# It appends an event, then a label, and says which one is safe after each; sometimes it
# compacts what the writers before it left behind, so that kills fall into that as well.
WRITER = """
import sys
from pathlib import Path
from shipway.domain.events import Label, PredictionEvent
from shipway.monitoring.journal import Journal
from shipway.monitoring.labels import LabelLog
from shipway.monitoring.segments import compact

home, turn = Path(sys.argv[1]), sys.argv[2]
journal = Journal(home / "events", "w0", max_bytes=20_000)
log = LabelLog(home / "labels", max_bytes=20_000)
number = 0
while True:
    name = f"{turn}-{number}"
    journal.append([PredictionEvent(
        request_id=name, received_at_ns=10**18 + number, endpoint="m", model="m", version=1,
        caller="", rows=2, latency_us=1, columns={"x": [1.0, 2.0]}, scores=[0.1, 0.2],
        labels=[0, 0])])
    print("event", name, flush=True)
    log.append([Label(prediction_id=f"{name}:0", value=1, observed_at_ns=10**18)])
    print("label", name, flush=True)
    number += 1
    if number % 20 == 0:
        compact(home / "events")
"""


def test_ten_kills_lose_nothing_acknowledged(tmp_path: Path) -> None:
    """Every event and label that a killed writer had reported is read back, each event once."""
    chance = random.Random(7)
    reader = EventReader(tmp_path / "events")
    acknowledged: dict[str, set[str]] = {"event": set(), "label": set()}
    for turn in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(turn)], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            first = writer.stdout.readline()
            time.sleep(chance.uniform(0.0, 0.08))
            os.kill(writer.pid, signal.SIGKILL)
            said = (first + writer.stdout.read()).decode()
        # A kill can cut the last line short: only a whole one is an acknowledgement.
        for line in said.split("\n")[:-1]:
            kind, _, name = line.partition(" ")
            acknowledged[kind].add(f"{name}:0")
        known = set(reader.refresh()["prediction_id"].to_list())
        assert acknowledged["event"] <= known

    assert len(acknowledged["event"]) > KILLS
    cold = EventReader(tmp_path / "events").refresh()["prediction_id"]
    assert acknowledged["event"] <= set(cold.to_list())
    assert not cold.is_duplicated().any()
    assert acknowledged["label"] <= set(
        LabelReader(tmp_path / "labels").refresh()["prediction_id"].to_list()
    )
    assert sorted(reader.refresh()["prediction_id"]) == sorted(cold)

    compact(tmp_path / "events")
    assert not list((tmp_path / "events" / "journals").glob("*.journal"))
    after = EventReader(tmp_path / "events").refresh()["prediction_id"]
    assert sorted(after) == sorted(cold)
