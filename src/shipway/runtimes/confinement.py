"""Processes that may misbehave: started without secrets, held to limits, and ended whole.

A confined process gets an environment of allowed variables alone, no descriptor but those it is
handed, and a session of its own. It dies with the process that started it: the kernel kills its
group when the pipe that only the starter holds open is closed, even while code of a library keeps
Python's lock. What this leaves open: it may use the network, and read what its user may read.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import resource
import secrets
import select
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

NOBODY = 65534
"""The user and group that code of a model becomes where it was started by root."""

_ALLOWED = frozenset({"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH"})
_MARK = "SHIPWAY_CONFINED"
_SET_SIGNAL = 10  # F_SETSIG of fcntl.h, which not every system has
_NO_NEW_PRIVILEGES = 38  # PR_SET_NO_NEW_PRIVS of prctl.h
_LEAST_ADDRESS_SPACE = 4 << 30
_OPEN_FILES = 1024
_LARGEST_FILE = 1 << 30
_KILL_FOR_S = 5.0


def clean_environment(environ: Mapping[str, str], **more: str) -> dict[str, str]:
    """The variables of *environ* that a confined process may know, and *more*."""
    return {name: environ[name] for name in sorted(_ALLOWED & environ.keys())} | more


@dataclass(slots=True)
class Confined:
    """A process that was started by :func:`start`; end it with :meth:`end`."""

    process: subprocess.Popen[bytes]
    mark: str
    held: int

    def end(self, *, grace_s: float = 0.0) -> None:
        """Kill it, its group, and whatever of it went to a group of its own; wait for its end.

        One that is about to end by itself has *grace_s* to do so, and to leave its own exit code.
        """
        if self.held < 0:
            return
        if grace_s:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(grace_s)
        until = time.monotonic() + _KILL_FOR_S
        while time.monotonic() < until:
            _kill(-self.process.pid)
            left = _marked(self.mark)
            if not left:
                break
            for pid in left:
                _kill(pid)
        self.process.wait()
        os.close(self.held)
        self.held = -1

    def ending(self) -> str:
        """How it ended, in words; call it after :meth:`end` or an end of its own."""
        code = self.process.returncode
        if code is not None and code < 0:
            return f"it was killed by {signal.Signals(-code).name}"
        return f"it ended with exit code {code}"


def start(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    pass_fds: Iterable[int],
    output: int,
    folder: Path | None = None,
) -> Confined:
    """Start *command*, which is told the descriptor to watch as its last argument.

    What it prints goes to the descriptor *output*. The program must call :func:`confine` first.
    """
    # A mark begins with that of the process around, which can so end all that is within it.
    mark = f"{os.environ.get(_MARK, '')}/{secrets.token_hex(8)}"
    watched, held = os.pipe()
    try:
        process = subprocess.Popen(
            [*command, str(watched)],
            pass_fds=(*pass_fds, watched),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            env={**environment, _MARK: mark},
            start_new_session=True,
        )
    except BaseException:
        os.close(held)
        raise
    finally:
        os.close(watched)
    return Confined(process, mark, held)


def confine(
    watched: int,
    *,
    memory_bytes: int | None = None,
    processes: int | None = None,
    readable: Sequence[str] = (),
) -> bool:
    """Hold this process to its limits, before any code that is not ours runs.

    *memory_bytes* bounds its address space (that of the machine by default, at least 4 GiB),
    *processes* how many more processes and threads its user may have. Given *readable*, root
    becomes nobody if nobody can read all of that. Returns whether the process is without root.
    """
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _limit(resource.RLIMIT_AS, memory_bytes or max(_LEAST_ADDRESS_SPACE, _machine_bytes()))
    with contextlib.suppress(OSError):  # where memory runs out all the same, this one goes first
        Path("/proc/self/oom_score_adj").write_text("1000")
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if readable:
        _limit(resource.RLIMIT_FSIZE, _LARGEST_FILE)
        _become_nobody(readable)
    if processes is not None:
        _limit(resource.RLIMIT_NPROC, _tasks_of(os.getuid()) + processes)
    # After the change of user: the kernel asks whether that user may send the signal.
    fcntl.fcntl(watched, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(watched, _SET_SIGNAL, signal.SIGKILL)
    flags = fcntl.fcntl(watched, fcntl.F_GETFL)
    fcntl.fcntl(watched, fcntl.F_SETFL, flags | os.O_ASYNC)
    hung_up = select.poll()
    hung_up.register(watched, 0)
    if hung_up.poll(0):  # the starter ended before this process began to watch
        os._exit(1)
    return os.getuid() != 0


def _limit(which: int, most: int) -> None:
    _, hard = resource.getrlimit(which)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(which, (most, most))


def _machine_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _become_nobody(readable: Sequence[str]) -> None:
    """Give up root for good, unless that would take away the interpreter or the model."""
    if os.geteuid() != 0:
        return
    wanted = [(p, os.R_OK | (os.X_OK if Path(p).is_dir() else 0)) for p in readable]
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    able = all(os.access(path, mode, effective_ids=True) for path, mode in wanted)
    os.seteuid(0)
    os.setegid(0)
    if able:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)


def _tasks_of(user: int) -> int:
    """How many processes and threads *user* has, which is what the kernel counts."""
    count = 0
    for folder in _processes():
        with contextlib.suppress(OSError):
            if folder.stat().st_uid == user:
                count += sum(1 for _ in (folder / "task").iterdir())
    return count


def _marked(mark: str) -> list[int]:
    """The living processes that inherited *mark*, or one that begins with it."""
    wanted = f"{_MARK}={mark}".encode()
    found = []
    for folder in _processes():
        with contextlib.suppress(OSError):
            variables = (folder / "environ").read_bytes().split(b"\0")
            if any(variable.startswith(wanted) for variable in variables):
                found.append(int(folder.name))
    return found


def _processes() -> Iterator[Path]:
    return (folder for folder in Path("/proc").iterdir() if folder.name.isdigit())


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
