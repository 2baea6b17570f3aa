"""An issuer's keys: fetched beside the requests, seldom, safely, and dropped when they are."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.issuers import AUDIENCE, LocalIssuer, encoded, local_issuer, public, token
from tests.serving_rig import eventually

from shipway.errors import IssuerUnreachable, MissingPackage, NotAuthenticated
from shipway.security.callers import Caller
from shipway.security.fetching import fetch
from shipway.security.issuer import Issuer, IssuerOptions
from shipway.security.policy import Scope
from shipway.security.tokens import TokenRules
from shipway.serving.access import Access, Admission, Credentials


@pytest.fixture
def local() -> Iterator[LocalIssuer]:
    """An issuer of this machine."""
    with local_issuer() as started:
        yield started


class Clocks:
    """The time of day and the seconds since the start, both set by hand."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)
        self.seconds = 1000.0

    def day(self) -> datetime:
        return self.now

    def elapsed(self) -> float:
        return self.seconds


@contextmanager
def judging(
    local: LocalIssuer,
    *,
    clocks: Clocks | None = None,
    get: Callable[[str], bytes] = fetch,
    **options: Any,
) -> Iterator[tuple[Issuer, Access]]:
    """A server's side of it, stopped at the end."""
    clocks = clocks or Clocks()
    rules = TokenRules(
        issuer=local.url,
        audience=AUDIENCE,
        algorithms=frozenset({"RS256", "ES256"}),
        grants={"ml.read": (Scope.PREDICT,)},
    )
    issuer = Issuer(
        IssuerOptions(rules=rules, **options), clock=clocks.day, elapsed=clocks.elapsed, get=get
    )
    issuer.start()
    try:
        yield issuer, Access((), Admission(issuer=issuer, clock=clocks.day))
    finally:
        local.hold.set()
        issuer.stop(timeout_s=10)


def ask(access: Access, text: str) -> Caller:
    """The caller of the token *text*."""
    return access.identify(Credentials({b"authorization": f"Bearer {text}".encode()}))


def asked(access: Access, text: str) -> Any:
    """The caller of *text*, or the code of the error."""
    try:
        return ask(access, text).id.rpartition(":")[2]
    except (IssuerUnreachable, NotAuthenticated) as error:
        return error.code


def settled(access: Access, text: str) -> Any:
    """What is answered in the end."""
    eventually(lambda: asked(access, text) != IssuerUnreachable.code)
    return asked(access, text)


def test_ask_again_until_the_keys_are_here(local: LocalIssuer) -> None:
    """Until the keys have come a token is neither good nor bad: ask again in a second."""
    local.hold.clear()
    with judging(local) as (_, access):
        with pytest.raises(IssuerUnreachable, match="being fetched"):
            ask(access, token(local.url))
        local.hold.set()
        assert settled(access, token(local.url)) == "robot"


def test_a_new_key_is_fetched_when_it_is_met(local: LocalIssuer) -> None:
    """A token of a key that is new has the keys fetched once, and is good afterwards."""
    with judging(local) as (_, access):
        assert settled(access, token(local.url)) == "robot"
        local.keys.append(public("EC", 1))
        assert asked(access, token(local.url, number=1)) == IssuerUnreachable.code
        assert settled(access, token(local.url, number=1)) == "robot"
        assert local.fetches == 2


def test_unknown_keys_are_asked_for_once_a_minute(local: LocalIssuer) -> None:
    """A hundred tokens of unknown keys cost the issuer one question a minute, not a hundred."""
    clocks = Clocks()
    with judging(local, clocks=clocks) as (_, access):
        assert settled(access, token(local.url)) == "robot"
        for minute in (1, 2, 3):
            for number in range(100):
                text = token(local.url, header={"kid": f"{minute}-{number}"})
                assert settled(access, text) == NotAuthenticated.code
            assert local.fetches == 1 + minute
            clocks.seconds += 60.0


