"""The gRPC port with certificates: who is believed, and what happens when the files change."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from tests.grpc_rig import INFER, ask, bearer, infer_request
from tests.serving_rig import World, eventually, running

from shipway.errors import ConfigError
from shipway.security.certificates import Principals
from shipway.security.policy import Scope
from shipway.serving.access import Admission
from shipway.serving.rpc.options import GrpcOptions
from shipway.serving.rpc.tls import credentials

GOOD = infer_request().SerializeToString()
DAY = timedelta(days=1)
PEM = serialization.Encoding.PEM


@dataclass
class Authority:
    """Issues certificates for this machine."""

    key: ec.EllipticCurvePrivateKey
    name: x509.Name

    @classmethod
    def named(cls, name: str) -> Authority:
        named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return cls(ec.generate_private_key(ec.SECP256R1()), named)

    @property
    def pem(self) -> bytes:
        """Its own certificate."""
        built = self._built(self.name, self.key).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        return built.sign(self.key, hashes.SHA256()).public_bytes(PEM)

    def issue(self, folder: Path, name: str, *, ends_in: timedelta = DAY) -> tuple[Path, Path]:
        """A certificate and its key, in files."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        here = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        built = self._built(subject, key, ends_in).add_extension(
            x509.ExtendedKeyUsage(usage), critical=False
        )
        built = built.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name), here]), critical=False
        )
        certificate = folder / f"{name}.pem"
        secret = folder / f"{name}.key"
        certificate.write_bytes(built.sign(self.key, hashes.SHA256()).public_bytes(PEM))
        secret.write_bytes(
            key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        return certificate, secret

    def _built(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, ends_in: timedelta = DAY
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 10 * DAY)
            .not_valid_after(now + ends_in)
        )


@pytest.fixture
def authority() -> Authority:
    """One that server and callers believe."""
    return Authority.named("believed")


def code(
    world: World,
    authority: Authority,
    pair: tuple[Path, Path] | None = None,
    *metadata: tuple[str, str],
) -> str:
    """How a call ends on a new connection that shows *pair*."""
    shown = (None, None) if pair is None else (pair[1].read_bytes(), pair[0].read_bytes())
    made = grpc.ssl_channel_credentials(authority.pem, *shown)
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    with grpc.secure_channel(world.grpc, made, options) as line:
        return ask(line, INFER, GOOD, *metadata).code.name


@pytest.fixture
def mutual(tmp_path: Path, authority: Authority) -> Iterator[World]:
    """A worker whose callers must show a certificate."""
    certificate, key = authority.issue(tmp_path, "server")
    client_ca = tmp_path / "ca.pem"
    client_ca.write_bytes(authority.pem)
    options = GrpcOptions(certificate=certificate, key=key, client_ca=client_ca)
    with running(tmp_path / "run", grpc=options) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        yield world


def test_tls_alone(tmp_path: Path, authority: Authority) -> None:
    """A caller who believes the authority is answered; one without TLS, or of another, is not."""
    certificate, key = authority.issue(tmp_path, "server")
    options = GrpcOptions(certificate=certificate, key=key)
    with running(tmp_path / "run", grpc=options) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        assert code(world, authority) == "OK"
        assert code(world, Authority.named("another")) == "UNAVAILABLE"
        with grpc.insecure_channel(world.grpc) as line:
            assert ask(line, INFER, GOOD).code is grpc.StatusCode.UNAVAILABLE


def test_certificates_of_callers(mutual: World, tmp_path: Path, authority: Authority) -> None:
    """Only a caller with a good certificate of the right authority comes in."""
    assert code(mutual, authority, authority.issue(tmp_path, "caller")) == "OK"
    assert code(mutual, authority) == "UNAVAILABLE"
    stranger = Authority.named("stranger").issue(tmp_path, "stranger")
    assert code(mutual, authority, stranger) == "UNAVAILABLE"
    expired = authority.issue(tmp_path, "expired", ends_in=-DAY)
    assert code(mutual, authority, expired) == "UNAVAILABLE"


def test_a_certificate_is_a_caller(tmp_path: Path, authority: Authority) -> None:
    """A certificate whose name has a right needs no key; another one does, and a bad key counts."""
    certificate, key = authority.issue(tmp_path, "server")
    client_ca = tmp_path / "ca.pem"
    client_ca.write_bytes(authority.pem)
    options = GrpcOptions(certificate=certificate, key=key, client_ca=client_ca)
    admission = Admission(principals=Principals({"dns:scorer": (Scope.PREDICT,)}))
    with running(tmp_path / "run", grpc=options, admission=admission) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        scorer = authority.issue(tmp_path, "scorer")
        assert code(world, authority, scorer) == "OK"
        assert world.sink.events[-1].caller == "cert:dns:scorer"
        assert code(world, authority, authority.issue(tmp_path, "other")) == "UNAUTHENTICATED"
        assert code(world, authority, scorer, bearer("nonsense")) == "UNAUTHENTICATED"


def test_renewal(mutual: World, tmp_path: Path, authority: Authority) -> None:
    """New connections get the new certificate; one that is open goes on."""
    pair = authority.issue(tmp_path, "caller")
    made = grpc.ssl_channel_credentials(authority.pem, pair[1].read_bytes(), pair[0].read_bytes())
    with grpc.secure_channel(mutual.grpc, made) as line:
        assert ask(line, INFER, GOOD).code is grpc.StatusCode.OK
        other = Authority.named("next")
        other.issue(tmp_path, "server")
        eventually(lambda: code(mutual, other, pair) == "OK")
        assert ask(line, INFER, GOOD).code is grpc.StatusCode.OK


def test_a_broken_renewal(
    mutual: World, tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """Files that are no pair leave the old certificate in use, and are told of."""
    pair = authority.issue(tmp_path, "caller")
    (tmp_path / "server.key").write_text("nonsense")

    def told() -> bool:
        assert code(mutual, authority, pair) == "OK"
        return "the old certificate stays in use" in caplog.text

    eventually(told)
    assert code(mutual, authority, pair) == "OK"


@pytest.mark.parametrize("broken", ["missing", "no pair", "revocations"])
def test_no_start(tmp_path: Path, authority: Authority, broken: str) -> None:
    """What cannot be a certificate, or would not be looked at, is refused with the way out."""
    certificate, key = authority.issue(tmp_path, "server")
    client_ca = tmp_path / "ca.pem"
    client_ca.write_bytes(authority.pem)
    match broken:
        case "missing":
            key.unlink()
        case "no pair":
            key.write_bytes(authority.issue(tmp_path, "another")[1].read_bytes())
        case "revocations":
            client_ca.write_bytes(authority.pem + b"-----BEGIN X509 CRL-----\n")
    options = GrpcOptions(certificate=certificate, key=key, client_ca=client_ca)
    with pytest.raises(ConfigError, match=r"no certificate and key|revocation list"):
        credentials(certificate, options)
