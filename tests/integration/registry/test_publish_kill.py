"""Killed while publishing: nothing acknowledged is lost, no number is skipped."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from shipway.registry.opening import open_registry
from shipway.registry.registry import Registry

ROOT = Path(__file__).parents[3]
KILLS = 10


def publisher(home: Path, writer: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.integration.registry.publisher"]
    return subprocess.Popen(
        [*command, str(home), writer, str(count)],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def killed(process: subprocess.Popen[str], lines: int, after_s: float) -> list[str]:
    """Kill *process* some time after its first *lines*; give all that it acknowledged."""
    assert process.stdout is not None
    assert process.stderr is not None
    first = "".join(process.stdout.readline() for _ in range(lines))
    time.sleep(after_s)
    process.send_signal(signal.SIGKILL)
    # The last line may be cut by the kill: what has no end was not acknowledged.
    *whole, _cut = (first + process.stdout.read()).split("\n")
    errors = process.stderr.read()
    assert process.wait() == -signal.SIGKILL, errors
    process.stdout.close()
    process.stderr.close()
    return whole


def check(registry: Registry, acknowledged: Sequence[str]) -> None:
    """Everything acknowledged is there; what is there is whole; numbers and history have no gap."""
    versions = registry.versions("flight-delay")
    assert [version.number for version in versions] == list(range(1, len(versions) + 1))
    assert len({version.digest for version in versions}) == len(versions)
    known = {f"published {version.number} {version.digest}" for version in versions}
    history = registry.history("production")
    assert [change.sequence for change in history] == list(range(1, len(history) + 1))
    assert [change.before for change in history[1:]] == [change.live for change in history[:-1]]
    known |= {f"moved {change.sequence} {change.live}" for change in history}
    assert set(acknowledged) <= known
    assert len(set(acknowledged)) == len(acknowledged)
    for version in versions:
        opened = registry.open_files(version)
        assert opened.keys() == {entry.path for entry in version.manifest.files}


def test_killed_at_random_moments(tmp_path: Path) -> None:
    """After ten kills at random moments of a publisher nothing acknowledged is lost or half."""
    moments, acknowledged = random.Random(20260101), list[str]()
    for round_number in range(KILLS):
        process = publisher(tmp_path, f"round {round_number}", 0)
        acknowledged += killed(process, moments.randint(1, 6), moments.uniform(0.0, 0.012))
        with open_registry(tmp_path) as registry:
            check(registry, acknowledged)
    assert len(acknowledged) >= KILLS