def test_good_tokens_do_not_wait_for_a_fetch(local: LocalIssuer) -> None:
    """While keys are fetched for a stranger, callers who are known are answered."""
    with judging(local) as (_, access):
        assert settled(access, token(local.url)) == "robot"
        local.hold.clear()
        for _ in range(3):
            stranger = token(local.url, header={"kid": "stranger"})
            assert asked(access, stranger) == IssuerUnreachable.code
            assert asked(access, token(local.url, sub="other")) == "other"
        local.hold.set()
        assert settled(access, stranger) == NotAuthenticated.code


def test_a_dropped_key_drops_who_was_known_by_it(local: LocalIssuer) -> None:
    """Once a key is published no more, a token that was believed by it is believed no more."""
    text, other = token(local.url), token(local.url, kind="RSA", algorithm="RS256")
    with judging(local, refresh_s=0.02) as (_, access):
        assert settled(access, text) == settled(access, other) == "robot"
        local.keys = [public("RSA")]
        eventually(lambda: asked(access, text) != "robot")
        assert settled(access, text) == NotAuthenticated.code
        assert asked(access, other) == "robot"
        local.keys = []
        eventually(lambda: asked(access, other) != "robot")


def test_a_key_is_replaced_under_its_name(local: LocalIssuer) -> None:
    """A key that takes the name of another takes its place."""
    text = token(local.url)
    with judging(local, refresh_s=0.02) as (_, access):
        assert settled(access, text) == "robot"
        local.keys = [public("EC", 1, "EC-0")]
        eventually(lambda: asked(access, text) == NotAuthenticated.code)
        assert asked(access, token(local.url, number=1, header={"kid": "EC-0"})) == "robot"


def test_known_no_longer_than_the_token(local: LocalIssuer) -> None:
    """A caller who is remembered is refused from the moment that the token has ended."""
    clocks = Clocks()
    text = token(local.url, exp=int(clocks.now.timestamp()) + 100)
    with judging(local, clocks=clocks) as (issuer, access):
        assert settled(access, text) == "robot"
        assert len(issuer.known) == 1
        clocks.now += timedelta(seconds=158)
        assert asked(access, text) == "robot"
        clocks.now += timedelta(seconds=3)
        assert asked(access, text) == NotAuthenticated.code


def test_issuer_away(local: LocalIssuer) -> None:
    """While the issuer is away its keys stay good for as long as the settings allow."""
    clocks = Clocks()
    text = token(local.url, exp=int(clocks.now.timestamp()) + 10_000)
    with judging(local, clocks=clocks, max_age_s=3600.0, refresh_s=0.02) as (issuer, access):
        assert settled(access, text) == "robot"
        local.answers = {"/.well-known/openid-configuration": (500, {}, b"")}
        eventually(lambda: issuer._error)
        assert asked(access, text) == "robot"
        assert asked(access, token(local.url, sub="new")) == "new"
        clocks.now += timedelta(seconds=3601)
        with pytest.raises(IssuerUnreachable, match=r"answered 500|being fetched"):
            ask(access, text)
        local.answers = {}
        eventually(lambda: asked(access, text) == "robot")


def test_a_stranger_while_the_issuer_is_away(local: LocalIssuer) -> None:
    """Whether an unknown key is good cannot be told while the issuer is away: ask again."""
    with judging(local) as (issuer, access):
        assert settled(access, token(local.url)) == "robot"
        local.answers = {"/keys": (503, {}, b"")}
        stranger = token(local.url, header={"kid": "stranger"})
        assert asked(access, stranger) == IssuerUnreachable.code
        eventually(lambda: issuer._error)
        assert asked(access, stranger) == IssuerUnreachable.code


