"""Ports: whose they are, and who is told."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from shipway.errors import PortInUse, UsageError
from shipway.serving.sockets import check_exposure, listen

if TYPE_CHECKING:
    from tests.serving_processes import Processes


def test_a_port_of_a_stranger_is_not_taken() -> None:
    """A port on which another program listens is refused; who it is, is said."""
    with (
        listen("127.0.0.1", 0, setting="serve.port") as taken,
        pytest.raises(PortInUse, match=r"serve\.grpc_port") as caught,
    ):
        listen("127.0.0.1", taken.getsockname()[1], setting="serve.grpc_port")
    assert "process" in caught.value.message


def test_a_port_can_be_had_again_at_once() -> None:
    """Connections of a server that has just ended do not keep the next one from its port."""
    with listen("127.0.0.1", 0, setting="serve.grpc_port") as listening:
        port = listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = listening.accept()
            accepted.close()
            client.recv(1)
    listen("127.0.0.1", port, setting="serve.grpc_port").close()


def test_the_grpc_port_is_known(start: Callable[..., Processes]) -> None:
    """A server says where gRPC is to be called, and its port is nobody else's."""
    server = start(grpc=True)
    host, _, port = server.record.grpc_url.rpartition(":")
    assert host == "127.0.0.1"
    with pytest.raises(PortInUse):
        listen(host, int(port), setting="serve.grpc_port")


def test_exposure(caplog: pytest.LogCaptureFixture) -> None:
    """Open to others: without keys refused, with keys in clear told of, over TLS well."""
    with caplog.at_level(logging.WARNING):
        check_exposure("127.0.0.1", authentication=False, tls=False)
        check_exposure("0.0.0.0", authentication=True, tls=True)
        assert caplog.text == ""
        check_exposure("0.0.0.0", authentication=True, tls=False)
        assert "serve.tls_certificate" in caplog.text
        with pytest.raises(UsageError, match=r"0\.0\.0\.0"):
            check_exposure("0.0.0.0", authentication=False, tls=True)
