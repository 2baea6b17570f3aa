"""TLS on both planes: who is let in, what is refused, and certificates that change."""

from __future__ import annotations

import signal
import socket
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest
from tests.certificates import CLIENT, SERVER, Authority, Pair, client_context, tls_files
from tests.serving_rig import Wire, eventually, infer, running
from tests.soak.traffic import traffic

from shipway.errors import ConfigError
from shipway.serving.tls import Certificates, TlsFiles, server_context

if TYPE_CHECKING:
    from tests.serving_processes import Processes

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Who issues what is good."""
    return Authority()


@pytest.fixture
def files(tmp_path: Path, authority: Authority) -> TlsFiles:
    """A good pair."""
    return tls_files(tmp_path, authority)


def ask(port: int, context: ssl.SSLContext) -> int:
    """The status of an inference request over TLS."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        wrapped.sendall(infer(close=True))
        return int(wrapped.recv(65536).split()[1])


def shown(port: int, context: ssl.SSLContext) -> str:
    """The serial number of the certificate that the server shows."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        certificate = wrapped.getpeercert()
        assert certificate is not None
        return str(certificate["serialNumber"])


# ---- files that are no good -----------------------------------------------------------------


def test_a_good_pair(files: TlsFiles, tmp_path: Path, authority: Authority) -> None:
    """A certificate and its key are taken, from two files or from one."""
    assert server_context(files).minimum_version is ssl.TLSVersion.TLSv1_2
    pair = authority.issue()
    both = tmp_path / "both.pem"
    both.touch(mode=0o600)
    both.write_bytes(pair.certificate + pair.key)
    server_context(TlsFiles(certificate=str(both)))


def spoilt(folder: Path, authority: Authority) -> dict[str, tuple[Any, str]]:
    """Changes of good files, and what is said of each."""
    other = authority.issue()
    good = authority.issue()
    pairs = {
        "expired": (authority.issue(begins_in=-3 * DAY, ends_in=-DAY), "has expired"),
        "early": (authority.issue(begins_in=DAY), "is not valid yet"),
        "purpose": (authority.issue(usage=CLIENT), "is not made for servers"),
        "mixed": (Pair(good.certificate, other.key), "is not the key of the certificate"),
        "empty": (Pair(b"", good.key), "no pair in PEM"),
        "no key": (Pair(good.certificate, b"nonsense"), "no pair in PEM"),
    }
    return dict(pairs)


@pytest.mark.parametrize("how", ["expired", "early", "purpose", "mixed", "empty", "no key"])
def test_a_pair_that_is_no_good(tmp_path: Path, authority: Authority, how: str) -> None:
    """What callers would refuse is refused at the start, and the file is named."""
    pair, says = spoilt(tmp_path, authority)[how]
    certificate, key = pair.write(tmp_path, "server")
    with pytest.raises(ConfigError, match=says) as caught:
        server_context(TlsFiles(certificate=str(certificate), key=str(key)))
    assert str(tmp_path) in str(caught.value)
    assert caught.value.next_step


def test_files_that_are_not_there(files: TlsFiles, tmp_path: Path) -> None:
    """A file that cannot be read is named with its setting."""
    for name in ("certificate", "key", "client_ca"):
        broken = msgspec.structs.replace(files, **{name: str(tmp_path / "nowhere")})
        with pytest.raises(ConfigError, match=f"nowhere .serve.tls_{name}. cannot be read"):
            server_context(broken)
    no_authority = msgspec.structs.replace(files, client_ca=files.key)
    with pytest.raises(ConfigError, match=r"tls_client_ca.* holds no certificate"):
        server_context(no_authority)


def test_a_locked_key(files: TlsFiles) -> None:
    """A key with a passphrase is refused; nobody is asked for it on a terminal."""
    from cryptography.hazmat.primitives import serialization as form

    assert files.key is not None
    path = Path(files.key)
    key = form.load_pem_private_key(path.read_bytes(), None)
    locked = form.BestAvailableEncryption(b"secret")
    path.write_bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, locked))
    with pytest.raises(ConfigError, match="locked with a passphrase"):
        server_context(files)


def test_a_key_that_others_have(files: TlsFiles, caplog: pytest.LogCaptureFixture) -> None:
    """A key that others may write is refused; one that everybody may read is told of."""
    assert files.key is not None
    Path(files.key).chmod(0o604)
    server_context(files)
    assert "may read the key" in caplog.text
    Path(files.key).chmod(0o620)
    with pytest.raises(ConfigError, match="others may write"):
        server_context(files)


# ---- files that change ----------------------------------------------------------------------


def test_changes_are_taken_over(files: TlsFiles, tmp_path: Path, authority: Authority) -> None:
    """A changed pair counts once it has come to rest, half of one not at all."""
    certificates = Certificates(files)
    first = certificates.context
    assert not certificates.look()
    pair = authority.issue()
    pair.write(tmp_path, "server")
    assert not certificates.look()
    assert certificates.look()
    assert certificates.context is not first
    assert not certificates.look()


def test_a_broken_change_is_not(
    files: TlsFiles, tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """A broken new file leaves the old one in use and is told of once; mended, it is taken."""
    certificates = Certificates(files)
    first = certificates.context
    Path(files.certificate).write_bytes(b"broken")
    assert not any(certificates.look() for _ in range(4))
    assert certificates.context is first
    assert caplog.text.count("the old certificate stays in use") == 1
    Path(files.certificate).unlink()
    assert not any(certificates.look() for _ in range(4))
    assert certificates.context is first
    authority.issue().write(tmp_path, "server")
    assert any(certificates.look() for _ in range(2))


def test_a_server_that_runs_outlives_its_certificate(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker that is replaced after the certificate has expired begins with it, and says so."""
    certificate, key = authority.issue(begins_in=-3 * DAY, ends_in=-DAY).write(tmp_path, "server")
    Certificates(TlsFiles(certificate=str(certificate), key=str(key)))
    assert "has expired" in caplog.text


