"""Servers to put under load: started on one core, watched from outside, ended with children."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.faults import Unmeasured
from benchmarks.serving.load import cores, on_core
from shipway.serving.heir import NAME as HEIR

_START_TIMEOUT_S = 60.0
_REFUSAL_TIMEOUT_S = 10.0
_PATIENCE_S = 0.2
_END_TIMEOUT_S = 3.0
_LOOK_S = 0.01

Ready = Callable[[int], str | None]


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers: where, its first process, and how long the start took."""

    url: str
    pid: int
    first_answer_s: float

    def memory_mb(self) -> float:
        """Memory of the process and all its children in MB."""
        return sum(map(memory_mb, family(self.pid)))


@dataclass(frozen=True, slots=True)
class Start:
    """How to start a server.

    *ready* gives its address, by its process id, as soon as that is known; *path*, *body* and
    *headers* are the request whose answer ends the start.
    """

    command: Sequence[str]
    ready: Ready
    path: str
    body: bytes
    headers: Mapping[str, str]
    log: Path
    environ: Mapping[str, str] | None = None


@contextmanager
def started(start: Start) -> Iterator[Running]:
    """Run a server on its core until the end of the block; raises Unmeasured if it fails."""
    begin = time.perf_counter()
    with start.log.open("wb") as output, on_core(cores()[0]):
        process = subprocess.Popen(
            start.command,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=None if start.environ is None else dict(start.environ),
        )
    try:
        with on_core(cores()[1]):
            url = _first_answer(process, start)
        yield Running(url, process.pid, time.perf_counter() - begin)
    finally:
        _end(process)


def memory_mb(pid: int) -> float:
    """Memory of one process in MB, what it shares with others counted in proportion (PSS).

    None for an heir, whose memory is its worker's and counted there.
    """
    with suppress(OSError):
        if Path(f"/proc/{pid}/comm").read_text().strip() == HEIR:
            return 0.0
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def family(pid: int) -> list[int]:
    """*pid* and all its descendants."""
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, task.read_text().split())
    return found


def free_port() -> int:
    """A port of the loopback that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


def _first_answer(process: subprocess.Popen[bytes], start: Start) -> str:
    """The address of the server once it has answered.

    Some refuse in many ways while their model loads, so a refusal counts only if it stays.
    """
    until = time.perf_counter() + _START_TIMEOUT_S
    refusal = ""
    while time.perf_counter() < until and process.poll() is None:
        url = start.ready(process.pid)
        if url is not None:
            answered, said = _ask(url, start)
            if answered:
                return url
            if said and not refusal:
                refusal, until = said, min(until, time.perf_counter() + _REFUSAL_TIMEOUT_S)
            refusal = said or refusal
        time.sleep(_LOOK_S)
    last = start.log.read_text(errors="replace").strip().rpartition("\n")[2]
    raise Unmeasured(f"it did not answer: {refusal or last or 'it said nothing'}")


def _ask(url: str, start: Start) -> tuple[bool, str]:
    """Whether the first request is answered, else what a refusal says, "" if nobody is there."""
    request = urllib.request.Request(  # noqa: S310 - ours
        url + start.path, start.body, dict(start.headers), method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - ours
            return answer.status == 200, ""
    except urllib.error.HTTPError as error:
        return False, f"{error.code} {error.read()[:300]!r}"
    except OSError:
        return False, ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server and whatever it started; a second SIGTERM ends Shipway without a drain."""
    with ExitStack() as handles:
        everybody = []
        for pid in family(process.pid):
            with suppress(ProcessLookupError):
                everybody.append(os.pidfd_open(pid))
                handles.callback(os.close, everybody[-1])
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE_S)
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_TIMEOUT_S)
        for handle in everybody:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        process.wait()
