"""Workers' heirs: what they are, what they are good for, and that none is left behind."""

from __future__ import annotations

import mmap
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.serving_rig import Wire, eventually, infer

from shipway.serving.heir import NAME, memory_shared
from shipway.serving.status import is_alive

if TYPE_CHECKING:
    from tests.serving_processes import Processes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="heirs are made on Linux alone")


def heir_of(worker: int) -> int:
    """The one child of *worker* that goes by the name of heirs."""
    told = Path(f"/proc/{worker}/task/{worker}/children").read_text()
    pids = [int(word) for word in told.split()]
    (found,) = [pid for pid in pids if Path(f"/proc/{pid}/comm").read_text().strip() == NAME]
    return found


def field(pid: int, name: str) -> str:
    """What the system's status of *pid* has under *name*."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (found,) = [line.partition(":")[2].strip() for line in lines if line.startswith(f"{name}:")]
    return found


def maps(pid: int) -> str:
    """How the memory of *pid* is laid out."""
    return Path(f"/proc/{pid}/maps").read_text()


@contextmanager
def halted(*pids: int) -> Iterator[None]:
    """Keep *pids* from doing anything."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def test_it_holds_memory_alone() -> None:
    """An heir has this process's memory and no descriptor, hears no signal, and is reaped."""
    with memory_shared() as heir:
        assert heir is not None
        eventually(lambda: field(heir, "State").startswith("T"))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGCONT):
            os.kill(heir, number)
        room = mmap.mmap(-1, 5 << 20)  # mapped after the heir was made, and the heir has it too
        eventually(lambda: maps(heir) == maps(os.getpid()))
        room.close()
        assert not list(Path(f"/proc/{heir}/fd").iterdir())
        assert is_alive(heir)
    assert not Path(f"/proc/{heir}").exists()


def test_an_heir_that_was_killed() -> None:
    """An heir that somebody ends is missed by nobody."""
    with memory_shared() as heir:
        assert heir is not None
        os.kill(heir, signal.SIGKILL)
        eventually(lambda: not is_alive(heir))


def test_a_killed_worker_hangs_up_first(start: Callable[..., Processes]) -> None:
    """A client sees the end of a killed worker while its memory is there; then that goes too."""
    server = start(workers=1)
    (worker,) = server.pids
    heir, zygote = heir_of(worker), server.zygote
    wire = Wire(server.port).send(infer())
    assert wire.reply().status == 200
    with halted(server.supervisor.pid, zygote):
        os.kill(worker, signal.SIGKILL)
        assert wire.ended()
        assert is_alive(heir)
        assert field(heir, "VmRSS") != "0 kB"
        eventually(lambda: field(heir, "PPid") == str(zygote))
    wire.close()
    eventually(lambda: not Path(f"/proc/{heir}").exists())
    eventually(lambda: server.refilled(worker, 1))


@pytest.mark.parametrize("zygote", [True, False])
def test_it_ends_with_its_worker(start: Callable[..., Processes], zygote: bool) -> None:
    """However a worker was started, its heir ends with it and the next one has another."""
    server = start(workers=1, zygote=zygote)
    (worker,) = server.pids
    heir = heir_of(worker)
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: not is_alive(heir))
    eventually(lambda: server.refilled(worker, 1))
    (successor,) = server.pids
    heir = heir_of(successor)
    server.supervisor.send_signal(signal.SIGTERM)
    assert server.supervisor.wait(15) == 0
    assert not is_alive(heir)


def test_it_ends_without_a_zygote_that_could_end_it(start: Callable[..., Processes]) -> None:
    """The heir of a worker that has lost its zygote, and is killed then, is not left behind."""
    server = start(workers=1)
    (worker,) = server.pids
    heir = heir_of(worker)
    os.kill(server.zygote, signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: not is_alive(heir))
    eventually(lambda: server.refilled(worker, 1))


def test_it_ends_when_everyone_is_killed(start: Callable[..., Processes]) -> None:
    """With supervisor, zygote and worker killed at one time, the system ends the heir."""
    server = start(workers=1)
    (worker,) = server.pids
    heir = heir_of(worker)
    everyone = (server.supervisor.pid, server.zygote, worker)
    with halted(*everyone):
        for pid in everyone:
            os.kill(pid, signal.SIGKILL)
    server.supervisor.wait()
    eventually(lambda: not is_alive(heir))


def test_a_worker_survives_its_zygote(start: Callable[..., Processes]) -> None:
    """A worker whose zygote is killed loses its heir to that, and serves on the same connection."""
    server = start(workers=1)
    (worker,) = server.pids
    heir = heir_of(worker)
    wire = Wire(server.port).send(infer())
    assert wire.reply().status == 200
    os.kill(server.zygote, signal.SIGKILL)
    eventually(lambda: not is_alive(heir))
    assert wire.send(infer()).reply().status == 200
    assert is_alive(worker)
    wire.close()