# ---- a server -------------------------------------------------------------------------------


@pytest.fixture
def secure(
    start: Callable[..., Processes], files: TlsFiles, authority: Authority, tmp_path: Path
) -> tuple[Processes, ssl.SSLContext]:
    """A server that speaks TLS, and a caller who believes it."""
    return start(workers=2, tls=files), client_context(tmp_path, authority)


def test_both_planes_speak_tls(secure: tuple[Processes, ssl.SSLContext]) -> None:
    """Predictions and administration are answered over TLS 1.3, and HTTP/1.1 is agreed on."""
    server, context = secure
    record = server.record
    assert record.url.startswith("https://")
    assert record.control_url.startswith("https://")
    assert ask(server.port, context) == 200
    assert httpx.get(f"{record.control_url}/livez", verify=context).status_code == 200
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", server.port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        assert (wrapped.version(), wrapped.selected_alpn_protocol()) == ("TLSv1.3", "http/1.1")
        wrapped.sendall(infer())
        assert wrapped.recv(65536).startswith(b"HTTP/1.1 200")
        wrapped.sendall(infer(close=True))
        assert wrapped.recv(65536).startswith(b"HTTP/1.1 200")


def test_old_tls_is_refused(secure: tuple[Processes, ssl.SSLContext]) -> None:
    """Below TLS 1.2 nobody is talked to."""
    server, context = secure
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask(server.port, context)


def test_plain_http_is_closed(secure: tuple[Processes, ssl.SSLContext]) -> None:
    """Plain HTTP on a TLS port is closed, and disturbs nobody."""
    server, context = secure
    wire = Wire(server.port).send(infer())
    wire.socket.settimeout(10)
    answer = b""
    try:
        while data := wire.socket.recv(4096):
            answer += data
    except ConnectionResetError:
        pass
    wire.close()
    assert b"HTTP" not in answer
    assert ask(server.port, context) == 200
    assert "Traceback" not in server.log


def test_slow_hands_are_cut(tmp_path: Path, files: TlsFiles, authority: Authority) -> None:
    """Whoever does not shake hands in time is cut; meanwhile others are served."""
    context = client_context(tmp_path, authority)
    with running(tmp_path / "run", tls=files, tls_handshake_timeout_s=0.5) as world:
        idle = [Wire(world.port) for _ in range(50)]
        eventually(lambda: ask(world.port, context) == 200)
        for wire in idle:
            assert wire.ended()
            wire.close()


def test_reloads_under_load(
    secure: tuple[Processes, ssl.SSLContext], tmp_path: Path, authority: Authority
) -> None:
    """Certificates that change under load are shown to new callers, and no request fails."""
    server, context = secure
    control = int(server.record.control_url.rpartition(":")[2])
    with traffic(server.port, infer(), rate=100, connections=8, context=context) as load:
        load.wait_for(20)
        for _ in range(3):
            pair = authority.issue()
            pair.write(tmp_path, "server")
            wanted = f"{pair.number:X}"
            for port in (server.port, control):
                eventually(
                    lambda port=port, wanted=wanted: (  # type: ignore[misc]
                        {shown(port, context).lstrip("0") for _ in range(6)} == {wanted}
                    )
                )
        (tmp_path / "server.pem").write_text("broken")
        eventually(lambda: server.log.count("the old certificate stays in use") == 3)
        server.supervisor.send_signal(signal.SIGHUP)
        eventually(lambda: "nothing is replaced" in server.log)
        load.wait_for(50)
    assert load.failed() == []


