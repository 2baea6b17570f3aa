"""Certificates of the server's ports: read, proved before they are used, and read again.

A pair of certificate and key is proved by a handshake with itself, in memory: what OpenSSL would
refuse in a caller's hands (expired, not yet valid, made for another purpose, a key that does not
fit) is refused here, with what to do. Files that change are taken over for new connections;
broken ones are told of and leave the old in use.
"""

from __future__ import annotations

import logging
import os
import ssl
import stat
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from shipway.errors import ConfigError

_log = logging.getLogger(__name__)
HTTP_1, HTTP_2 = "http/1.1", "h2"
"""The protocols that a port speaks, as a handshake names them."""
LOOK_EVERY_S = 0.5
_CRL = "-----BEGIN X509 CRL-----"
_DATES = (9, 10)
_FAULTS = {
    9: "is not valid yet; check the clock of this machine",
    10: "has expired; renew it",
    26: "is not made for servers (extended key usage); have one issued for server authentication",
}
"""What OpenSSL's numbers (X509_V_ERR_…) mean to whoever set the files up, and what to do."""


class TlsFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Where a server's certificate is and whose callers it believes; paths are absolute.

    ``key`` None means that the key is in the certificate's file. With ``client_ca`` a caller's
    certificate must come from it; one must be shown unless ``client_required`` is False.
    """

    certificate: str
    key: str | None = None
    client_ca: str | None = None
    client_required: bool = True

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, each once."""
        names = (self.certificate, self.key, self.client_ca)
        return tuple(Path(name) for name in dict.fromkeys(names) if name is not None)


def server_context(
    files: TlsFiles, protocol: str = HTTP_1, *, strict: bool = True
) -> ssl.SSLContext:
    """A context for accepting connections with *files*, proved by a handshake in memory.

    Without *strict* a certificate that is out of its dates is told of and taken: a server that
    runs with one must not lose its workers to it as well.
    Raises :class:`~shipway.errors.ConfigError` with which file is wrong, how, and what to do.
    """
    _check_readable(files)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols([protocol])
    _load_pair(context, files)
    _prove(context, files, strict=strict)
    if files.client_ca is not None:
        _demand_certificates(context, Path(files.client_ca), required=files.client_required)
    return context


