"""Starting a server's children, and how each of them ended.

Every child leads a process group. What is left of the group when its leader has ended, such as
processes in which a model's own code runs, is ended with it before the leader's number is given
back to the system, so that no other process can be meant.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from typing import Protocol

from shipway.serving.plan import ServerPlan


class Process(Protocol):
    """A child that was started."""

    @property
    def pid(self) -> int:
        """Its number."""

    def ending(self) -> str | None:
        """How it ended, None while it runs."""

    def signal(self, number: signal.Signals) -> None:
        """Send it *number*; nothing happens if it has ended."""


class Launcher(Protocol):
    """A way of starting children."""

    def start(self, role: str, arguments: Sequence[str]) -> Process | None:
        """A child in the *role* ``worker`` or ``control``; None if it must be tried again later."""

    def close(self) -> None:
        """Start no more; what was started goes on."""

    def ended(self) -> bool:
        """Whether nothing is left of what it needs for itself."""

    def end(self) -> None:
        """End what is left of it; what it has started was ended before."""


class Spawner:
    """Starts each child as a program of its own."""

    def __init__(self, plan: ServerPlan, descriptors: Sequence[int]) -> None:
        self._commands = {"worker": plan.worker_command, "control": plan.control_command}
        self._descriptors = tuple(descriptors)
        self._environment = None if plan.environment is None else dict(plan.environment)

    def start(self, role: str, arguments: Sequence[str]) -> Process:
        """Start it."""
        return Spawned(
            subprocess.Popen(
                [*self._commands[role], *arguments],
                pass_fds=self._descriptors,
                stdin=subprocess.DEVNULL,
                env=self._environment,
                process_group=0,  # a Ctrl-C in the terminal is the supervisor's to pass on, once
            )
        )

    def close(self) -> None:
        """Nothing is held."""

    def ended(self) -> bool:
        """Nothing is."""
        return True

    def end(self) -> None:
        """Nothing is."""


class Spawned:
    """A program that was started."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid

    def ending(self) -> str | None:
        """How it ended; its group is gone then as well."""
        if self._process.returncode is None:
            options = os.WEXITED | os.WNOHANG | os.WNOWAIT
            if os.waitid(os.P_PID, self.pid, options) is None:
                return None
            end_group(self.pid)
            self._process.wait()
        return told_ending(self._process.returncode)

    def signal(self, number: signal.Signals) -> None:
        """Send it *number*."""
        self._process.send_signal(number)


def end_group(leader: int) -> None:
    """Kill what is left of the process group of *leader*, which has ended and is not reaped yet."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def told_ending(code: int | None) -> str:
    """An exit code as subprocess has it, in words.

    >>> told_ending(3), told_ending(-9)
    ('exit code 3', 'killed by SIGKILL')
    """
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
