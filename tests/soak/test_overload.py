"""Ten times the load that a model can carry: what it can carry is still answered."""

from __future__ import annotations

import json
import time
from pathlib import Path

from tests.serving_rig import MODEL, infer_body, post
from tests.soak.scale import sized
from tests.soak.traffic import Load, traffic
from tests.soak.worker import ROW_S, started

SECONDS = sized(4.0, 60.0)
CAPACITY = 1 / ROW_S
TIMES = 10


def request() -> bytes:
    """One row for the slow model."""
    return post(f"/v2/models/{MODEL}/infer", json.dumps(infer_body()).encode())


def offered(port: int, rate: float, seconds: float) -> Load:
    """What came of *rate* requests a second for so long."""
    with traffic(port, request(), rate=rate, connections=512, timeout_s=30) as load:
        time.sleep(seconds)
    return load


def goodput(load: Load) -> float:
    """Answers a second within the time in which requests were sent, its first second left out."""
    begin = min(mark.began for mark in load.marks) + 1.0
    end = max(mark.began for mark in load.marks)
    return sum(mark.status == 200 and begin <= mark.ended <= end for mark in load.marks) / (
        end - begin
    )


def test_goodput_holds(tmp_path: Path) -> None:
    """At ten times its capacity a worker answers as many as at capacity, and refuses the rest.

    Every refusal is a 503 with a whole number of seconds in Retry-After, and nothing hangs.
    """
    with started(tmp_path, "slow") as worker:
        peak = goodput(offered(worker.port, 1.2 * CAPACITY, SECONDS))
        load = offered(worker.port, TIMES * CAPACITY, SECONDS)
        after = offered(worker.port, 0.5 * CAPACITY, 1.0)
    print(f"goodput {peak:.0f}/s at capacity, {goodput(load):.0f}/s at {TIMES} times")  # noqa: T201
    assert goodput(load) >= 0.9 * peak
    refused = [mark for mark in load.marks if mark.status != 200]
    assert len(refused) > len(load.marks) / 2
    assert {(mark.status, mark.retry_after.isdigit()) for mark in refused} == {(503, True)}
    assert {1 <= int(mark.retry_after) <= 30 for mark in refused} == {True}
    assert not after.failed()
