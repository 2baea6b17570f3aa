"""A disk that is really full, from not one block free to room enough, for each operation."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.soak.scale import sized
from tests.survival.operations import OPERATIONS, Operation

STEP = sized(12, 1)
"""So many blocks more are free each time."""

_NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")


@pytest.fixture(scope="module", autouse=True)
def may_mount() -> None:
    """Skip where the kernel lets nobody mount, even in a namespace of one's own."""
    done = subprocess.run([*_NAMESPACE, "true"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"no mount namespace may be made here: {done.stderr.decode().strip()}")


@pytest.mark.needs("unshare")
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_full_disk(operation: Operation, tmp_path: Path) -> None:
    """It is told that the disk is full; nothing is half, and with room again all goes on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        [*_NAMESPACE, sys.executable, "-m", "tests.survival.full_disk", disk, operation.name,
         str(STEP)],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    print(f"\n{operation.name}: {seen['told']}, {seen['blocks']} blocks are enough")  # noqa: T201
    assert seen["breaches"] == []
    assert seen["told"]["done"] == 1
