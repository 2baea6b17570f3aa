"""Takes each guard away in turn and tells whether the tests of its row notice.

``python -m tests.threats.mutants [ROW …]`` changes nothing here: each guard is taken away in a
copy of the source, which the tests are run against. It prints a line a guard, then the share that
was noticed, and exits with 1 when that is under 95 %.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.threats.guard import Guard
from tests.threats.rows import GUARDED, Row

import shipway

SOURCE = Path(shipway.__file__).parent
ROOT = Path(__file__).parents[2]
LEAST_SHARE = 0.95
_TIMEOUT_S = 600.0
_TESTS_FAILED = 1
_NO_GUARD = Guard("none: the source as it is", "errors.py", "", "")


@dataclass(frozen=True)
class Outcome:
    """What came of the tests of *row* without *guard*."""

    row: str
    guard: Guard
    code: int
    took_s: float

    @property
    def noticed(self) -> bool:
        """Whether a test failed; one that never ended has noticed as well."""
        return self.code == _TESTS_FAILED

    def __str__(self) -> str:
        word = "noticed" if self.noticed else f"SURVIVED ({self.code})"
        return f"{word:14} {self.row:48} {self.guard.file}: {self.guard.name}"


def all_guards() -> list[Guard]:
    """Every guard of the table."""
    return [guard for row in GUARDED for guard in row.guards]


def run(row: Row, guard: Guard) -> Outcome:
    """Run the tests of *row* against a copy of the source without *guard*."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="shipway-mutant-") as folder:
        copy = Path(folder) / "src" / "shipway"
        shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        if guard.text:
            path = copy / guard.file
            path.write_text(path.read_text("utf-8").replace(guard.text, guard.without), "utf-8")
        code = _tests(row.tests, copy.parent, Path(folder))
    return Outcome(row.id, guard, code, time.monotonic() - began)


def _tests(tests: Sequence[str], source: Path, folder: Path) -> int:
    command = [
        sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:xdist", "-p", "no:cacheprovider",
        "--timeout", "240", "--basetemp", str(folder / "tests"), *tests,
    ]  # fmt: skip
    environ = {**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, check=False,
                              timeout=_TIMEOUT_S)  # fmt: skip
    except subprocess.TimeoutExpired:
        return _TESTS_FAILED
    return done.returncode


def chosen(names: Sequence[str]) -> Iterator[tuple[Row, Guard]]:
    """Each guard of the rows called *names*, of all rows without names."""
    for row in GUARDED:
        if not names or row.id in names:
            for guard in row.guards:
                yield row, guard


def main(names: Sequence[str]) -> int:
    """Run all, print what came of it, and return the exit code."""
    rows = [row for row in GUARDED if not names or row.id in names]
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:
        whole = list(pool.map(lambda row: run(row, _NO_GUARD), rows))
        broken = [outcome.row for outcome in whole if outcome.code != 0]
        if broken:
            _say(f"these fail with every guard in place: {', '.join(broken)}")
            return 2
        outcomes = []
        for outcome in pool.map(lambda pair: run(*pair), chosen(names)):
            _say(str(outcome))
            outcomes.append(outcome)
    noticed = sum(outcome.noticed for outcome in outcomes)
    share = noticed / len(outcomes)
    _say(f"{noticed} of {len(outcomes)} guards are missed when they are gone ({share:.1%})")
    return 0 if share >= LEAST_SHARE else 1


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
