"""Open-loop traffic: requests go out by the clock, whatever became of those before.

Each request leaves a mark: when it began and ended, its status (0 when it failed), and which
version answered. Connections are kept alive as clients do; one that the server has closed is left
before it is used again. Nothing is tried twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Mark:
    """One request; times are of ``time.monotonic``."""

    began: float
    ended: float
    status: int
    version: str = ""
    error: str = ""
    retry_after: str = ""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began


@dataclass
class Load:
    """Traffic under way; ``marks`` grows."""

    marks: list[Mark] = field(default_factory=list)
    sent: int = 0

    def failed(self) -> list[Mark]:
        """What was not answered with 200."""
        return [mark for mark in self.marks if mark.status != 200]

    def stale(self, since: float, version: str) -> list[Mark]:
        """Requests begun after *since* that another version than *version* answered."""
        return [mark for mark in self.marks if mark.began >= since and mark.version != version]

    def wait_for(self, count: int, timeout_s: float = 60.0) -> None:
        """Wait until *count* more requests are over."""
        wanted, until = len(self.marks) + count, time.monotonic() + timeout_s
        while len(self.marks) < wanted:
            assert time.monotonic() < until, f"{len(self.marks)} of {wanted} requests ended"
            time.sleep(0.01)

    def quantile(self, share: float) -> float:
        """Seconds within which *share* of the requests were over."""
        taken = sorted(mark.seconds for mark in self.marks)
        return taken[min(len(taken) - 1, int(share * len(taken)))]


@contextmanager
def traffic(
    port: int,
    request: bytes | Sequence[bytes],
    *,
    rate: float,
    connections: int = 16,
    context: ssl.SSLContext | None = None,
    timeout_s: float = 10.0,
) -> Iterator[Load]:
    """Send *request* (or several in turn) to *port* of this machine, *rate* times a second.

    *connections* are kept open; more are opened when all are busy. When the block ends, what is
    under way is waited for.
    """
    load = Load()
    ended = threading.Event()
    requests = [request] if isinstance(request, bytes) else list(request)
    sender = _Sender(port, requests, rate, connections, context, timeout_s, load, ended.is_set)
    thread = threading.Thread(target=lambda: asyncio.run(sender.run()), name="traffic")
    thread.start()
    try:
        yield load
    finally:
        ended.set()
        thread.join()
    assert load.marks, "no load was applied"


Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class _Sender:
    port: int
    requests: list[bytes]
    rate: float
    connections: int
    context: ssl.SSLContext | None
    timeout_s: float
    load: Load
    ended: Callable[[], bool]
    idle: list[Pair] = field(default_factory=list)
    under_way: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self) -> None:
        began = time.monotonic()
        while not self.ended():
            due = began + self.load.sent / self.rate
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(min(wait, 0.05))
                continue
            task = asyncio.create_task(self.ask(self.requests[self.load.sent % len(self.requests)]))
            self.load.sent += 1
            self.under_way.add(task)
            task.add_done_callback(self.under_way.discard)
        while self.under_way:
            await asyncio.gather(*self.under_way)
        await asyncio.gather(*(closed(writer) for _, writer in self.idle))

    async def ask(self, request: bytes) -> None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(self.timeout_s):
                status, version, retry = await self._ask(request)
            mark = Mark(began, time.monotonic(), status, version, retry_after=retry)
        except (OSError, EOFError, TimeoutError) as error:
            mark = Mark(began, time.monotonic(), 0, error=repr(error))
        self.load.marks.append(mark)

    async def _ask(self, request: bytes) -> tuple[int, str, str]:
        reader, writer = await self._connection()
        kept = False
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").lower().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines if ": " in line)
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            kept = headers.get("connection") != "close" and len(self.idle) < self.connections
        finally:
            if kept:
                self.idle.append((reader, writer))
            else:
                self.leave(writer)
        status = int(first.split()[1])
        answer = json.loads(body) if status == 200 and body else {}
        return status, str(answer.get("model_version", "")), headers.get("retry-after", "")

    async def _connection(self) -> Pair:
        while self.idle:
            reader, writer = self.idle.pop(0)
            if not (reader.at_eof() or writer.is_closing()):
                return reader, writer
            self.leave(writer)
        host = None if self.context is None else "localhost"
        return await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.context, server_hostname=host
        )

    def leave(self, writer: asyncio.StreamWriter) -> None:
        """Close a connection in its own time."""
        task = asyncio.create_task(closed(writer))
        self.under_way.add(task)
        task.add_done_callback(self.under_way.discard)


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close *writer* and wait until it is."""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
