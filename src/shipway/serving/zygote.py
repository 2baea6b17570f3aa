"""A process that has the children's libraries loaded and becomes them by fork.

Importing what a worker needs takes half a second, sometimes two; a fork of a process that has
imported it takes ten milliseconds, and the pages of the libraries are shared. The zygote only
imports: it opens no model, no store and no port, and starts no thread, so that what it forks
begins as a fresh process would. The supervisor asks for a child over a socket, one message a
request; the zygote reaps its children and says how they ended, and reaps what they leave behind.
When the supervisor is gone it stays until the last of them is.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

import msgspec

from shipway.errors import UsageError
from shipway.serving.launching import end_group, told_ending

_log = logging.getLogger(__name__)
_SOCKET = "--zygote-socket"
_ADOPT_ORPHANS = 36  # PR_SET_CHILD_SUBREAPER of prctl.h
MESSAGE_BYTES = 1 << 16
Role = Callable[[Sequence[str]], int]


class Begin(msgspec.Struct, frozen=True, tag="begin"):
    """Become a child in *role* with *arguments*."""

    role: str
    arguments: list[str]


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """All is imported; a zygote of more than one thread cannot be forked safely."""

    threads: int


class Began(msgspec.Struct, frozen=True, tag="began"):
    """The child that was asked for runs."""

    pid: int


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """A child has ended, and *how*."""

    pid: int
    how: str


Told = Ready | Began | Ended


def zygote_arguments(descriptor: int) -> list[str]:
    """What is appended to a zygote's command."""
    return [_SOCKET, str(descriptor)]


def read_zygote(arguments: Sequence[str]) -> tuple[socket.socket, list[str]]:
    """The socket to the supervisor that *arguments* name, and the other arguments."""
    rest = list(arguments)
    if _SOCKET not in rest[:-1]:
        raise UsageError(
            f"{_SOCKET} is missing: this program is started by the server alone",
            next_step="run `shipway serve`",
        )
    at = rest.index(_SOCKET)
    conversation = socket.socket(fileno=int(rest[at + 1]))
    del rest[at : at + 2]
    return conversation, rest


def run_zygote(conversation: socket.socket, roles: Mapping[str, Role]) -> int:
    """Fork children as *roles* until the supervisor is gone and they are; the exit code."""
    return _Zygote(conversation, roles).run()


class _Zygote:
    def __init__(self, conversation: socket.socket, roles: Mapping[str, Role]) -> None:
        self._conversation = conversation
        self._roles = roles
        self._children: set[int] = set()
        self._abandoned = False
        self._woken, self._waking = socket.socketpair()
        self._woken.setblocking(False)
        self._waking.setblocking(False)

    def run(self) -> int:
        # A service manager signals every process of a service: this one ends when it is not
        # needed any more. SIGCHLD needs a handler to write to the wake-up descriptor.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, _noticed)
        signal.set_wakeup_fd(self._waking.fileno(), warn_on_full_buffer=False)
        # In a container they would go to its first process, which may be the supervisor.
        ctypes.CDLL(None).prctl(_ADOPT_ORPHANS, 1, 0, 0, 0)
        # What was imported stays for good; left alone, its pages stay shared.
        gc.collect()
        gc.freeze()
        with selectors.DefaultSelector() as selector:
            selector.register(self._conversation, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            self._tell(Ready(_threads()))
            while self._children or not self._abandoned:
                for key, _ in selector.select():
                    if key.fileobj is self._woken:
                        self._woken.recv(4096)
                    elif not self._listen():
                        selector.unregister(self._conversation)
                        self._abandoned = True
                self._reap()
        return 0

    def _listen(self) -> bool:
        """Do what the supervisor asks; False once it is gone."""
        try:
            data = self._conversation.recv(MESSAGE_BYTES)
        except ConnectionError:
            return False
        if not data:
            return False
        asked = msgspec.json.decode(data, type=Begin)
        pid = os.fork()
        if pid == 0:
            self._become(asked)
        self._children.add(pid)
        _lead_group(pid)
        self._tell(Began(pid))
        return True

    def _become(self, asked: Begin) -> NoReturn:
        code = 1
        try:
            _lead_group(0)
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            for mine in (self._conversation, self._woken, self._waking):
                mine.close()
            code = self._roles[asked.role](asked.arguments)
        except BaseException:  # the outermost loop of a process: nothing may return to the zygote
            _log.critical("the process ended by an exception", exc_info=True)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        while (found := _ended()) is not None:
            mine = found.si_pid in self._children
            if mine:
                end_group(found.si_pid)
            _, status = os.waitpid(found.si_pid, 0)
            if mine:
                self._children.remove(found.si_pid)
                self._tell(Ended(found.si_pid, told_ending(os.waitstatus_to_exitcode(status))))

    def _tell(self, message: Told) -> None:
        if self._abandoned:
            return
        try:
            self._conversation.send(msgspec.json.encode(message))
        except (BrokenPipeError, ConnectionError):
            self._abandoned = True


def _noticed(_: int, __: FrameType | None) -> None:
    """The wake-up descriptor has been written to."""


def _ended() -> os.waitid_result | None:
    """A child that has ended, not reaped yet."""
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None


def _lead_group(pid: int) -> None:
    """Make *pid* the leader of a group, from whichever side of the fork comes first."""
    try:
        os.setpgid(pid, pid)
    except (PermissionError, ProcessLookupError):
        return


def _threads() -> int:
    try:
        return len(list(Path("/proc/self/task").iterdir()))
    except OSError:
        return 0
