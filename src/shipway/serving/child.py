"""What a child process of the server is given by its supervisor, and how it notices its end.

The supervisor appends a few arguments of its own to a child's command; :func:`read_child` takes
them off again. Each child holds one end of a pipe whose other end only the supervisor has: when
that closes, however the supervisor ended, the child knows that it is alone.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shipway.errors import UsageError

Listening = socket.socket
_NAME, _SOCKET, _WATCH = "--child-name", "--child-socket", "--child-watch"
_GRPC_SOCKET = "--child-grpc-socket"
RETIRE = signal.SIGUSR1
"""Tells a worker to end while its siblings take what comes."""


@dataclass(frozen=True, slots=True)
class Child:
    """A process of the server: its name (``worker-0``, ``control``) and its listening socket.

    ``watch_fd`` reads an end of file once the supervisor is gone; None when there is none.
    ``grpc_socket`` is the worker's for gRPC; None without that.
    """

    name: str
    socket: Listening
    watch_fd: int | None = None
    grpc_socket: Listening | None = None


def child_arguments(
    name: str, socket_fd: int, watch_fd: int, grpc_fd: int | None = None
) -> list[str]:
    """What is appended to a child's command."""
    arguments = [_NAME, name, _SOCKET, str(socket_fd), _WATCH, str(watch_fd)]
    return arguments if grpc_fd is None else [*arguments, _GRPC_SOCKET, str(grpc_fd)]


def read_child(arguments: Sequence[str]) -> tuple[Child, list[str]]:
    """The child that *arguments* describe, and the arguments that are not the supervisor's."""
    rest = list(arguments)
    found: dict[str, str] = {}
    for flag in (_NAME, _SOCKET, _WATCH, _GRPC_SOCKET):
        if flag not in rest[:-1]:
            if flag == _GRPC_SOCKET:
                continue
            raise UsageError(
                f"{flag} is missing: this program is started by the server alone",
                next_step="run `shipway serve`",
            )
        at = rest.index(flag)
        found[flag] = rest[at + 1]
        del rest[at : at + 2]
    listening = socket.socket(fileno=int(found[_SOCKET]))
    grpc = socket.socket(fileno=int(found[_GRPC_SOCKET])) if _GRPC_SOCKET in found else None
    return Child(found[_NAME], listening, int(found[_WATCH]), grpc), rest


def watch_parent(child: Child, orphaned: Callable[[], None]) -> None:
    """Call *orphaned*, in a thread of its own, once the supervisor is gone."""
    if child.watch_fd is None:
        return

    def wait(descriptor: int) -> None:
        while os.read(descriptor, 1):
            pass
        orphaned()

    threading.Thread(target=wait, args=(child.watch_fd,), name="watch-parent", daemon=True).start()
