"""Load from one core: ``wrk`` for HTTP, ``h2load`` for gRPC, both programs of Debian's packages.

Each keeps every connection busy with one request after the other and counts what is answered.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.faults import Unmeasured

_SCALES = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}
_TIMEOUT_S = 120.0
_PACKAGES = {"wrk": "wrk", "h2load": "nghttp2-client"}


@dataclass(frozen=True, slots=True)
class Job:
    """One POST to be sent again and again on so many connections, for whole seconds."""

    url: str
    body: bytes
    headers: Mapping[str, str]
    connections: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of it: answers a second and two quantiles of their latency."""

    per_second: float
    p50_ms: float
    p99_ms: float


def missing(program: str) -> str:
    """How to get *program*, "" if it is there."""
    if shutil.which(program):
        return ""
    return f"{program} is not installed: apt-get install {_PACKAGES[program]}"


def cores() -> tuple[int, int]:
    """The core for the server and the one for the load; the same where there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Within the block, this thread and what it starts run on *core* alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def http(job: Job) -> Loaded:
    """Send *job* with wrk; raises Unmeasured unless every answer was a 2xx."""
    with tempfile.TemporaryDirectory() as folder:
        body, script = Path(folder) / "body", Path(folder) / "job.lua"
        body.write_bytes(job.body)
        lines = ['wrk.method = "POST"', f'wrk.body = io.open({_lua(str(body))}, "rb"):read("*a")']
        lines += [f"wrk.headers[{_lua(k)}] = {_lua(v)}" for k, v in job.headers.items()]
        script.write_text("\n".join(lines), encoding="utf-8")
        options = ["-t1", f"-c{job.connections}", f"-d{job.seconds}s", "--latency"]
        return read_wrk(_run(["wrk", *options, "-s", str(script), job.url]))


def grpc(job: Job) -> Loaded:
    """Send *job*, one framed message, with h2load; raises Unmeasured unless all was answered.

    HTTP says 200 to a gRPC call that failed as well. Such an answer has no message, so the bytes
    of messages are counted, too.
    """
    headers = {"content-type": "application/grpc", "te": "trailers", **job.headers}
    with tempfile.TemporaryDirectory() as folder:
        body, log = Path(folder) / "body", Path(folder) / "log"
        body.write_bytes(job.body)
        options = [f"-D{job.seconds}", f"-c{job.connections}", "-t1", "-m1", f"-d{body}"]
        options += [f"--log-file={log}", *(f"-H{k}: {v}" for k, v in headers.items())]
        said = _run(["h2load", *options, job.url])
        return read_h2load(said, log.read_text(encoding="ascii"))


def _run(command: list[str]) -> str:
    if how := missing(command[0]):
        raise Unmeasured(how)
    try:
        with on_core(cores()[1]):
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S
            )
    except subprocess.TimeoutExpired as error:
        raise Unmeasured(f"{command[0]} did not end within {_TIMEOUT_S:g} s") from error
    if done.returncode:
        raise Unmeasured(f"{command[0]} failed: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


def read_wrk(said: str) -> Loaded:
    """What wrk *said*; raises Unmeasured unless every answer was a 2xx."""
    quantiles = {
        found[1]: float(found[2]) * _SCALES[found[3]]
        for found in re.finditer(r"^\s+(50|99)%\s+([\d.]+)(us|ms|s|m)\s*$", said, re.MULTILINE)
    }
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    errors = re.search(r"Socket errors: (.*)", said)
    if refused or errors:
        raise Unmeasured(f"answers failed: {(refused or errors or [''])[0]}")
    if rate is None or len(quantiles) != 2 or float(rate[1]) == 0:
        raise Unmeasured(f"wrk measured nothing: {said.strip()[-300:]}")
    return Loaded(float(rate[1]), quantiles["50"], quantiles["99"])


def read_h2load(said: str, log: str) -> Loaded:
    """What h2load *said*, with the times in its *log*; raises Unmeasured if any answer failed."""
    rate = re.search(r"finished in [\d.]+\w+, ([\d.]+) req/s", said)
    counts = re.search(
        r"requests: .* (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout",
        said,
    )
    carried = re.search(r"\((\d+)\) data$", said, re.MULTILINE)
    if rate is None or counts is None or carried is None:
        raise Unmeasured(f"h2load said what is not understood: {said.strip()[-300:]}")
    done, succeeded, *failed = (int(count) for count in counts.groups())
    if any(failed) or not done or not float(rate[1]) or int(carried[1]) < 5 * succeeded:
        raise Unmeasured(f"answers failed: {counts[0]}, {carried[1]} bytes of messages")
    times = sorted(int(line.split("\t")[2]) for line in log.splitlines())
    at = len(times) - 1
    return Loaded(float(rate[1]), times[at // 2] / 1e3, times[int(at * 0.99)] / 1e3)


def _lua(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