# ---- callers' certificates ------------------------------------------------------------------


def callers(authority: Authority) -> dict[str, Pair]:
    """Certificates that callers may show."""
    return {
        "good": authority.issue("anna", usage=CLIENT),
        "expired": authority.issue("anna", usage=CLIENT, begins_in=-3 * DAY, ends_in=-DAY),
        "early": authority.issue("anna", usage=CLIENT, begins_in=DAY),
        "purpose": authority.issue("anna", usage=SERVER),
        "stranger": Authority("Somebody else").issue("anna", usage=CLIENT),
        "revoked": authority.issue("anna", usage=CLIENT),
    }


def test_only_good_certificates_come_in(tmp_path: Path, authority: Authority) -> None:
    """Expired, early, of another purpose, of a stranger, revoked, or none: nobody gets in."""
    pairs = callers(authority)
    ca = authority.write(tmp_path, "clients", revoked=pairs["revoked"].number)
    files = tls_files(tmp_path, authority, client_ca=ca)
    with running(tmp_path / "run", tls=files) as world:
        good = client_context(tmp_path, authority, pairs["good"])
        eventually(lambda: ask(world.port, good) == 200)
        for name in ("expired", "early", "purpose", "stranger", "revoked", None):
            pair = None if name is None else pairs[name]
            with pytest.raises((ssl.SSLError, ConnectionError, IndexError)):
                ask(world.port, client_context(tmp_path, authority, pair))
        assert ask(world.port, good) == 200


def test_nobody_comes_back_without_being_verified(tmp_path: Path, authority: Authority) -> None:
    """A session is not resumed where certificates are asked for: each handshake verifies anew."""
    ca = authority.write(tmp_path, "clients")
    files = tls_files(tmp_path, authority, client_ca=ca)
    with running(tmp_path / "run", tls=files) as world:
        anna = client_context(tmp_path, authority, authority.issue("anna", usage=CLIENT))
        eventually(lambda: ask(world.port, anna) == 200)
        session: ssl.SSLSession | None = None
        for _ in range(2):
            plain = socket.create_connection(("127.0.0.1", world.port))
            with (
                plain,
                anna.wrap_socket(plain, server_hostname="localhost", session=session) as wrapped,
            ):
                wrapped.sendall(infer(close=True))
                assert b"200" in wrapped.recv(65536)
                assert not wrapped.session_reused
                session = wrapped.session


def test_certificates_may_be_optional(tmp_path: Path, authority: Authority) -> None:
    """Where they are optional a caller may show none, but not a bad one; who it is, is known."""
    pairs = callers(authority)
    ca = authority.write(tmp_path, "clients")
    files = msgspec.structs.replace(
        tls_files(tmp_path, authority, client_ca=ca), client_required=False
    )
    with running(tmp_path / "run", tls=files) as world:
        anybody = client_context(tmp_path, authority)
        eventually(lambda: ask(world.port, anybody) == 200)
        with pytest.raises((ssl.SSLError, ConnectionError, IndexError)):
            ask(world.port, client_context(tmp_path, authority, pairs["stranger"]))
        anna = client_context(tmp_path, authority, pairs["good"])
        plain = socket.create_connection(("127.0.0.1", world.port))
        with plain, anna.wrap_socket(plain, server_hostname="localhost") as wrapped:
            wrapped.sendall(infer())
            wrapped.recv(65536)
            (known,) = world.certificates()
            assert known.names == ("dns:localhost",)


def test_a_certificate_is_asked_for_on_the_control_plane(
    start: Callable[..., Processes], tmp_path: Path, authority: Authority
) -> None:
    """Administration asks for a caller's certificate as the predictions do."""
    ca = authority.write(tmp_path, "clients")
    server = start(tls=tls_files(tmp_path, authority, client_ca=ca))
    url = f"{server.record.control_url}/livez"
    pair = authority.issue("anna", usage=CLIENT)
    good = client_context(tmp_path, authority, pair)
    assert httpx.get(url, verify=good).status_code == 200
    with pytest.raises(httpx.TransportError):
        httpx.get(url, verify=client_context(tmp_path, authority))
