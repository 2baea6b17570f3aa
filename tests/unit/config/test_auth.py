"""What [auth] may say, and what is said of mistakes in it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from shipway.config.auth import AuthSettings, CertificateGrant, Grant, TokenAlgorithm
from shipway.config.load import parse_settings
from shipway.config.write import render_settings
from shipway.errors import ConfigError
from shipway.security.callers import read_grants
from shipway.security.policy import Scope

MINIMAL = """\
[model]
name = "late"
task = "binary-classification"
target = "late"

[[objectives]]
metric = "roc_auc"
at_least = 0.7

[serve]
tls_certificate = "server.pem"
tls_client_ca = "authority.pem"

[auth]
"""
WHOLE = """\
issuer = "https://login.example.org/realms/ml"
audience = "flights"
scopes = ["ml.read = predict", "Domain Users = view label"]
claim = "realm_access.roles"
jwks_url = "https://login.example.org/keys"
algorithms = ["RS256", "Ed25519"]
refresh_s = 60.0
max_age_s = 3600.0
certificates = ["uri:spiffe://example.org/web = predict", "dns:batch.example.org=predict label"]
requests_per_s = 100.0
burst = 500
rows_per_s = 5000.0
special_requests_per_s = ["a1B2c3D4e5F6 = 500", "cert:dns:batch.example.org = 0.5"]
"""


def read(text: str) -> AuthSettings:
    """The section [auth] that *text* says."""
    path = Path("shipway.toml")
    return parse_settings(MINIMAL + text, path=path, environ={}, flags={}).settings.auth


def test_nothing_by_default() -> None:
    """Without a word about it, keys alone let callers in, by asymmetric algorithms if at all."""
    auth = read("")
    assert not auth.known_callers
    assert auth.algorithms == ("RS256", "ES256", "EdDSA")
    assert auth.requests_per_s is auth.rows_per_s is None


def test_all_of_it_comes_back() -> None:
    """What is said is read, written and read again the same."""
    loaded = parse_settings(MINIMAL + WHOLE, path=Path("x"), environ={}, flags={}).settings
    assert loaded.auth.known_callers
    assert read_grants(loaded.auth.scopes, setting="auth.scopes") == {
        "ml.read": (Scope.PREDICT,),
        "Domain Users": (Scope.VIEW, Scope.LABEL),
    }
    again = parse_settings(render_settings(loaded), path=Path("x"), environ={}, flags={})
    assert again.settings == loaded


def test_certificates_are_callers_too() -> None:
    """Certificates alone count as knowing who calls."""
    assert read('certificates = ["dns:a.example = predict"]').known_callers


@pytest.mark.parametrize("kind", [Grant, CertificateGrant])
def test_scopes_are_those_that_there_are(kind: object) -> None:
    """What the settings allow as a scope is what keys may carry, no more and no less."""
    for scope in Scope:
        assert msgspec.convert(f"dns:a = {scope}", kind) == f"dns:a = {scope}"
    for other in ("root", "Predict", "predicts", "predict,view", ""):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(f"dns:a = {other}", kind)


def test_no_shared_secrets() -> None:
    """No algorithm in which whoever checks a token could make one is to be had."""
    assert not [one for one in TokenAlgorithm if one.lower().startswith(("hs", "none"))]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ('algorithms = ["HS256"]', "config.not-allowed"),
        ('algorithms = ["none"]', "config.not-allowed"),
        ("algorithms = []", "config.not-allowed"),
        ('issuer = "http://login.example.org"', "config.not-allowed"),
        ('issuer = "login.example.org"', "config.not-allowed"),
        ('issuer = "https://me@login.example.org"', "config.not-allowed"),
        ('issuer = "https://login.example.org?x=1"', "config.not-allowed"),
        ('issuer = "http://127.0.0.1.evil.example/"', "config.not-allowed"),
        ('jwks_url = "file:///etc/passwd"', "config.not-allowed"),
        ('scopes = ["ml.read"]', "config.not-allowed"),
        ('scopes = ["ml.read = everything"]', "config.not-allowed"),
        ('scopes = [" = predict"]', "config.not-allowed"),
        ('certificates = ["web.example = predict"]', "config.not-allowed"),
        ('certificates = ["ip:10.0.0.1 = predict"]', "config.not-allowed"),
        ('special_requests_per_s = ["a"]', "config.not-allowed"),
        ("requests_per_s = 0", "config.not-allowed"),
        ("requests_per_s = -1", "config.not-allowed"),
        ("burst = 5", "config.missing"),
        ('audience = "flights"', "config.missing"),
        ('scopes = ["a = predict"]', "config.missing"),
        ('certificates = ["dns:a = predict", "dns:a = admin"]', "config.contradiction"),
    ],
)
def test_mistakes(said: str, code: str) -> None:
    """A mistake in [auth] is found before anything is served."""
    if said.startswith(("algorithms", "jwks", "scopes")) and code != "config.missing":
        said = f'issuer = "https://login.example.org"\naudience = "a"\n{said}'
    if said.startswith("issuer") and "audience" not in said:
        said = f'{said}\naudience = "a"'
    if said.startswith("special"):
        said = f"requests_per_s = 1.0\n{said}"
    with pytest.raises(ConfigError) as caught:
        read(said)
    assert [problem.code for problem in caught.value.problems] == [code]


def test_certificates_need_somebody_who_verifies_them() -> None:
    """Callers are not known by certificates that nobody looks at."""
    said = 'certificates = ["dns:a.example = predict"]'
    without = MINIMAL.replace('tls_client_ca = "authority.pem"\n', "")
    with pytest.raises(ConfigError) as caught:
        parse_settings(without + said, path=Path("x"), environ={}, flags={})
    (problem,) = caught.value.problems
    assert "auth.certificates needs serve.tls_client_ca" in problem.message


def test_an_issuer_needs_an_audience() -> None:
    """A token that was made for somebody else must not be good here."""
    with pytest.raises(ConfigError) as caught:
        read('issuer = "https://login.example.org"')
    (problem,) = caught.value.problems
    assert "auth.issuer needs auth.audience" in problem.message
