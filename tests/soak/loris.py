"""Clients that send a byte now and then, to hold a server's connections, beside good ones."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.serving_rig import Wire, infer

HEAD = b"GET /livez HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 1000
BODY = (
    b"POST /v2/models/late/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + b" " * 1000
)


@dataclass
class Traffic:
    """Good requests, one after the other, and how they fared."""

    answered: int = 0
    errors: list[str] = field(default_factory=list)
    slowest_s: float = 0.0


@dataclass(frozen=True)
class Siege:
    """How the slow clients ended: how many were cut, and after how long the last one."""

    cut: int
    seconds: float


def besiege(
    port: int, data: bytes, *, connections: int, begin: int, every_s: float, give_up_s: float
) -> Siege:
    """Send the first *begin* bytes of *data* on each of *connections*, then a byte *every_s*.

    Ends when the server has cut them all, or after *give_up_s*.
    """
    began = time.monotonic()
    clients = {socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(connections)}
    for client in clients:
        client.sendall(data[:begin])
        client.setblocking(False)
    at = begin
    try:
        while clients and time.monotonic() - began < give_up_s and at < len(data):
            time.sleep(every_s)
            for client in list(clients):
                if _is_cut(client, data[at : at + 1]):
                    clients.discard(client)
                    client.close()
            at += 1
        return Siege(connections - len(clients), time.monotonic() - began)
    finally:
        for client in clients:
            client.close()


def _is_cut(client: socket.socket, byte: bytes) -> bool:
    try:
        client.send(byte)
        while client.recv(65536):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    return True


@contextmanager
def good_traffic(port: int, *, every_s: float = 0.002) -> Iterator[Traffic]:
    """Predictions meanwhile, over a connection that is kept."""
    traffic, ending = Traffic(), threading.Event()

    def ask() -> None:
        wire = Wire(port)
        request = infer()
        try:
            while not ending.wait(every_s):
                began = time.monotonic()
                status = wire.send(request).reply().status
                traffic.slowest_s = max(traffic.slowest_s, time.monotonic() - began)
                traffic.answered += 1
                if status != 200:
                    traffic.errors.append(f"status {status}")
        except OSError as error:
            traffic.errors.append(repr(error))
        finally:
            wire.close()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield traffic
    finally:
        ending.set()
        thread.join()
