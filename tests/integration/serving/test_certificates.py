"""Callers by their certificates, over real TLS: what the loop and gRPC tell of them."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from tests.certificates import CLIENT, Authority, Pair, client_context, tls_files
from tests.serving_rig import MemoryRouting, World, eventually, infer, make_key, running

from shipway.security.certificates import Principals
from shipway.security.policy import Scope
from shipway.serving.access import Admission

NAMES = (x509.DNSName("Batch.example"), x509.UniformResourceIdentifier("spiffe://example/Batch"))
KNOWN = ("dns:localhost", "dns:batch.example", "uri:spiffe://example/Batch")


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Whom both sides trust."""
    return Authority()


@pytest.fixture(scope="module")
def client(authority: Authority) -> Pair:
    """A caller's certificate, of several names."""
    return authority.issue("client", usage=CLIENT, also=NAMES)


def ask(world: World, context: ssl.SSLContext, *headers: str) -> int:
    """The status of an answer."""
    with (
        socket.create_connection(("127.0.0.1", world.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        wrapped.sendall(infer(*headers))
        return int(wrapped.recv(65536).split()[1])


def test_certificates_are_callers(authority: Authority, client: Pair, tmp_path: Path) -> None:
    """Who shows a certificate that is known may what it is granted, and stands in the events."""
    files = tls_files(tmp_path, authority, client_ca=authority.write(tmp_path))
    files = msgspec.structs.replace(files, client_required=False)
    text, record = make_key()
    granted = {"uri:spiffe://example/Batch": (Scope.PREDICT,), "dns:idle.example": (Scope.LABEL,)}
    admission = Admission(principals=Principals(granted))
    idle = authority.issue("idle", usage=CLIENT, also=[x509.DNSName("idle.example")])
    other = authority.issue("other", usage=CLIENT)
    contexts = {pair: client_context(tmp_path, authority, pair) for pair in (client, idle, other)}
    nobody = client_context(tmp_path, authority)
    routing = MemoryRouting(keys=[record])
    with running(tmp_path / "run", routing=routing, tls=files, admission=admission) as world:
        eventually(lambda: ask(world, nobody, f"X-API-Key: {text}") == 200)
        world.sink.appends.clear()
        assert ask(world, contexts[client]) == 200
        assert {event.caller for event in world.sink.events} == {"cert:uri:spiffe://example/Batch"}
        assert ask(world, contexts[client], "X-API-Key: wrong") == 401
        assert ask(world, contexts[idle]) == 403
        assert ask(world, contexts[other]) == 401
        assert ask(world, contexts[other], f"X-API-Key: {text}") == 200
        assert ask(world, nobody) == 401


def test_what_is_told_of_a_certificate(authority: Authority, client: Pair, tmp_path: Path) -> None:
    """A connection knows the names of its certificate, and when that ends."""
    files = tls_files(tmp_path, authority, client_ca=authority.write(tmp_path))
    context = client_context(tmp_path, authority, client)
    with running(tmp_path / "run", tls=files) as world:
        eventually(lambda: ask(world, context) == 200)
        plain = socket.create_connection(("127.0.0.1", world.port))
        with plain, context.wrap_socket(plain, server_hostname="localhost") as wrapped:
            wrapped.sendall(infer())
            wrapped.recv(65536)
            (told,) = world.certificates()
    assert told.names == KNOWN
    assert told.not_after == x509.load_pem_x509_certificate(client.certificate).not_valid_after_utc


def test_a_listener_that_does_not_ask(authority: Authority, client: Pair, tmp_path: Path) -> None:
    """Where nobody verifies certificates, one that is sent lets nobody in."""
    admission = Admission(principals=Principals({name: tuple(Scope) for name in KNOWN}))
    context = client_context(tmp_path, authority, client)
    with running(
        tmp_path / "run", tls=tls_files(tmp_path, authority), admission=admission
    ) as world:
        eventually(lambda: ask(world, context) == 401)
        assert world.certificates() == []
