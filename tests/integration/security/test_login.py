"""People log in at a real issuer, are known by a cookie until they log out, and nobody else is."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from tests.issuers import AUDIENCE, LocalIssuer, local_issuer
from tests.serving_rig import eventually
from tests.unit.serving.test_gatekeeper import Services

from shipway.domain.times import system_clock
from shipway.security.acting import Actor
from shipway.security.audit import Entry
from shipway.security.fetching import fetch
from shipway.security.issuer import Issuer, IssuerOptions
from shipway.security.login import Client, new_attempt, seal
from shipway.security.policy import Scope
from shipway.security.sessions import Sessions
from shipway.security.tokens import TokenRules
from shipway.serving.access import Admission
from shipway.serving.control_routes import make_application
from shipway.serving.gatekeeper import Gatekeeper
from shipway.serving.login import Login, LoginOptions

BASE = "http://127.0.0.1:8081"
PROMOTE = "/v1/endpoints/late/promote"


class House:
    """A control plane that people log in to at *local*."""

    def __init__(self, run: Path, local: LocalIssuer, **options: Any) -> None:
        self.ahead = timedelta(0)
        self.told: list[tuple[Entry, Actor]] = []
        self.services = Services()
        grants = {"ml.read": (Scope.VIEWER,), "ml.ops": (Scope.APPROVER,)}
        rules = TokenRules(
            issuer=local.url, audience=AUDIENCE, algorithms=frozenset({"ES256"}), grants=grants
        )
        self.issuer = Issuer(IssuerOptions(rules=rules, people=True))
        self.issuer.start()
        secret = str(options.pop("secret", ""))
        self.login = Login(
            self.issuer,
            Sessions(life=timedelta(hours=8), random=os.urandom),
            LoginOptions(
                client=Client(id=local.client, secret=secret), issuer=local.url, **options
            ),
            random=os.urandom,
            tell=self.refused,
            exchange=fetch,
            clock=lambda: system_clock() + self.ahead,
        )
        self._gate = Gatekeeper(
            make_application(self.services, run),
            keys=lambda: (),
            admission=Admission(issuer=self.issuer),
            host="127.0.0.1",
            refusals=self,
            login=self.login,
        )

    def refused(self, entry: Entry, actor: Actor) -> None:
        self.told.append((entry, actor))

    def ask(self, browser: httpx.Cookies, method: str, path: str, **sent: Any) -> httpx.Response:
        """One request of the *browser*, which remembers cookies."""
        headers = {"Origin": BASE} if method != "GET" else {}
        if method != "GET":
            headers["Content-Type"] = "application/json"
            sent.setdefault("content", b"{}")
        headers |= sent.pop("headers", {})

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self._gate, raise_app_exceptions=False)
            async with httpx.AsyncClient(
                transport=transport, base_url=BASE, cookies=browser
            ) as client:
                reply = await client.request(
                    method, path, headers={k: v for k, v in headers.items() if v}, **sent
                )
                browser.update(client.cookies)
                return reply

        return asyncio.run(send())

    def sent_back(self, browser: httpx.Cookies) -> str:
        """Where the issuer sends the browser back to, once it asked to log in."""
        asked = self.ask(browser, "GET", "/login")
        assert asked.status_code == 302, asked.text
        back = httpx.get(asked.headers["location"])
        assert back.status_code == 302, back.text
        return str(back.headers["location"])

    def logged_in(self) -> httpx.Cookies:
        """The cookies of one who has logged in."""
        browser = httpx.Cookies()
        reply = self.ask(browser, "GET", self.sent_back(browser))
        assert reply.status_code == 200, reply.text
        return browser


def ready(house: House) -> None:
    """Wait until the issuer has told where people log in."""
    eventually(lambda: house.issuer._published.endpoints != ("", ""))


@pytest.fixture
def local() -> Iterator[LocalIssuer]:
    """An issuer with one person."""
    with local_issuer() as issuer:
        yield issuer


@pytest.fixture
def house(tmp_path: Path, local: LocalIssuer) -> Iterator[House]:
    """A control plane on plain HTTP, for a public client."""
    made = House(tmp_path, local)
    ready(made)
    yield made
    made.issuer.stop()


def test_login_and_logout(house: House) -> None:
    """One who logs in may do what his claims allow, is named in what he does, and logs out."""
    nobody = httpx.Cookies()
    assert house.ask(nobody, "GET", "/v1/status").status_code == 401
    browser = house.logged_in()
    assert house.ask(browser, "GET", "/v1/status").status_code == 200
    assert house.ask(browser, "POST", PROMOTE).status_code == 200
    assert house.services.actors[0].id.startswith("jwt:")
    assert house.services.actors[0].id.endswith(":anna")
    assert "anna" in house.services.moves[0].names
    assert house.ask(browser, "POST", "/v1/labels", content=b'{"labels": []}').status_code == 403
    kept = httpx.Cookies(browser)
    assert house.ask(browser, "POST", "/logout").status_code == 204
    for cookies in (browser, kept):
        assert house.ask(cookies, "GET", "/v1/status").status_code == 401
    events = [(entry.what, entry.outcome) for entry, _ in house.told if "session" in entry.what]
    assert events == [("session.begin", "done"), ("session.end", "done")]


def test_a_person_without_a_role(house: House, local: LocalIssuer) -> None:
    """Whom nobody gave a role may log in, and do nothing."""
    local.person = {"sub": "ben", "scope": "nothing"}
    browser = house.logged_in()
    for method, path in (("GET", "/v1/status"), ("GET", "/metrics"), ("POST", PROMOTE)):
        assert house.ask(browser, method, path).status_code == 403


def test_the_question(house: House, local: LocalIssuer) -> None:
    """The issuer is asked for a code with a state, a nonce and a challenge, each new every time."""
    asked = [urlsplit(house.ask(httpx.Cookies(), "GET", "/login").headers["location"])
             for _ in range(2)]  # fmt: skip
    first, second = (parse_qs(one.query) for one in asked)
    assert f"{asked[0].scheme}://{asked[0].netloc}" == local.url
    assert first["response_type"] == ["code"]
    assert first["code_challenge_method"] == ["S256"]
    assert first["redirect_uri"] == [f"{BASE}/login/callback"]
    assert "openid" in first["scope"][0].split()
    for name in ("state", "nonce", "code_challenge"):
        assert len(first[name][0]) == 43
        assert first[name] != second[name]


def test_cookies(tmp_path: Path, house: House, local: LocalIssuer) -> None:
    """No script reads the cookie and no other site sends it; with TLS it never goes in clear."""
    browser = httpx.Cookies()
    reply = house.ask(browser, "GET", house.sent_back(browser))
    (session,) = [
        c for c in reply.headers.get_list("set-cookie") if c.startswith("shipway_session")
    ]
    assert "; HttpOnly; SameSite=Strict" in session
    assert "; Path=/; Max-Age=28800" in session
    assert "Secure" not in session
    assert reply.headers["cache-control"] == "no-store"
    secure = House(tmp_path, local, secure=True, public_url="https://ml.example.org/")
    ready(secure)
    asked = secure.ask(httpx.Cookies(), "GET", "/login")
    where = parse_qs(urlsplit(asked.headers["location"]).query)
    assert where["redirect_uri"] == ["https://ml.example.org/login/callback"]
    attempt = asked.headers["set-cookie"]
    assert attempt.startswith("__Secure-shipway_login=")
    assert attempt.endswith("; HttpOnly; SameSite=Lax; Secure")
    _, text = secure.login._set("__Host-shipway_session", "x", 1, "Strict", "/")
    assert text.endswith(b"; HttpOnly; SameSite=Strict; Secure")
    secure.issuer.stop()


def test_answers_to_other_questions(house: House, local: LocalIssuer) -> None:
    """An answer without its question, of another issuer, or with another code lets nobody in."""
    browser = httpx.Cookies()
    back = house.sent_back(browser)
    stranger = httpx.Cookies()
    house.ask(stranger, "GET", "/login")
    code = parse_qs(urlsplit(back).query)["code"][0]
    state = parse_qs(urlsplit(back).query)["state"][0]
    bad = [
        (httpx.Cookies(), back, 401),
        (stranger, back, 401),
        (browser, f"/login/callback?code={code}&state=other", 401),
        (browser, f"/login/callback?code={code}", 401),
        (browser, f"/login/callback?code={code}&state={state}&state={state}", 401),
        (browser, f"/login/callback?code={code}&state={state}&iss=http://evil.example", 401),
        (browser, f"/login/callback?error=access_denied&state={state}", 401),
        (browser, f"/login/callback?code=guessed&state={state}", 503),
    ]
    for cookies, place, status in bad:
        assert house.ask(cookies, "GET", place).status_code == status, place
    assert not house.login.sessions._open
    assert house.ask(browser, "GET", back).status_code == 200
    replayed = httpx.Cookies()
    for name, value in (("shipway_login", seal(new_attempt(os.urandom, system_clock()), b"k")),):
        replayed.set(name, value)
    assert house.ask(replayed, "GET", back).status_code == 401
    assert len([e for e, _ in house.told if e.outcome == "refused"]) == len(bad) + 1


@pytest.mark.parametrize(
    "said",
    [
        {"nonce": "other"},
        {"nonce": None},
        {"aud": AUDIENCE},
        {"aud": "other"},
        {"azp": "other"},
        {"aud": ["console", "other"]},
        {"iss": "http://evil.example"},
        {"exp": 1},
        {"sub": None},
        {"kind": "EC", "number": 7},
    ],
    ids=str,
)
def test_bad_identity_tokens(house: House, local: LocalIssuer, said: dict[str, Any]) -> None:
    """An identity token for another login, client or time, or of another key, lets nobody in."""
    local.person = {**local.person, **said}
    browser = httpx.Cookies()
    assert house.ask(browser, "GET", house.sent_back(browser)).status_code in (401, 503)
    assert not house.login.sessions._open


def test_sessions_end(house: House) -> None:
    """A session ends with its time, and an attempt to log in sooner."""
    browser, late = house.logged_in(), httpx.Cookies()
    back = house.sent_back(late)
    house.ahead = timedelta(minutes=10, seconds=1)
    assert house.ask(late, "GET", back).status_code == 401
    assert house.ask(browser, "GET", "/v1/status").status_code == 200
    house.ahead = timedelta(hours=8, seconds=1)
    assert house.ask(browser, "GET", "/v1/status").status_code == 401
    assert not house.login.sessions._open


def test_a_session_changes_nothing_from_elsewhere(house: House) -> None:
    """With a cookie what changes something must say that it comes from here; two are none."""
    browser = house.logged_in()
    for origin in ("http://evil.example", "null", ""):
        reply = house.ask(browser, "POST", PROMOTE, headers={"Origin": origin})
        assert reply.status_code == 403, origin
    assert house.ask(browser, "POST", "/logout", headers={"Origin": "null"}).status_code == 403
    text = browser["shipway_session"]
    for cookie in (
        f"shipway_session={text}; shipway_session={text}",
        f"shipway_session={text[:-1]}",
    ):
        reply = house.ask(httpx.Cookies(), "GET", "/v1/status", headers={"Cookie": cookie})
        assert reply.status_code == 401
    assert house.services.moves == []


def test_a_secret_is_sent_where_there_is_one(tmp_path: Path, local: LocalIssuer) -> None:
    """A confidential client proves itself; without the secret the issuer gives nothing."""
    local.secret = "s3cret&="
    for secret, status in (("s3cret&=", 200), ("wrong", 503)):
        house = House(tmp_path, local, secret=secret)
        ready(house)
        browser = httpx.Cookies()
        reply = house.ask(browser, "GET", house.sent_back(browser))
        assert reply.status_code == status
        assert secret not in reply.text
        house.issuer.stop()


def test_other_methods_and_names(house: House) -> None:
    """The doors have one method each, and by a name of another site there are none."""
    for method, path in (("POST", "/login"), ("GET", "/logout"), ("POST", "/login/callback")):
        assert house.ask(httpx.Cookies(), method, path).status_code == 400
    for path in ("/login", "/login/callback"):
        reply = house.ask(httpx.Cookies(), "GET", path, headers={"Host": "evil.example"})
        assert reply.status_code == 403
    for path in ("/login/", "//login", "/LOGIN", "/login/callback/x", "/login;x"):
        assert house.ask(httpx.Cookies(), "GET", path).status_code == 401


def test_a_flood_of_logins(house: House, local: LocalIssuer) -> None:
    """The issuer is asked about a bounded number of codes, whatever strangers send."""
    browser = httpx.Cookies()
    back = house.sent_back(browser)
    state = parse_qs(urlsplit(back).query)["state"][0]
    place = f"/login/callback?code=guessed&state={state}"
    answers = [house.ask(browser, "GET", place).status_code for _ in range(40)]
    assert 503 in answers
    assert 429 in answers
