"""Certificates of the gRPC port, read again for new connections once their files have changed.

The listener of HTTP proves a certificate before it takes it; here a pair that does not fit, or a
file that cannot be read, leaves the old one in use and is told of.
"""

from __future__ import annotations

import logging
import ssl
import threading
from pathlib import Path

import grpc

from shipway.errors import ConfigError
from shipway.serving.rpc.options import GrpcOptions
from shipway.serving.tls import check_no_revocations

_log = logging.getLogger(__name__)
_Signature = tuple[tuple[int, int, int], ...]


def credentials(certificate: Path, options: GrpcOptions) -> grpc.ServerCredentials:
    """What opens a port with *certificate*; raises :class:`~shipway.errors.ConfigError`."""
    files = _Files(certificate, options)
    return grpc.dynamic_ssl_server_credentials(
        files.read(),
        files.newest,  # type: ignore[arg-type]  # None is "as before", whatever the stubs say
        require_client_authentication=options.client_ca is not None,
    )


class _Files:
    """The files of one port; gRPC asks in threads of its own, at each handshake."""

    def __init__(self, certificate: Path, options: GrpcOptions) -> None:
        self._certificate = certificate
        self._key = options.key or certificate
        self._client_ca = options.client_ca
        self._lock = threading.Lock()
        self._known = self._seen = self._signature()

    def read(self) -> grpc.ServerCertificateConfiguration:
        """What is in the files now."""
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._certificate, self._key)
            pair = (self._key.read_bytes(), self._certificate.read_bytes())
            trusted = None if self._client_ca is None else self._client_ca.read_bytes()
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"{self._certificate} and {self._key} are no certificate and key: {error}",
                next_step="set serve.tls_certificate and serve.tls_key to a pair in PEM",
            ) from error
        if self._client_ca is not None:
            check_no_revocations(self._client_ca)
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=trusted)

    def newest(self) -> grpc.ServerCertificateConfiguration | None:
        """What has changed since the last time, None for nothing.

        Certificate and key are two files: a change counts once two looks have seen it alike.
        """
        with self._lock:
            signature = self._signature()
            settled, self._seen = signature == self._seen, signature
            if signature == self._known or not settled:
                return None
            self._known = signature
            try:
                fresh = self.read()
            except ConfigError as error:
                _log.error("the old certificate stays in use: %s", error)
                return None
            _log.info("the certificate was read again")
            return fresh

    def _signature(self) -> _Signature:
        paths = (self._certificate, self._key, self._client_ca)
        return tuple(_stamp(path) for path in paths if path is not None)


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_mtime_ns, found.st_size)
