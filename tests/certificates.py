"""Certificates for tests: an authority, and what it issues, good and bad."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shipway.serving.tls import TlsFiles

SERVER = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
_DAY = timedelta(days=1)
_LOCAL = (x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")))


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, in PEM."""

    certificate: bytes
    key: bytes

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Replace both files whole, the key readable by the owner alone."""
        paths = (folder / f"{name}.pem", folder / f"{name}.key")
        for path, content in zip(paths, (self.certificate, self.key), strict=True):
            temporary = path.with_suffix(".new")
            temporary.touch(mode=0o600)
            temporary.write_bytes(content)
            temporary.replace(path)
        return paths

    @property
    def number(self) -> int:
        """The serial number."""
        return x509.load_pem_x509_certificate(self.certificate).serial_number


class Authority:
    """Issues certificates; ``certificate`` is its own."""

    def __init__(self, name: str = "Test authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        made = self._builder(self._name, now - _DAY, now + 30 * _DAY, self._key.public_key())
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self._own = made.sign(self._key, hashes.SHA256())

    @cached_property
    def certificate(self) -> bytes:
        """In PEM."""
        return self._own.public_bytes(serialization.Encoding.PEM)

    def write(self, folder: Path, name: str = "authority", *, revoked: int | None = None) -> Path:
        """Its certificate in a file, with a revocation list if one is *revoked*."""
        path = folder / f"{name}.pem"
        content = self.certificate
        if revoked is not None:
            content += self._revocations(revoked)
        path.write_bytes(content)
        return path

    def issue(
        self,
        name: str = "localhost",
        *,
        usage: x509.ObjectIdentifier = SERVER,
        begins_in: timedelta = -_DAY,
        ends_in: timedelta = 10 * _DAY,
        also: Sequence[x509.GeneralName] = (),
    ) -> Pair:
        """A certificate for *name*, which also holds for this machine, and *also* for others."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = (
            self._builder(subject, now + begins_in, now + ends_in, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName([*_LOCAL, *also]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return Pair(
            made.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )

    def _builder(
        self, subject: x509.Name, begins: datetime, ends: datetime, key: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
        )

    def _revocations(self, number: int) -> bytes:
        now = datetime.now(UTC)
        revoked = (
            x509.RevokedCertificateBuilder().serial_number(number).revocation_date(now).build()
        )
        made = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(now - _DAY)
            .next_update(now + _DAY)
            .add_revoked_certificate(revoked)
            .sign(self._key, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM)


def tls_files(folder: Path, authority: Authority, *, client_ca: Path | None = None) -> TlsFiles:
    """A fresh good pair of *authority* in *folder*, as a server takes it."""
    certificate, key = authority.issue().write(folder, "server")
    return TlsFiles(
        certificate=str(certificate),
        key=str(key),
        client_ca=None if client_ca is None else str(client_ca),
    )


def client_context(folder: Path, authority: Authority, pair: Pair | None = None) -> ssl.SSLContext:
    """A caller who believes *authority*, and shows *pair*."""
    context = ssl.create_default_context(cadata=authority.certificate.decode())
    if pair is not None:
        certificate, key = pair.write(folder, f"client-{pair.number}")
        context.load_cert_chain(certificate, key)
    return context