KEYS = json.dumps({"keys": []}).encode()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((302, {"Location": "/keys2"}, b""), "answered 302"),
        ((301, {"Location": "http://169.254.169.254/"}, b""), "answered 301"),
        ((404, {}, b""), "answered 404"),
        ((204, {}, b""), "answered 204"),
        ((200, {}, b""), "no JSON Web Key Set"),
        ((200, {}, b"{}"), "no JSON Web Key Set"),
        ((200, {}, b"[]"), "no JSON Web Key Set"),
        ((200, {}, b'{"keys": {}}'), "no list"),
        ((200, {}, b'{"keys": ' + b"[" * 100_000), "no JSON Web Key Set"),
        ((200, {}, json.dumps({"keys": [{}] * 65}).encode()), "no list of 64"),
        ((200, {}, b" " * (512 * 1024 + 1)), "longer than"),
        ((200, {"Content-Length": "99"}, KEYS), "cut short"),
    ],
)
def test_bad_key_sets(local: LocalIssuer, answer: Any, why: str) -> None:
    """What is no key set is said to be none, and leaves the keys before it in place."""
    with judging(local, refresh_s=0.02) as (issuer, access):
        assert settled(access, token(local.url)) == "robot"
        local.answers = {"/keys": answer}
        eventually(lambda: issuer._error)
        assert why in issuer._error
        assert asked(access, token(local.url)) == "robot"
        assert "/keys2" not in local.asked


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"issuer": "http://evil.example", "jwks_uri": "URL/keys"}, "of the issuer 'http://evil"),
        ({"issuer": "URL/", "jwks_uri": "URL/keys"}, "of the issuer"),
        ({"issuer": "URL"}, "lacks"),
        ({"jwks_uri": "URL/keys"}, "lacks"),
        ({"issuer": "URL", "jwks_uri": 7}, "of the issuer"),
        ({"issuer": "URL", "jwks_uri": "http://keys.example/"}, "https"),
        ({"issuer": "URL", "jwks_uri": "file:///etc/passwd"}, "not an address"),
        ({"issuer": "URL", "jwks_uri": "https://169.254.169.254/keys"}, "nothing is fetched"),
        ({}, "lacks"),
        ([], "lacks"),
    ],
)
def test_bad_discovery(local: LocalIssuer, told: Any, why: str) -> None:
    """A discovery document of another issuer, or one that leads elsewhere, leads nowhere."""
    body = json.dumps(told).replace("URL", local.url).encode()
    local.answers = {"/.well-known/openid-configuration": (200, {}, body)}
    with judging(local) as (issuer, access):
        eventually(lambda: why in issuer._error)
        assert asked(access, token(local.url)) == IssuerUnreachable.code
        assert local.fetches == 0


def test_keys_at_an_address(local: LocalIssuer) -> None:
    """Where the settings say where the keys are, discovery is not asked."""
    local.answers = {"/other": (200, {}, json.dumps({"keys": local.keys}).encode())}
    with judging(local, jwks_url=f"{local.url}/other") as (_, access):
        assert settled(access, token(local.url)) == "robot"
        assert local.asked == ["/other"]


def test_odd_keys_are_passed_over(local: LocalIssuer) -> None:
    """Keys of a new kind, without a name or broken, do not spoil the others."""
    local.keys = [
        {"kty": "new", "kid": "EC-0"}, {"kty": "EC"}, {}, 7, {"kid": [1]}, public("EC"),
        {"kty": "oct", "k": encoded(b"x" * 64)}, {"kty": "RSA", "n": "é", "e": "AQAB"},
        {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"},
        {"kty": "RSA", "n": encoded(b"\xff" * 2000), "e": "AQAB"},
        {"kty": "OKP", "crv": "Ed448", "x": encoded(bytes(57))},
    ]  # fmt: skip
    with judging(local) as (_, access):
        assert settled(access, token(local.url)) == "robot"


def test_without_joserfc(local: LocalIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, the error has the line that installs it."""
    monkeypatch.setitem(__import__("sys").modules, "joserfc", None)
    with pytest.raises(MissingPackage) as caught, judging(local):
        pass
    assert 'pip install "shipway[jwt]"' in caught.value.next_step


def test_a_fault_in_the_thread_is_survived(local: LocalIssuer) -> None:
    """Whatever goes wrong while keys are fetched, they are fetched again."""
    broken = threading.Event()
    broken.set()

    def get(url: str) -> bytes:
        if broken.is_set():
            raise ZeroDivisionError("a bug")
        return fetch(url)

    with judging(local, get=get) as (issuer, access):
        eventually(lambda: issuer._error == "ZeroDivisionError")
        broken.clear()
        assert settled(access, token(local.url)) == "robot"
