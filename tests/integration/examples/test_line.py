"""The connection of the example's app, against a server that hangs up."""

from __future__ import annotations

import socket
import threading
from http.client import HTTPException

import pytest

from shipway.examples.flights.asking import Line

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def _answer(listening: socket.socket, connections: int, answer: bytes) -> None:
    """Answer one request on each of so many connections, and hang up."""
    for _ in range(connections):
        connection, _ = listening.accept()
        with connection:
            read = b""
            while not read.endswith(b"body"):
                read += connection.recv(65536)
            connection.sendall(answer)


def test_a_connection_closed_while_it_rested_is_opened_again() -> None:
    """A server that has hung up between two requests costs neither of them."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_answer, args=(listening, 2, _ANSWER))
        thread.start()
        with Line(f"http://127.0.0.1:{listening.getsockname()[1]}", {}) as line:
            assert line.post("/", b"body") == (200, b"ok")
            while not line._closed_there():
                pass
            assert line.post("/", b"body") == (200, b"ok")
        thread.join()


def test_no_answer_is_an_error_and_not_an_end() -> None:
    """A request that is not answered raises, and the next one has a new connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_answer, args=(listening, 2, b""))
        thread.start()
        with Line(f"http://127.0.0.1:{listening.getsockname()[1]}", {}) as line:
            for _ in range(2):
                with pytest.raises((HTTPException, OSError)):
                    line.post("/", b"body")
        thread.join()
