"""The signals that a supervisor is sent, caught and counted."""

from __future__ import annotations

import selectors
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

_CAUGHT = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


@dataclass(slots=True)
class Signals:
    """``ends`` counts SIGTERM and SIGINT, ``hangups`` SIGHUP; SIGCHLD only wakes who waits."""

    selector: selectors.BaseSelector
    reading: socket.socket
    ends: int = 0
    hangups: int = 0

    @classmethod
    @contextmanager
    def caught(cls) -> Iterator[Signals]:
        """Catch them for as long as the context lasts; only in the main thread."""
        reading, writing = socket.socketpair()
        selector = selectors.DefaultSelector()
        reading.setblocking(False)
        writing.setblocking(False)
        selector.register(reading, selectors.EVENT_READ)
        caught = cls(selector, reading)

        def count(number: int, _: FrameType | None) -> None:
            caught.ends += number in (signal.SIGTERM, signal.SIGINT)
            caught.hangups += number == signal.SIGHUP

        before = {number: signal.signal(number, count) for number in _CAUGHT}
        former = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        try:
            yield caught
        finally:
            signal.set_wakeup_fd(former)
            for number, handler in before.items():
                signal.signal(number, handler)
            selector.close()
            reading.close()
            writing.close()

    def wait(self, timeout_s: float) -> None:
        """Sleep until a signal comes, at most *timeout_s*."""
        if self.selector.select(timeout_s):
            self.reading.recv(4096)
