"""The supervisor's side of a zygote: asking it for children and hearing of their end."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import subprocess
from collections.abc import Sequence
from time import monotonic

import msgspec

from shipway.serving.launching import Launcher, Process, Spawner, end_group, told_ending
from shipway.serving.plan import ServerPlan
from shipway.serving.status import is_alive
from shipway.serving.zygote import MESSAGE_BYTES, Began, Begin, Ended, Ready, Told, zygote_arguments

_log = logging.getLogger(__name__)
_REPLY_S = 5.0
_SILENCE_S = 1.0
_PATIENCE = 3


def launcher_of(plan: ServerPlan, descriptors: Sequence[int]) -> Launcher:
    """How children of *plan* are started here: from a zygote where the system can do that."""
    if plan.zygote_command is None or not hasattr(os, "pidfd_open"):
        return Spawner(plan, descriptors)
    return Forker(plan, descriptors)


class Forker:
    """Starts children by way of a zygote; a zygote that dies is replaced, its children go on.

    Where none comes to having a child, children are started without: they slow down when they
    end again and again, and say why.
    """

    def __init__(self, plan: ServerPlan, descriptors: Sequence[int]) -> None:
        self._plan = plan
        self._descriptors = tuple(descriptors)
        self._spawner: Spawner | None = None
        self._childless = 0
        self._zygote = _Zygote(plan, self._descriptors)

    def start(self, role: str, arguments: Sequence[str]) -> Process | None:
        """A child in *role*; None as long as the zygote imports, or when it was lost."""
        if self._spawner is not None:
            return self._spawner.start(role, arguments)
        zygote = self._zygote
        zygote.listen()
        if zygote.gone:
            how = zygote.end()
            self._childless = 0 if zygote.has_children else self._childless + 1
            if self._childless >= _PATIENCE:
                return self._spawn(role, arguments, f"{_PATIENCE} zygotes had no child ({how})")
            _log.warning("the zygote ended (%s); another is started", how)
            self._zygote = _Zygote(self._plan, self._descriptors)
            return None
        if zygote.threads is None:
            return None
        if zygote.threads > 1:
            zygote.hang_up()
            return self._spawn(role, arguments, "a library has started a thread")
        return zygote.fork(role, arguments)

    def _spawn(self, role: str, arguments: Sequence[str], why: str) -> Process | None:
        """A child without a zygote, from now on."""
        _log.warning("%s: children are started, not forked", why)
        self._spawner = Spawner(self._plan, self._descriptors)
        return self._spawner.start(role, arguments)

    def close(self) -> None:
        """Let the zygote end when its last child has."""
        self._zygote.hang_up()

    def ended(self) -> bool:
        """Whether the zygote has ended."""
        return self._zygote.process.poll() is not None

    def end(self) -> None:
        """Wait for the zygote, whose children have ended, and kill it if it hangs."""
        self._zygote.hang_up()
        self._zygote.end()


class _Zygote:
    """One zygote process and what it has said."""

    def __init__(self, plan: ServerPlan, descriptors: Sequence[int]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [*(plan.zygote_command or ()), *zygote_arguments(theirs.fileno())],
                pass_fds=(*descriptors, theirs.fileno()),
                stdin=subprocess.DEVNULL,
                env=None if plan.environment is None else dict(plan.environment),
                process_group=0,
            )
        ours.setblocking(False)
        self._socket = ours
        self._began: list[int] = []
        self.endings: dict[int, str] = {}
        self.threads: int | None = None
        self.gone = False
        self.has_children = False

    def fork(self, role: str, arguments: Sequence[str]) -> Process | None:
        """A child; None if the zygote does not answer, which is then taken for dead."""
        try:
            self._socket.send(msgspec.json.encode(Begin(role, list(arguments))))
        except OSError:
            self.gone = True
            return None
        until = monotonic() + _REPLY_S
        while not self._began and not self.gone:
            select.select([self._socket], [], [], 0.1)
            self.listen()
            if monotonic() >= until:
                _log.error("the zygote does not answer")
                self.process.kill()
                self.gone = True
        if not self._began:
            return None
        self.has_children = True
        return Forked(self._began.pop(), self)

    def listen(self) -> None:
        """Take in what was said."""
        while not self.gone:
            try:
                data = self._socket.recv(MESSAGE_BYTES)
            except BlockingIOError:
                return
            except ConnectionError:
                data = b""
            if not data:
                self.gone = True
                return
            match msgspec.json.decode(data, type=Told):
                case Ready(threads):
                    self.threads = threads
                case Began(pid):
                    self._began.append(pid)
                case Ended(pid, how):
                    self.endings[pid] = how

    def hang_up(self) -> None:
        """Ask for nothing any more."""
        self._socket.close()
        self.gone = True

    def end(self) -> str:
        """Wait until it has ended, kill it if it does not; how it ended."""
        try:
            self.process.wait(_REPLY_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.hang_up()
        return told_ending(self.process.returncode)


class Forked:
    """A child that a zygote became, held by a descriptor that means it and no later process."""

    def __init__(self, pid: int, zygote: _Zygote) -> None:
        self.pid = pid
        self._zygote = zygote
        self._how: str | None = None
        self._silent_since: float | None = None
        try:
            self._descriptor = os.pidfd_open(pid)
        except ProcessLookupError:  # it has ended and was reaped already
            self._descriptor = -1

    def ending(self) -> str | None:
        """How it ended, as the zygote has it; that it ended is the system's word."""
        if self._how is None and self._ended():
            self._zygote.listen()
            self._how = self._zygote.endings.pop(self.pid, None)
            if self._how is None and self._nothing_comes():
                self._how = "nobody saw how"
                # The zygote would have ended its group. Its number still means that group, for as
                # long as anybody is in it; somebody alive who has it would be another one.
                if not is_alive(self.pid):
                    end_group(self.pid)
            if self._how is not None and self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1
        return self._how

    def signal(self, number: signal.Signals) -> None:
        """Send it *number*."""
        if self._descriptor >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, number)

    def _ended(self) -> bool:
        return self._descriptor < 0 or bool(select.select([self._descriptor], [], [], 0)[0])

    def _nothing_comes(self) -> bool:
        """Whether the zygote is gone, or has had its time to say how."""
        now = monotonic()
        if self._silent_since is None:
            self._silent_since = now
        return self._zygote.gone or now - self._silent_since > _SILENCE_S
