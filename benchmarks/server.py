"""Servers to put under load: started on one core, watched from outside, ended by SIGTERM."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import cores, on_core
from shipway.serving.status import read_server, read_workers

_START_TIMEOUT_S = 60.0
_LOOK_S = 0.01


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers: where, which process predicts, and how long the start took."""

    url: str
    pid: int
    seconds_to_first_answer: float

    def cpu_s(self) -> float:
        """CPU seconds that the process has used, to the microsecond."""
        tasks = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def memory_mb(self) -> float:
        """Memory of the process in MB, what it shares with others counted in proportion (PSS)."""
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024 / 1e6
        return 0.0


@contextmanager
def started(
    command: Sequence[str],
    *,
    ready: Callable[[subprocess.Popen[bytes]], tuple[str, int] | None],
    ask: Callable[[str], urllib.request.Request],
    log: Path,
) -> Iterator[Running]:
    """Run *command* on the server's core until the end of the block.

    *ready* gives the address and the predicting process as soon as they are known, *ask* the
    request whose answer ends the start.
    """
    begin = time.perf_counter()
    with log.open("wb") as output, on_core(cores()[0]):
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
    try:
        url, pid = _first_answer(process, ready, ask, log)
        yield Running(url, pid, time.perf_counter() - begin)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def shipway_command(folder: Path) -> list[str]:
    """``shipway serve`` for the project in *folder*: one worker, everything on, free ports."""
    words = ["serve", "--project", str(folder), "--port", "0", "--control-port", "0"]
    return [sys.executable, "-m", "shipway", *words, "--workers", "1"]


def shipway_ready(run: Path) -> Callable[[subprocess.Popen[bytes]], tuple[str, int] | None]:
    """The address and the worker of the server whose state is in *run*."""

    def look(process: subprocess.Popen[bytes]) -> tuple[str, int] | None:
        record, workers = read_server(run), read_workers(run)
        if record is None or record.pid != process.pid or not workers:
            return None
        return record.url, workers[0].pid

    return look


def post(url: str, body: bytes, headers: Mapping[str, str]) -> urllib.request.Request:
    """A POST of *body*."""
    return urllib.request.Request(url, body, dict(headers), method="POST")  # noqa: S310 - ours


def _first_answer(
    process: subprocess.Popen[bytes],
    ready: Callable[[subprocess.Popen[bytes]], tuple[str, int] | None],
    ask: Callable[[str], urllib.request.Request],
    log: Path,
) -> tuple[str, int]:
    until = time.perf_counter() + _START_TIMEOUT_S
    while time.perf_counter() < until and process.poll() is None:
        found = ready(process)
        if found is not None and _answers(ask(found[0])):
            return found
        time.sleep(_LOOK_S)
    raise RuntimeError(f"the server did not answer: {log.read_text(errors='replace')[-2000:]}")


def _answers(request: urllib.request.Request) -> bool:
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - ours
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"the server refuses: {error.read()[:500]!r}") from error
    except OSError:
        return False
