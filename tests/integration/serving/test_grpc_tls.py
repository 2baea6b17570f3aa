"""The gRPC port with certificates: who is believed, and what happens when the files change."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import grpc
import msgspec
import pytest
from cryptography import x509
from tests.certificates import CLIENT, Authority, Pair, client_context, tls_files
from tests.grpc_rig import INFER, ask, bearer, infer_request
from tests.serving_rig import MemoryRouting, World, eventually, make_key, running

from shipway.security.certificates import Principals
from shipway.security.policy import Scope
from shipway.serving.access import Admission
from shipway.serving.rpc.options import GrpcOptions

GOOD = infer_request().SerializeToString()
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def authority() -> Authority:
    """One that server and callers believe."""
    return Authority("believed")


def secure(world: World, authority: Authority, pair: Pair | None = None) -> grpc.Channel:
    """A new connection that shows *pair* and believes *authority*."""
    shown = (None, None) if pair is None else (pair.key, pair.certificate)
    made = grpc.ssl_channel_credentials(authority.certificate, *shown)
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    return grpc.secure_channel(world.grpc, made, options)


def code(
    world: World, authority: Authority, pair: Pair | None = None, *metadata: tuple[str, str]
) -> str:
    """How a call ends on a new connection."""
    with secure(world, authority, pair) as line:
        return ask(line, INFER, GOOD, *metadata).code.name


@pytest.fixture
def mutual(tmp_path: Path, authority: Authority) -> Iterator[World]:
    """A worker whose callers must show a certificate."""
    files = tls_files(tmp_path, authority, client_ca=authority.write(tmp_path))
    with running(tmp_path / "run", tls=files, grpc=GrpcOptions()) as world:
        eventually(lambda: world.grpc)
        yield world


def test_tls_alone(tmp_path: Path, authority: Authority) -> None:
    """A caller who believes the authority is answered; one without TLS, or of another, is not."""
    files = tls_files(tmp_path, authority)
    with running(tmp_path / "run", tls=files, grpc=GrpcOptions()) as world:
        eventually(lambda: code(world, authority) == "OK")
        assert code(world, Authority("another")) == "UNAVAILABLE"
        with grpc.insecure_channel(world.grpc) as line:
            assert ask(line, INFER, GOOD).code is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("offered", [None, ["http/1.1"], ["h2"], ["http/1.1", "h2"]])
def test_http2_must_be_agreed_upon(
    tmp_path: Path, authority: Authority, offered: list[str] | None
) -> None:
    """Who does not ask for HTTP/2 in the handshake is closed; who does is greeted with it."""
    files = tls_files(tmp_path, authority)
    context = client_context(tmp_path, authority)
    if offered is not None:
        context.set_alpn_protocols(offered)
    with running(tmp_path / "run", tls=files, grpc=GrpcOptions()) as world:
        eventually(lambda: code(world, authority) == "OK")
        port = int(world.grpc.rpartition(":")[2])
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as wrapped,
        ):
            assert bool(_received(wrapped)) is (offered is not None and "h2" in offered)


def _received(wrapped: ssl.SSLSocket) -> bytes:
    try:
        return wrapped.recv(1)
    except (ssl.SSLEOFError, ConnectionResetError):
        return b""


def test_certificates_of_callers(mutual: World, authority: Authority) -> None:
    """Only a caller with a good certificate of the right authority comes in."""
    eventually(lambda: code(mutual, authority, authority.issue(usage=CLIENT)) == "OK")
    assert code(mutual, authority) == "UNAVAILABLE"
    assert code(mutual, authority, Authority("other").issue(usage=CLIENT)) == "UNAVAILABLE"
    expired = authority.issue(usage=CLIENT, begins_in=-3 * DAY, ends_in=-DAY)
    assert code(mutual, authority, expired) == "UNAVAILABLE"
    assert code(mutual, authority, authority.issue()) == "UNAVAILABLE"  # it is for servers


def test_a_revoked_certificate(tmp_path: Path, authority: Authority) -> None:
    """A certificate that the revocation list names does not come in; another does."""
    bad, good = authority.issue(usage=CLIENT), authority.issue(usage=CLIENT)
    trusted = authority.write(tmp_path, "clients", revoked=bad.number)
    files = tls_files(tmp_path, authority, client_ca=trusted)
    with running(tmp_path / "run", tls=files, grpc=GrpcOptions()) as world:
        eventually(lambda: code(world, authority, good) == "OK")
        assert code(world, authority, bad) == "UNAVAILABLE"


def test_certificates_may_be_optional(tmp_path: Path, authority: Authority) -> None:
    """Where one may be left out, a key lets in who has none, and a stranger's is refused."""
    key, record = make_key()
    files = tls_files(tmp_path, authority, client_ca=authority.write(tmp_path))
    files = msgspec.structs.replace(files, client_required=False)
    routing = MemoryRouting(keys=[record])
    with running(
        tmp_path / "run", routing=routing, tls=files, authentication=True, grpc=GrpcOptions()
    ) as world:
        eventually(lambda: code(world, authority, None, bearer(key)) == "OK")
        assert code(world, authority) == "UNAUTHENTICATED"
        stranger = Authority("stranger").issue(usage=CLIENT)
        assert code(world, authority, stranger, bearer(key)) == "UNAVAILABLE"


def test_a_certificate_is_a_caller(tmp_path: Path, authority: Authority) -> None:
    """A certificate whose name has a right needs no key; another one does, and a bad key counts."""
    files = tls_files(tmp_path, authority, client_ca=authority.write(tmp_path))
    admission = Admission(principals=Principals({"dns:scorer": (Scope.PREDICT,)}))
    with running(tmp_path / "run", tls=files, grpc=GrpcOptions(), admission=admission) as world:
        scorer = authority.issue(usage=CLIENT, also=[x509.DNSName("scorer")])
        eventually(lambda: code(world, authority, scorer) == "OK")
        assert world.sink.events[-1].caller == "cert:dns:scorer"
        other = authority.issue(usage=CLIENT)
        assert code(world, authority, other) == "UNAUTHENTICATED"
        assert code(world, authority, scorer, bearer("nonsense")) == "UNAUTHENTICATED"


def test_renewal(mutual: World, tmp_path: Path, authority: Authority) -> None:
    """New connections get the new certificate; one that is open goes on."""
    pair = authority.issue(usage=CLIENT)
    with secure(mutual, authority, pair) as line:
        eventually(lambda: ask(line, INFER, GOOD).code is grpc.StatusCode.OK)
        other = Authority("next")
        other.issue().write(tmp_path, "server")
        eventually(lambda: code(mutual, other, pair) == "OK")
        assert ask(line, INFER, GOOD).code is grpc.StatusCode.OK


def test_a_broken_renewal(
    mutual: World, tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """Files that are no pair leave the old certificate in use, and are told of."""
    pair = authority.issue(usage=CLIENT)
    eventually(lambda: code(mutual, authority, pair) == "OK")
    (tmp_path / "server.key").write_text("nonsense")
    eventually(lambda: caplog.text.count("the old certificate stays in use") == 2)
    assert code(mutual, authority, pair) == "OK"
