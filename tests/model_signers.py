"""Keys, certificates and folders for tests of signatures, made by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shipway.security.chains import chain_of
from shipway.security.curves import PrivateKey, read_private_key
from shipway.security.signatures import Signer

CURVES: Mapping[str, ec.EllipticCurve] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}
_BEGINS = datetime.now(UTC) - timedelta(days=400)
_DAY = timedelta(days=1)


def pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    """*key* as PEM without a passphrase."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def new_key(curve: str = "P-256") -> tuple[PrivateKey, bytes]:
    """A key of *curve*, and its PEM."""
    pem = pem_of(ec.generate_private_key(CURVES[curve]))
    return read_private_key(pem, where="a test"), pem


@dataclass(frozen=True)
class Chain:
    """A signer's certificate by an authority between, by the root; all of it in PEM."""

    key: bytes
    leaf: bytes
    between: bytes
    root: bytes

    @property
    def signer(self) -> Signer:
        """The one who signs with it."""
        key = read_private_key(self.key, where="a test")
        return Signer(key, chain_of(self.leaf + self.between, where="a test"))

    def write(self, folder: Path) -> dict[str, Path]:
        """Each part in a file of its own."""
        folder.mkdir(exist_ok=True)
        paths = {}
        for name in ("key", "leaf", "between", "root"):
            paths[name] = folder / f"{name}.pem"
            paths[name].write_bytes(getattr(self, name))
        return paths


def new_chain(
    *,
    subject: str = "release",
    signs: bool = True,
    code: bool = False,
    authority: bool = True,
    certifies: bool | None = None,
    lasts: timedelta = 900 * _DAY,
    root: tuple[x509.Name, ec.EllipticCurvePrivateKey, bytes] | None = None,
) -> Chain:
    """A chain for *subject*: its certificate *signs*, or signs *code*; it begins 400 days ago.

    Without *authority* the certificate between may not certify others, whatever its key usage
    says (*certifies*, which says the same by default).
    """
    root_name, root_key, root_pem = root or new_root()
    between_key = ec.generate_private_key(ec.SECP256R1())
    between_name = _name("Test between")
    between = _certificate(
        between_name,
        between_key,
        root_name,
        root_key,
        [_constraints(ca=authority), _usage(authority if certifies is None else certifies)],
    )
    key = ec.generate_private_key(ec.SECP384R1())
    extensions: list[x509.ExtensionType] = [_constraints(ca=False), _usage(False, signs=signs)]
    if code:
        extensions.append(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]))
    leaf = _certificate(_name(subject), key, between_name, between_key, extensions, lasts)
    return Chain(pem_of(key), leaf, between, root_pem)


def new_root() -> tuple[x509.Name, ec.EllipticCurvePrivateKey, bytes]:
    """An authority: its name, its key, and its certificate in PEM."""
    key, name = ec.generate_private_key(ec.SECP256R1()), _name("Test root")
    pem = _certificate(name, key, name, key, [_constraints(ca=True), _usage(True)])
    return name, key, pem


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    """*files* in *folder*."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _constraints(*, ca: bool) -> x509.BasicConstraints:
    return x509.BasicConstraints(ca=ca, path_length=None)


def _usage(certifies: bool, *, signs: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signs,
        content_commitment=not signs and not certifies,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certifies,
        crl_sign=certifies,
        encipher_only=False,
        decipher_only=False,
    )


def _certificate(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    extensions: Iterable[x509.ExtensionType],
    lasts: timedelta = 900 * _DAY,
) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_BEGINS)
        .not_valid_after(_BEGINS + lasts)
    )
    for extension in extensions:
        builder = builder.add_extension(
            extension, critical=not isinstance(extension, x509.ExtendedKeyUsage)
        )
    made = builder.sign(issuer_key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM)
