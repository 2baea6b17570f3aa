"""Callers known by the certificate that their TLS connection was opened with.

The listener has verified the certificate against the authorities that it trusts before anything
here sees it; what is left is which of its names is a caller, and since when it is too old.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from ssl import cert_time_to_seconds
from typing import Any

from shipway.errors import NotAuthenticated
from shipway.security.callers import FOREVER, Caller
from shipway.security.policy import Scope

_KINDS = {"URI": "uri", "DNS": "dns", "email": "email"}


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """A verified certificate: its alternative names (``uri:…``, ``dns:…``, ``email:…``), its end.

    The common name is no name here: it has no type, and RFC 9525 gave it up.
    """

    names: tuple[str, ...]
    not_after: datetime = FOREVER


def peer_certificate(told: Mapping[str, Any] | None) -> PeerCertificate | None:
    """What :meth:`ssl.SSLSocket.getpeercert` told of the client.

    None where there was no certificate or nobody verified it: of such a one Python tells nothing.

    >>> peer_certificate({"subjectAltName": (("DNS", "Scorer.example"),)})
    PeerCertificate(names=('dns:scorer.example',), not_after=datetime.datetime(9999, ...))
    """
    if not told:
        return None
    pairs = told.get("subjectAltName", ())
    names = tuple(_name(_KINDS[kind], value) for kind, value in pairs if kind in _KINDS)
    ends = told.get("notAfter")
    if ends is None:
        return PeerCertificate(names)
    return PeerCertificate(names, datetime.fromtimestamp(cert_time_to_seconds(ends), UTC))


class Principals:
    """Which names of certificates are callers, and what each may do."""

    def __init__(self, grants: Mapping[str, tuple[Scope, ...]] | None = None) -> None:
        self._callers = {
            _folded(name): Caller(f"cert:{_folded(name)}", "", scopes)
            for name, scopes in (grants or {}).items()
        }

    def __len__(self) -> int:
        return len(self._callers)

    def caller(self, certificate: PeerCertificate, now: datetime) -> Caller:
        """The caller that *certificate* names; of several, the first in the certificate.

        Names are compared whole, never by a pattern: a wildcard names nobody. Raises
        :class:`~shipway.errors.NotAuthenticated`.
        """
        if now >= certificate.not_after:
            raise NotAuthenticated(
                "the certificate of this connection has expired since it was opened",
                next_step="renew it and connect again",
            )
        for name in certificate.names:
            caller = self._callers.get(name)
            if caller is not None:
                return caller
        shown = ", ".join(certificate.names[:3])[:200] or "no name"
        raise NotAuthenticated(
            f"nobody here is called by what the certificate says ({shown})",
            next_step="add one of its names to auth.certificates, or send a key",
        )


def _name(kind: str, value: str) -> str:
    return _folded(f"{kind}:{value}")


def _folded(name: str) -> str:
    """*name* as it is compared: host names have no upper and lower case, the others have."""
    return name.lower() if name.startswith("dns:") else name
