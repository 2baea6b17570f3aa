"""Fetching a small document from an address that the settings, or the issuer, name.

Written against server-side request forgery: https only (http on this machine), no redirects, no
proxies, and the address that is connected to is the one that was looked at, so that a name which
resolves anew in between reaches nothing else. httpx was not taken: it has no public place to
look at an address before it is connected to, and importing it costs each worker memory.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any
from urllib.parse import SplitResult, urlencode, urlsplit

from shipway.errors import IssuerUnreachable

MOST_BYTES = 512 * 1024
TIMEOUT_S = 5.0
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[..., Sequence[tuple[Any, Any, Any, Any, Any]]]
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_METADATA = frozenset(
    map(ipaddress.ip_address, ("100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"))
)
"""Where clouds tell a machine its secrets, beside the link-local addresses."""


def fetch(
    url: str,
    *,
    form: Mapping[str, str] | None = None,
    resolve: Resolve = socket.getaddrinfo,
    tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
    timeout_s: float = TIMEOUT_S,
    most_bytes: int = MOST_BYTES,
) -> bytes:
    """The body of a GET of *url*, or of a POST of *form* to it, whole within *timeout_s*.

    Raises :class:`~shipway.errors.IssuerUnreachable` for whatever stands against it.
    """
    parts = _checked(url)
    host = parts.hostname or ""
    secure = parts.scheme == "https"
    until = monotonic() + timeout_s
    try:
        with _connect(host, parts.port or (443 if secure else 80), resolve, timeout_s) as plain:
            connected = _wrapped(plain, host, tls()) if secure else plain
            with connected, _cut(connected, until):
                if isinstance(connected, ssl.SSLSocket):
                    connected.do_handshake()
                return _ask(connected, parts, form, until, most_bytes)
    except (OSError, http.client.HTTPException, ValueError) as error:
        if monotonic() >= until:
            raise _refused(url, f"no answer within {timeout_s:g} s") from error
        raise _refused(url, f"{type(error).__name__}: {error}") from error


def check_address(url: str) -> None:
    """Raise :class:`~shipway.errors.IssuerUnreachable` unless *url* is one that may be asked."""
    _checked(url)


def is_forbidden(address: Address) -> bool:
    """Whether nothing may be fetched from *address*: not a host of its own, or a cloud's metadata.

    An IPv4 address within an IPv6 one (mapped, 6to4, Teredo, NAT64) is looked at as itself.

    >>> is_forbidden(ipaddress.ip_address("::ffff:169.254.169.254"))
    True
    """
    address = _innermost(address)
    odd = address.is_link_local or address.is_multicast or address.is_unspecified
    return odd or (address.is_reserved and not address.is_loopback) or address in _METADATA


def _innermost(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
    if address in _NAT64:
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return inner or address


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        sound = bool(host) and parts.port != 0 and parts.username is None and url.isprintable()
    except ValueError as error:
        raise _refused(url, "it is not an address") from error
    if not sound or " " in url or "\\" in url:
        raise _refused(url, "it is not an address without a user")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_here(host)):
        raise _refused(url, "it does not begin with https://")
    return parts


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _connect(host: str, port: int, resolve: Resolve, timeout_s: float) -> socket.socket:
    found = resolve(host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    for text in addresses:
        address = _innermost(ipaddress.ip_address(text.partition("%")[0]))
        if is_forbidden(address) or (address.is_loopback and not _is_here(host)):
            raise OSError(f"{host} is {text}, from where nothing is fetched")
    failed: OSError = OSError(f"{host} has no address")
    for text in addresses:
        try:
            return socket.create_connection((text, port), timeout=timeout_s)
        except OSError as error:
            failed = error
    raise failed


def _wrapped(plain: socket.socket, host: str, tls: ssl.SSLContext) -> ssl.SSLSocket:
    return tls.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)


def _ask(
    connected: socket.socket,
    parts: SplitResult,
    form: Mapping[str, str] | None,
    until: float,
    most_bytes: int,
) -> bytes:
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
    connection.sock = connected
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"Accept": "application/json", "Host": parts.netloc, "Connection": "close"}
    if form is None:
        connection.request("GET", path, headers=headers)
    else:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request("POST", path, body=urlencode(form), headers=headers)
    with connection.getresponse() as response:
        if response.status != http.client.OK:
            raise OSError(f"it answered {response.status}")
        body = response.read(most_bytes + 1)
        if len(body) > most_bytes:
            raise OSError(f"it is longer than {most_bytes} bytes")
        if response.length:
            raise OSError("it was cut short")
    if monotonic() >= until:
        raise TimeoutError
    return body


@contextmanager
def _cut(connected: socket.socket, until: float) -> Iterator[None]:
    """End a connection that is still at work at *until*: a trickle passes every other timeout."""

    def end() -> None:
        with suppress(OSError):
            # The plain socket's: that of TLS would change what another thread reads from.
            socket.socket.shutdown(connected, socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, until - monotonic()), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _refused(url: str, why: str) -> IssuerUnreachable:
    shown = repr(url[:200])
    return IssuerUnreachable(
        f"{shown} could not be fetched: {why}",
        next_step="see that this server reaches it, or mend auth.issuer and auth.jwks_url",
    )
