"""Opening the server's ports: who may be reached from where, and who is in the way."""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shipway.errors import PortInUse, UsageError

_log = logging.getLogger(__name__)
_BACKLOG = 1024


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach *host*.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_exposure(host: str, *, authentication: bool, tls: bool) -> None:
    """Raise UsageError if everybody on the network could call a server that asks for no key.

    Keys that would travel in clear are told of in the log.
    """
    if is_loopback(host):
        return
    if not tls:
        _log.warning(
            "%s can be reached from other machines and keys travel in clear: set"
            " serve.tls_certificate, or put a proxy that speaks TLS before it",
            host,
        )
    if not authentication:
        raise UsageError(
            f"{host} can be reached from other machines and authentication is off",
            next_step="turn serve.authentication on, or set serve.host and serve.control_host"
            " to 127.0.0.1",
        )


def listen(host: str, port: int, *, setting: str) -> socket.socket:
    """A listening socket; port 0 lets the system choose. *setting* is named in the errors.

    Raises :class:`~shipway.errors.PortInUse` with the process that has the port, if it can be
    known, and :class:`~shipway.errors.UsageError` if *host* is not an address of this machine.
    """
    with _told(host, port, setting):
        family = _family(host, port)
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)


def _family(host: str, port: int) -> socket.AddressFamily:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]


@contextmanager
def _told(host: str, port: int, setting: str) -> Iterator[None]:
    """Turn what the system says of an address into what a person can do about it."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            owner = listening_process(port)
            by = "another program" if owner is None else f"process {owner}"
            raise PortInUse(
                f"port {port} of {host} is taken by {by}",
                next_step=f"stop it, or choose another port with {setting}",
            ) from error
        if isinstance(error, PermissionError):
            raise PortInUse(
                f"port {port} of {host} needs rights that this user has not",
                next_step=f"choose a port above 1023 with {setting}",
            ) from error
        raise UsageError(
            f"cannot listen on {host}:{port}: {error.strerror or error}",
            next_step="set serve.host to an address of this machine, 127.0.0.1 for it alone",
        ) from error


def listening_process(port: int) -> int | None:
    """The process that listens on *port*, where the system tells (Linux, same user)."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    if not inodes:
        return None
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(link.readlink()) in inodes:
                return int(link.parts[2])
        except OSError:
            continue
    return None


def url_of(bound: socket.socket, *, tls: bool = False) -> str:
    """Where *bound* can be called: ``http://127.0.0.1:8080``."""
    return f"{'https' if tls else 'http'}://{address_of(bound)}"


def address_of(bound: socket.socket) -> str:
    """Its host and port, as gRPC clients want it: ``127.0.0.1:8082``, ``[::1]:8082``."""
    host, port = bound.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{port}"
