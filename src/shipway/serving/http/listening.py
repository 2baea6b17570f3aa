"""Accepting connections on a socket that several processes share, and ending them in time.

One connection is accepted a turn of the loop: when several workers wake for the same burst, each
takes a share of it instead of the first taking all. The loop's own server would take all.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Collection
from typing import Protocol

from shipway.serving.http.limits import Limits
from shipway.serving.tls import Certificates

_TICK_S = 0.25
_PAUSE_S = 0.2
_TURNED_AWAY = 32
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Timed(Protocol):
    """A connection, of whatever protocol, as its listener sees it."""

    @property
    def deadline(self) -> float:
        """When :meth:`expire` is due, in the loop's seconds."""

    def expire(self) -> None:
        """The deadline has passed."""

    def close_if_idle(self) -> None:
        """End unless something is being asked or answered, or as soon as that is over."""

    def abort(self) -> None:
        """Close now, whatever is unwritten."""


class Listener:
    """Turns a listening socket into connections; also the clock that their deadlines go by.

    *connections* holds those that *make* has made for as long as they live.
    """

    def __init__(
        self,
        listening: socket.socket,
        connections: Collection[Timed],
        loop: asyncio.AbstractEventLoop,
        *,
        make: Callable[[], asyncio.Protocol],
        limits: Limits,
        accepted: Callable[[], None],
        ticked: Callable[[], None] | None = None,
        certificates: Certificates | None = None,
        handshake_timeout_s: float = 10.0,
    ) -> None:
        self._socket = listening
        self._connections = connections
        self._make = make
        self._limits = limits
        self._ticked = ticked
        self._loop = loop
        self._accepted = accepted
        self._certificates = certificates
        self._handshake_timeout_s = handshake_timeout_s
        self._accepting = False
        self._paused = False
        self._may_turn_away = 0
        self._opening: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Accept from now on."""
        self._socket.setblocking(False)
        self._accepting = True
        self._resume()
        self._tick()

    def stop_accepting(self) -> None:
        """Accept no more; what was accepted goes on."""
        if self._accepting:
            self._accepting = False
            if not self._paused:
                self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    def close(self) -> None:
        """Cut every connection and stop the clock."""
        self.stop_accepting()
        if self._timer is not None:
            self._timer.cancel()
        for connection in list(self._connections):
            connection.abort()

    def close_idle(self) -> None:
        """Close the connections on which nothing is asked."""
        for connection in list(self._connections):
            connection.close_if_idle()

    @property
    def busy(self) -> int:
        """How many connections there are."""
        return len(self._connections) + len(self._opening)

    def _accept(self) -> None:
        if self.busy < self._limits.max_connections:
            self._may_turn_away = 0
        elif self._may_turn_away:
            self._may_turn_away -= 1  # the connection itself says that there is no room
        else:
            self._pause()
            return
        try:
            connection, _ = self._socket.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another worker was quicker, or the client has left
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            self._pause()
            return
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._accepted()
        task: asyncio.Task[object] = self._loop.create_task(self._connect(connection))
        self._opening.add(task)
        task.add_done_callback(self._opened)

    async def _connect(self, connection: socket.socket) -> object:
        """Make a connection of it; with TLS, of a socket that shakes hands in its time."""
        certificates = self._certificates
        if certificates is None:
            return await self._loop.connect_accepted_socket(self._make, connection)
        return await self._loop.connect_accepted_socket(
            self._make,
            connection,
            ssl=certificates.context,
            ssl_handshake_timeout=self._handshake_timeout_s,
            ssl_shutdown_timeout=self._limits.linger_s,
        )

    def _opened(self, task: asyncio.Task[object]) -> None:
        self._opening.discard(task)
        if not task.cancelled():
            task.exception()  # the client left before the connection was made, or shook no hands

    def _pause(self) -> None:
        """Leave new connections to the other workers and to the backlog for a moment."""
        if not self._paused:
            self._paused = True
            self._loop.remove_reader(self._socket.fileno())
            self._loop.call_later(_PAUSE_S, self._resume)

    def _resume(self) -> None:
        if self._paused:  # the other workers had their chance
            self._may_turn_away = _TURNED_AWAY
        self._paused = False
        if self._accepting:
            self._loop.add_reader(self._socket.fileno(), self._accept)

    def _tick(self) -> None:
        if self._ticked is not None:
            self._ticked()
        now = self._loop.time()
        for connection in list(self._connections):
            if now >= connection.deadline:
                connection.expire()
        self._timer = self._loop.call_later(_TICK_S, self._tick)
