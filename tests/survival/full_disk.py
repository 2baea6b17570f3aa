"""Does one operation on a small disk of its own, ever fuller: ``full_disk FOLDER OPERATION STEP``.

It is started in a mount namespace of its own, mounts a file system of memory on FOLDER, and prints
what it saw as one JSON document.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.survival.injecting import Expected, Switch, Way, judged, rehearsed
from tests.survival.operations import BY_NAME, Operation

from shipway.errors import ShipwayError

_DISK_BYTES = 64 << 20
_BLOCK = 4096


def main(folder: Path, name: str, step: int) -> int:
    """Leave no block free, then *step* more each time, until the operation succeeds."""
    options = f"size={_DISK_BYTES},mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    operation = BY_NAME[name]
    expected = rehearsed(operation, folder, Switch())
    told: Counter[str] = Counter()
    breaches: list[str] = []
    blocks = 0
    while True:
        code, found = tried(operation, expected, folder, blocks)
        told[code or "done"] += 1
        breaches += [f"{blocks} blocks free: {each}" for each in found]
        if not code:
            break
        blocks += step
    sys.stdout.write(json.dumps({"told": told, "breaches": breaches, "blocks": blocks}))
    return 0


def tried(
    operation: Operation, expected: Expected, folder: Path, blocks: int
) -> tuple[str, list[str]]:
    """The code of the error where *blocks* are free, "" for none, and what is wrong after it."""
    place = expected.template.copied(folder / "run")
    ballast = folder / "ballast"
    _fill(folder, ballast, blocks)
    code, found = "", []
    try:
        operation.run(place)
    except ShipwayError as error:
        code = error.code
        if "full" not in error.message or not error.next_step:
            found.append(f"says {error.message!r}, next {error.next_step!r}")
    except Exception as error:
        code = "raised"
        found.append(f"raised {type(error).__name__}: {error}")
    ballast.unlink()
    found += judged(expected, place, Way.FULL)
    if code:  # once there is room again, nothing need be repaired
        operation.run(place)
        if not place.acknowledged:
            found.append("does not go on by itself")
    shutil.rmtree(place.folder)
    return code, found


def _fill(folder: Path, ballast: Path, blocks: int) -> None:
    """Leave *blocks* of the disk free."""
    with ballast.open("wb") as file:
        free = os.statvfs(folder).f_bavail
        os.posix_fallocate(file.fileno(), 0, max(1, free - blocks) * _BLOCK)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