class Certificates:
    """The newest good context of some files; ask for it with each new connection.

    Raises :class:`~shipway.errors.ConfigError` at once if they are no good to begin with.
    """

    def __init__(self, files: TlsFiles, protocol: str = HTTP_1) -> None:
        self._files = files
        self._protocol = protocol
        self._signature = self._seen = _signature(files)
        self.context = server_context(files, protocol, strict=False)

    def look(self) -> bool:
        """Take the files over if they have changed and come to rest; whether that was done.

        Certificate and key are two files: a change counts once two looks have seen it alike.
        """
        signature = _signature(self._files)
        settled, self._seen = signature == self._seen, signature
        if signature == self._signature or not settled:
            return False
        self._signature = signature
        try:
            self.context = server_context(self._files, self._protocol)
        except ConfigError as error:
            _log.error("the old certificate stays in use: %s", error, extra={"code": error.code})
            return False
        _log.info("the certificate was read again")
        return True

    def standing(self) -> ssl.SSLContext:
        """A context to hand out once, whose connections are made with the newest one.

        For a server that takes one context for good, as uvicorn does.
        """
        context = server_context(self._files, self._protocol, strict=False)

        def renew(connection: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
            connection.context = self.context

        # Called for every handshake, also of clients that name no server.
        context.sni_callback = renew
        return context


def watch(certificates: Sequence[Certificates], ended: threading.Event) -> threading.Thread:
    """A running thread that looks after all of *certificates* until *ended*."""

    def keep_looking() -> None:
        while not ended.wait(LOOK_EVERY_S):
            for one in certificates:
                one.look()

    thread = threading.Thread(target=keep_looking, name="watch-certificates", daemon=True)
    thread.start()
    return thread


def _signature(files: TlsFiles) -> tuple[tuple[int, ...], ...]:
    """What changes when a file does: written in place, renamed over, or a link turned."""
    return tuple(_signature_of(path) for path in files.paths)


def _signature_of(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)


def _check_readable(files: TlsFiles) -> None:
    for setting, name in (
        ("tls_certificate", files.certificate),
        ("tls_key", files.key),
        ("tls_client_ca", files.client_ca),
    ):
        if name is None:
            continue
        try:
            with Path(name).open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
        except OSError as error:
            raise ConfigError(
                f"{name} (serve.{setting}) cannot be read: {error.strerror}",
                next_step=f"set serve.{setting} to a file in PEM that this user may read",
            ) from error
        if setting == "tls_client_ca" or (setting == "tls_certificate" and files.key is not None):
            continue
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ConfigError(
                f"others may write to the key {name}",
                next_step=f"take that from them: chmod go-w {name}",
            )
        if mode & stat.S_IROTH:
            _log.warning("everybody on this machine may read the key %s: chmod o-r it", name)


def _load_pair(context: ssl.SSLContext, files: TlsFiles) -> None:
    asked = False

    def no_passphrase() -> str:
        nonlocal asked
        asked = True
        return ""

    key = files.key or files.certificate
    try:
        context.load_cert_chain(files.certificate, files.key, password=no_passphrase)
    except ssl.SSLError as error:
        if asked:
            told, next_step = (
                "is locked with a passphrase",
                "keep it unlocked, readable by you alone",
            )
        elif error.reason == "KEY_VALUES_MISMATCH":
            told = f"is not the key of the certificate {files.certificate}"
            next_step = "set serve.tls_certificate and serve.tls_key to files of one pair"
        else:
            told = f"and the certificate {files.certificate} are no pair in PEM ({_reason(error)})"
            next_step = "check both with `openssl x509 -in FILE` and `openssl pkey -in FILE`"
        raise ConfigError(f"the key {key} {told}", next_step=next_step) from error


def _prove(context: ssl.SSLContext, files: TlsFiles, *, strict: bool) -> None:
    """Shake hands with a caller who trusts this very certificate and nothing else."""
    caller = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    caller.check_hostname = False
    caller.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    caller.load_verify_locations(cafile=files.certificate)
    to_server, to_caller = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = context.wrap_bio(to_server, to_caller, server_side=True)
    theirs = caller.wrap_bio(to_caller, to_server)
    try:
        for _ in range(6):
            for side in (theirs, ours):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    continue
    except ssl.SSLCertVerificationError as error:
        told = _FAULTS.get(error.verify_code, f"is refused: {error.verify_message}")
        if error.verify_code in _DATES and not strict:
            _log.error("the certificate %s %s", files.certificate, told)
            return
        raise ConfigError(
            f"the certificate {files.certificate} {told.partition('; ')[0]}",
            next_step=told.partition("; ")[2] or "have a certificate issued for this server",
        ) from error
    except ssl.SSLError as error:
        raise ConfigError(
            f"nobody could talk TLS with the certificate {files.certificate}: {_reason(error)}",
            next_step="have a certificate issued for this server, with an RSA key of 2048 bits or"
            " an elliptic one of 256",
        ) from error


def _demand_certificates(context: ssl.SSLContext, path: Path, *, required: bool) -> None:
    context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    try:
        context.load_verify_locations(cafile=path)
        if _has_revocations(path):
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    except ssl.SSLError as error:
        raise ConfigError(
            f"{path} (serve.tls_client_ca) holds no certificate in PEM ({_reason(error)})",
            next_step="set serve.tls_client_ca to the certificate of who issues those of callers",
        ) from error
    # A resumed session is not verified again: a certificate that has expired or was revoked
    # meanwhile would go on.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0


def _has_revocations(path: Path) -> bool:
    return _CRL in path.read_text(encoding="ascii", errors="replace")


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()
