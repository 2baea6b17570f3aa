"""A small proxy before several backends, as a load balancer is: it asks whether they are ready.

It sends each request to a backend that last said it was ready, over connections that it keeps. A
request that has begun is never sent a second time.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.soak.traffic import closed

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_PROBE = b"GET /readyz HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n"


@dataclass
class Backend:
    """Where one is, whether it is ready, and connections to it that rest."""

    port: int
    ready: bool = False
    idle: list[Pair] = field(default_factory=list)
    answered: int = 0


class Proxy:
    """Listens on ``port``; change ``backends`` by :meth:`put` and :meth:`take_away`."""

    def __init__(self, probe_every_s: float) -> None:
        self.port = 0
        self.backends: dict[int, Backend] = {}
        self.ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._probe_every_s = probe_every_s
        self._turn = 0
        self._serving: set[asyncio.Task[object]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    def put(self, port: int) -> None:
        """Have requests sent to *port* once it is ready."""
        self.backends[port] = Backend(port)

    def take_away(self, port: int) -> int:
        """Forget *port*; how many requests it has answered."""
        return self.backends.pop(port).answered

    def ready(self, port: int) -> bool:
        """Whether it was when it was asked last."""
        return self.backends[port].ready

    def end(self) -> None:
        """Close it, from any thread."""
        self._loop.call_soon_threadsafe(self.ended.set)

    async def run(self, started: threading.Event) -> None:
        """Serve until the end."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        probing = asyncio.create_task(self._probe())
        await self.ended.wait()
        server.close()
        probing.cancel()
        await asyncio.wait([probing, *self._serving])
        for writer in self._writers:
            await closed(writer)

    async def _probe(self) -> None:
        while True:
            for backend in list(self.backends.values()):
                backend.ready = await _is_ready(backend.port)
            await asyncio.sleep(self._probe_every_s)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        with contextlib.suppress(OSError, EOFError):
            while True:
                head, body = await _message(reader)
                writer.write(await self._forward(head + body))
        await closed(writer)

    async def _forward(self, request: bytes) -> bytes:
        for backend in self._choice():
            try:
                pair = await self._connection(backend)
            except OSError:  # nobody has seen the request yet: another may have it
                backend.ready = False
                continue
            pair[1].write(request)
            try:
                head, body = await _message(pair[0])
            except (OSError, EOFError):
                pair[1].close()
                break
            backend.answered += 1
            if b"connection: close" in head.lower():
                pair[1].close()
            else:
                backend.idle.append(pair)
            return head + body
        return b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"

    async def _connection(self, backend: Backend) -> Pair:
        while backend.idle:
            reader, writer = backend.idle.pop()
            if not (reader.at_eof() or writer.is_closing()):
                return reader, writer
            writer.close()
        pair = await asyncio.open_connection("127.0.0.1", backend.port)
        self._writers.add(pair[1])
        return pair

    def _choice(self) -> list[Backend]:
        ready = [backend for backend in self.backends.values() if backend.ready]
        self._turn += 1
        first = self._turn % len(ready) if ready else 0
        return ready[first:] + ready[:first]


@contextmanager
def proxy(*ports: int, probe_every_s: float = 0.05) -> Iterator[Proxy]:
    """A proxy before *ports* of this machine, in a thread."""
    started = threading.Event()
    made: list[Proxy] = []

    async def run() -> None:
        made.append(Proxy(probe_every_s))
        for port in ports:
            made[0].put(port)
        await made[0].run(started)

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="proxy")
    thread.start()
    assert started.wait(10)
    try:
        yield made[0]
    finally:
        made[0].end()
        thread.join()


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return head, await reader.readexactly(int(value))
    return head, b""


async def _is_ready(port: int) -> bool:
    try:
        async with asyncio.timeout(1.0):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(_PROBE)
                return b" 200 " in await reader.readline()
            finally:
                await closed(writer)
    except (OSError, TimeoutError):
        return False
