"""Confined processes know no secret, keep to their limits, and leave nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.serving_rig import eventually

from shipway.runtimes.confinement import NOBODY, Confined, clean_environment, start
from shipway.serving.status import is_alive

CONFINE = """
import os, subprocess, sys, time
from shipway.runtimes.confinement import confine
watched = int(sys.argv[-1])
"""


@contextmanager
def confined(code: str, *, environ: dict[str, str] | None = None) -> Iterator[tuple[Confined, int]]:
    """A confined process that runs *code*, and the descriptor that reads what it prints."""
    reading, writing = os.pipe()
    process = start(
        [sys.executable, "-u", "-c", CONFINE + code],
        environment=clean_environment(os.environ if environ is None else environ),
        pass_fds=(),
        output=writing,
    )
    os.close(writing)
    try:
        yield process, reading
    finally:
        process.end()
        os.close(reading)


def said(code: str, **environ: str) -> str:
    """What *code* prints until it ends."""
    with confined(code, environ=environ) as (process, reading):
        process.process.wait(30)
        return os.read(reading, 65536).decode()


def test_it_knows_no_secret() -> None:
    """Of the environment only what every program may know is handed on, and no descriptor is."""
    secret = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(secret, True)
    try:
        text = said(
            f"print(sorted(os.environ)); print(os.path.exists('/proc/self/fd/{secret}') and"
            f" os.readlink('/proc/self/fd/{secret}'))",
            PATH="/bin",
            SHIPWAY_KEY="secret",
            AWS_SECRET_ACCESS_KEY="secret",
            PYTHONPATH="/nowhere",
        )
    finally:
        os.close(secret)
    names, descriptor = text.splitlines()
    assert set(names.strip("[]").replace("'", "").split(", ")) <= {
        "LC_CTYPE",
        "PATH",
        "SHIPWAY_CONFINED",
    }
    assert descriptor != os.devnull


def test_its_memory_is_bounded() -> None:
    """It gets an error of its own when it wants more than it was granted."""
    code = """
confine(watched, memory_bytes=1 << 30)
try:
    bytearray(2 << 30)
except MemoryError:
    print("no more")
"""
    assert said(code).strip() == "no more"


def test_its_limits_cannot_be_lifted() -> None:
    """It gains no privilege by programs that it runs, and dumps no memory on the disk."""
    code = """
confine(watched)
import resource
print(open("/proc/self/status").read().count("NoNewPrivs:\\t1"))
print(resource.getrlimit(resource.RLIMIT_CORE))
print(open("/proc/self/oom_score_adj").read().strip())
"""
    assert said(code).split("\n")[:3] == ["1", "(0, 0)", "1000"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root has somebody to become")
def test_root_becomes_nobody_where_nobody_can_read_what_it_needs() -> None:
    """Root is given up for good, but kept where that would take away the model's own files."""
    code = """
from pathlib import Path
import resource
print(confine(watched, readable=[{path!r}], processes=5), os.getuid(), os.getgroups())
"""
    assert said(code.format(path="/usr")) == f"True {NOBODY} []\n"
    hidden = Path("/root/.hidden-from-nobody")
    assert said(code.format(path=str(hidden))).startswith("False 0")


@pytest.mark.skipif(os.getuid() != 0, reason="for other users the limit counts all their processes")
def test_a_fork_bomb_is_bounded() -> None:
    """A user that is not root cannot have more processes than were granted."""
    code = """
confine(watched, readable=["/usr"], processes=5)
count = 0
try:
    while count < 200:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        count += 1
except BlockingIOError:
    print(count < 200)
"""
    assert said(code) == "True\n"


def test_what_went_to_a_session_of_its_own_ends_as_well() -> None:
    """No process that it started outlives its end, wherever in the system that one went."""
    code = """
confine(watched)
for number in range(6):
    child = subprocess.Popen(["sleep", "100"], start_new_session=number % 2 == 0)
    print(child.pid)
print("done")
time.sleep(100)
"""
    with confined(code) as (process, reading):
        text = b""
        while b"done" not in text:
            text += os.read(reading, 65536)
        pids = [int(line) for line in text.split() if line.isdigit()]
        process.end()
    assert len(pids) == 6
    eventually(lambda: not any(map(is_alive, pids)))


def test_it_ends_with_whoever_started_it() -> None:
    """However the starter ends, it ends too, even while C code holds Python's lock."""
    starter = subprocess.Popen(
        [sys.executable, "-c", _STARTER], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    assert is_alive(pid)
    starter.kill()
    starter.communicate()
    eventually(lambda: not is_alive(pid))


_BUSY = (
    CONFINE
    + """
confine(watched)
os.write(1, b"x")
import ctypes
ctypes.PyDLL(None).sleep(100)
"""
)
_STARTER = f"""
import os, sys, time
from shipway.runtimes.confinement import start
reading, writing = os.pipe()
started = start([sys.executable, "-c", {_BUSY!r}], environment={{}}, pass_fds=(), output=writing)
os.read(reading, 1)
print(started.process.pid, flush=True)
time.sleep(100)
"""
