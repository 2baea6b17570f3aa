"""Who is let in, as the settings say it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.issuers import AUDIENCE, local_issuer, token
from tests.serving_rig import eventually, make_key

from shipway.bootstrap.admission import admitting, check_admission
from shipway.bootstrap.processes import server_plan
from shipway.config.auth import AuthSettings
from shipway.config.settings import ServeSettings
from shipway.errors import (
    IssuerUnreachable,
    MissingPackage,
    NotAuthenticated,
    RateLimited,
    UsageError,
)
from shipway.security.callers import ANONYMOUS
from shipway.security.certificates import PeerCertificate
from shipway.security.policy import Scope
from shipway.serving.access import Access, Credentials
from shipway.serving.sockets import check_exposure

KEYS, NO_KEYS = ServeSettings(), ServeSettings(authentication=False)
CERTIFIED = AuthSettings(certificates=("dns:web.example = predict",))


def bearer(text: str) -> Credentials:
    """What a caller shows."""
    return Credentials({b"authorization": f"Bearer {text}".encode()})


def test_an_issuer(tmp_path: Path) -> None:
    """The issuer, the audience and the mapping of the settings are those that count."""
    with local_issuer() as local:
        auth = AuthSettings(issuer=local.url, audience=AUDIENCE, scopes=("ml.read = label view",))
        with admitting(KEYS, auth, run=tmp_path) as admission:
            access = Access((), admission)

            def known() -> bool:
                try:
                    return bool(access.identify(bearer(token(local.url))))
                except IssuerUnreachable:
                    return False

            eventually(known)
            assert access.identify(bearer(token(local.url))).scopes == (Scope.LABEL, Scope.VIEW)
            for kind, algorithm in (("RSA", "RS256"), ("OKP", "EdDSA")):
                access.identify(bearer(token(local.url, kind=kind, algorithm=algorithm)))


def test_rates(tmp_path: Path) -> None:
    """Rates of requests and rows, and that of one caller, are as the settings say."""
    (text, record), (other, second) = (make_key(salt=salt) for salt in (0, 1))
    auth = AuthSettings(
        requests_per_s=0.01,
        burst=2,
        rows_per_s=0.01,
        special_requests_per_s=(f"{record.id} = 0.5",),
    )
    with admitting(KEYS, auth, run=tmp_path) as admission:
        access = Access([record, second], admission)
        for key, told in ((text, "0.5 requests"), (other, "0.01 requests")):
            for _ in range(2):
                access.allow(bearer(key), Scope.PREDICT)
            with pytest.raises(RateLimited, match=f"{told} a second, 2 at once"):
                access.allow(bearer(key), Scope.PREDICT)
        access.charge(record.id, 1)
        with pytest.raises(RateLimited, match="rows"):
            access.charge(record.id, 1)
    with admitting(KEYS, auth, run=None) as admission:
        access = Access([record], admission)
        for _ in range(9):
            access.allow(bearer(text), Scope.PREDICT)


@pytest.mark.parametrize(
    ("serve", "auth", "on"),
    [
        (KEYS, AuthSettings(), True),
        (NO_KEYS, AuthSettings(), False),
        (NO_KEYS, CERTIFIED, True),
        (NO_KEYS, AuthSettings(issuer="https://a.example", audience="b"), True),
        (NO_KEYS, AuthSettings(requests_per_s=5.0), False),
    ],
)
def test_what_counts_as_authentication(
    tmp_path: Path, serve: ServeSettings, auth: AuthSettings, on: bool
) -> None:
    """Keys, tokens or certificates each count as knowing who calls; rates do not."""
    plan = server_plan(tmp_path, "late", serve, auth=auth, environ={})
    assert plan.authentication is on
    if on:
        check_exposure("0.0.0.0", authentication=plan.authentication, tls=True)
    else:
        with pytest.raises(UsageError, match="authentication is off"):
            check_exposure("0.0.0.0", authentication=plan.authentication, tls=True)


def test_certificates_alone(tmp_path: Path) -> None:
    """Where keys are off and certificates known, a key lets nobody in and nobody is anonymous."""
    text, record = make_key()
    with admitting(NO_KEYS, CERTIFIED, run=tmp_path) as admission:
        access = Access([record], admission)
        certificate = PeerCertificate(("dns:web.example",))
        caller = access.allow(Credentials({}, certificate), Scope.PREDICT)
        assert caller.id == "cert:dns:web.example"
        for credentials in (Credentials({}), bearer(text)):
            with pytest.raises(NotAuthenticated):
                access.identify(credentials)


def test_nobody_is_known(tmp_path: Path) -> None:
    """Where nothing is said of callers and keys are off, everybody is anonymous."""
    with admitting(NO_KEYS, AuthSettings(), run=tmp_path) as admission:
        assert Access((), admission).identify(Credentials({})) is ANONYMOUS


def test_before_the_server_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing package is told at once, with the line that installs it."""
    monkeypatch.setitem(sys.modules, "joserfc", None)
    check_admission(AuthSettings())
    with pytest.raises(MissingPackage) as caught:
        check_admission(AuthSettings(issuer="https://a.example", audience="b"))
    assert 'pip install "shipway[jwt]"' in caught.value.next_step
