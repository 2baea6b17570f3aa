"""Addresses from which nothing is fetched, however they are spelled."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest

from shipway.errors import IssuerUnreachable
from shipway.security.fetching import fetch, is_forbidden

BAD_URLS = [
    "", "keys", "//keys.example", "ftp://keys.example/", "gopher://keys.example/", "file:///etc/passwd",
    "http://keys.example/", "http://10.0.0.1/", "http://127.0.0.1.evil.example/", "http://0/",
    "http://0x7f.1/", "http://2130706433/", "http://017700000001/", "http://[::ffff:7f00:1]:80x/",
    "https://user@keys.example/", "https://user:word@keys.example/", "https://127.0.0.1@keys.example/",
    "https://keys.example:0/", "https://keys.example:99999/", "https://keys.example:x/", "https://",
    "https:///keys", "https://[::1", "https://keys.example /", "https://keys.example\\@127.0.0.1/",
    "https://keys.example/\r\nX: y", "https://keys.example/\x00", "https://keys.example/\u2028",
]  # fmt: skip


class Nowhere:
    """Connects nowhere, and remembers whether it was asked to."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.connected: list[Any] = []

    def resolve(self, host: str, port: int, **_: Any) -> list[tuple[Any, Any, Any, Any, Any]]:
        found = self.addresses or ("93.184.216.34",)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

    def connect(self, address: Any, **_: Any) -> socket.socket:
        self.connected.append(address)
        raise ConnectionRefusedError("nobody is here")


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> Nowhere:
    """Every connection ends here, so that no test leaves the machine."""
    made = Nowhere()
    monkeypatch.setattr("socket.create_connection", made.connect)
    return made


@pytest.mark.parametrize("url", BAD_URLS)
def test_bad_addresses(nowhere: Nowhere, url: str) -> None:
    """What is no plain https address is not even looked up."""
    with pytest.raises(IssuerUnreachable):
        fetch(url, resolve=nowhere.resolve)
    assert nowhere.connected == []


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254", "169.254.170.2", "0.0.0.0", "224.0.0.1", "240.0.0.1", "255.255.255.255",
        "100.100.100.200", "192.0.0.192", "fe80::1", "fe80::a9fe:a9fe", "::", "ff02::1",
        "fd00:ec2::254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1",
    ],
)  # fmt: skip
def test_forbidden_addresses(nowhere: Nowhere, address: str) -> None:
    """A name that leads, among others or alone, to a link-local or metadata address is refused."""
    assert is_forbidden(ipaddress.ip_address(address))
    for addresses in ([address], ["93.184.216.34", address]):
        nowhere.addresses = tuple(addresses)
        with pytest.raises(IssuerUnreachable, match="nothing is fetched"):
            fetch("https://keys.example/", resolve=nowhere.resolve)
    assert nowhere.connected == []


def test_a_name_of_elsewhere_does_not_lead_here(nowhere: Nowhere) -> None:
    """Only a name that says so leads to this machine itself."""
    for address in ("127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"):
        nowhere.addresses = (address,)
        with pytest.raises(IssuerUnreachable, match="nothing is fetched"):
            fetch("https://keys.example/", resolve=nowhere.resolve)
    assert nowhere.connected == []


@pytest.mark.parametrize("address", ["93.184.216.34", "10.1.2.3", "192.168.0.9", "2606:2800::1"])
def test_the_address_looked_at_is_the_address_connected_to(nowhere: Nowhere, address: str) -> None:
    """A name is resolved once: what it resolves to later is of no matter."""
    assert not is_forbidden(ipaddress.ip_address(address))
    nowhere.addresses = (address,)
    with pytest.raises(IssuerUnreachable, match="nobody is here"):
        fetch("https://keys.example:8443/", resolve=nowhere.resolve)
    assert nowhere.connected == [(address, 8443)]


def test_a_name_that_is_not_known(nowhere: Nowhere) -> None:
    """A name that resolves to nothing is told as such."""

    def resolve(*_: Any, **__: Any) -> list[tuple[Any, Any, Any, Any, Any]]:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(IssuerUnreachable, match="Name or service not known"):
        fetch("https://keys.example/", resolve=resolve)
    assert nowhere.connected == []
