"""Callers by the names in their certificates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shipway.errors import NotAuthenticated
from shipway.security.certificates import PeerCertificate, Principals, peer_certificate
from shipway.security.policy import Scope

NOW = datetime(2026, 1, 2, tzinfo=UTC)
PEER = {
    "subject": ((("commonName", "web.example"),),),
    "notAfter": "Jan  3 00:00:00 2026 GMT",
    "subjectAltName": (
        ("DNS", "Web.Example"),
        ("URI", "spiffe://Example/web"),
        ("email", "web@example"),
        ("IP Address", "10.0.0.1"),
        ("DirName", ((("commonName", "x"),),)),
    ),
}


def test_names() -> None:
    """The names with a type are read, host names without regard to case; the end is, too."""
    assert peer_certificate(PEER) == PeerCertificate(
        ("dns:web.example", "uri:spiffe://Example/web", "email:web@example"),
        NOW + timedelta(days=1),
    )


@pytest.mark.parametrize("told", [None, {}])
def test_nobody_verified_it(told: dict[str, Any] | None) -> None:
    """A certificate that was not sent, or not verified, is none."""
    assert peer_certificate(told) is None


def certificate(*names: str) -> PeerCertificate:
    """A certificate of these names."""
    return PeerCertificate(names, NOW + timedelta(days=1))


def test_principals() -> None:
    """The first name that is known is the caller, with its own scopes alone."""
    principals = Principals(
        {"dns:Web.example": (Scope.PREDICT,), "uri:spiffe://x/y": (Scope.VIEW, Scope.LABEL)}
    )
    caller = principals.caller(certificate("email:a@b", "uri:spiffe://x/y", "dns:web.example"), NOW)
    assert (caller.id, caller.scopes) == ("cert:uri:spiffe://x/y", (Scope.VIEW, Scope.LABEL))
    assert principals.caller(certificate("dns:web.example"), NOW).id == "cert:dns:web.example"


@pytest.mark.parametrize(
    "name",
    [
        "dns:*.example", "dns:web.example.", "dns:web.example.evil", "dns:eb.example",
        "web.example", "uri:web.example", "email:web.example",
        "uri:spiffe://X/y", "dns:", "cn:web.example",
    ],
)  # fmt: skip
def test_names_are_compared_whole(name: str) -> None:
    """A name that is nearly that of a caller is nobody's."""
    principals = Principals({"dns:web.example": (Scope.ADMIN,), "uri:spiffe://x/y": (Scope.ADMIN,)})
    with pytest.raises(NotAuthenticated, match="nobody here is called"):
        principals.caller(certificate(name), NOW)


def test_expired_since() -> None:
    """A connection that outlives its certificate is no longer the caller's."""
    principals = Principals({"dns:a": (Scope.PREDICT,)})
    one = certificate("dns:a")
    principals.caller(one, NOW)
    with pytest.raises(NotAuthenticated, match="expired since"):
        principals.caller(one, NOW + timedelta(days=1))
