"""The control plane's door: every route and method, every caller, every origin."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.issuers import AUDIENCE, local_issuer, token
from tests.serving_rig import eventually, make_key

from shipway.domain.events import Label
from shipway.errors import ConflictError, GateRefused, NotFoundError, ShipwayError
from shipway.registry.records import EndpointChange, EndpointState, Version
from shipway.security.acting import Actor, actor_now
from shipway.security.audit import Entry
from shipway.security.issuer import Issuer, IssuerOptions
from shipway.security.keys import KeyRecord
from shipway.security.policy import Scope, allows
from shipway.security.tokens import TokenRules
from shipway.serving.access import Admission
from shipway.serving.control_routes import Move, make_application
from shipway.serving.gatekeeper import OPEN, Gatekeeper

STATE = EndpointState(endpoint="late", model="late", live=3, sequence=4)
BODIES = {"/v1/labels": b'{"labels": []}'}
NEEDS = {
    ("GET", "/metrics"): Scope.VIEW,
    ("GET", "/v1/status"): Scope.VIEW,
    ("GET", "/v1/endpoints"): Scope.VIEW,
    ("GET", "/v1/versions"): Scope.VIEW,
    ("GET", "/v1/endpoints/late/history"): Scope.VIEW,
    ("GET", "/openapi.json"): Scope.VIEW,
    ("POST", "/v1/labels"): Scope.LABEL,
    ("POST", "/v1/endpoints/late/promote"): Scope.APPROVE,
    ("POST", "/v1/endpoints/late/rollback"): Scope.APPROVE,
}


class Services:
    """Services that remember what was asked of them."""

    def __init__(self) -> None:
        self.moves: list[Move] = []
        self.labels: list[tuple[list[Label], str]] = []
        self.actors: list[Actor] = []
        self.error: ShipwayError | None = None

    def status(self) -> dict[str, Any]:
        return {"alerts": []}

    def endpoints(self) -> Sequence[EndpointState]:
        return [STATE]

    def versions(self, model: str | None) -> Sequence[Version]:
        return []

    def history(self, endpoint: str) -> Sequence[EndpointChange]:
        return []

    def add_labels(self, labels: Sequence[Label], *, by: str) -> int:
        self.labels.append((list(labels), by))
        return len(labels)

    def move(self, move: Move) -> EndpointState:
        self.moves.append(move)
        self.actors.append(actor_now())
        if self.error is not None:
            raise self.error
        return STATE


class Door:
    """The application behind its gatekeeper, called without sockets."""

    def __init__(
        self,
        run: Path,
        keys: Sequence[KeyRecord] | None = None,
        host: str = "127.0.0.1",
        issuer: Issuer | None = None,
        names: Sequence[str] = (),
    ) -> None:
        self.services = Services()
        self.refusals: list[tuple[Entry, Actor]] = []
        application = make_application(self.services, run)
        self.routes = application.routes
        self._gate = Gatekeeper(
            application,
            keys=lambda: keys or (),
            admission=Admission(authentication=keys is not None, issuer=issuer),
            host=host,
            refusals=self,
            names=names,
        )

    def refused(self, entry: Entry, actor: Actor) -> None:
        self.refusals.append((entry, actor))

    def ask(
        self,
        method: str,
        path: str,
        *,
        key: str = "",
        body: bytes | None = None,
        headers: dict[str, str] | list[tuple[str, str]] | None = None,
        base: str = "http://127.0.0.1:8081",
    ) -> httpx.Response:
        if body is None:
            body = BODIES.get(path, b"{}") if method not in {"GET", "HEAD"} else b""
        sent = httpx.Headers(headers)
        if method not in {"GET", "HEAD"} and "Content-Type" not in sent:
            sent["Content-Type"] = "application/json"
        if key:
            sent["Authorization"] = f"Bearer {key}"

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self._gate, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=base) as client:
                return await client.request(method, path, content=body, headers=sent)

        return asyncio.run(send())


def locked(tmp_path: Path) -> tuple[Door, dict[Scope, str]]:
    made = {scope: make_key(scope, name=scope.value, salt=n) for n, scope in enumerate(Scope)}
    door = Door(tmp_path, keys=[record for _, record in made.values()])
    return door, {scope: text for scope, (text, _) in made.items()}


def test_every_route_is_listed(tmp_path: Path) -> None:
    """No route exists that this file does not know of."""
    found = {
        (method, route.path.replace("{endpoint:str}", "late"))
        for route in Door(tmp_path).routes
        for method in route.methods
        if method != "OPTIONS" and not route.path.startswith("/schema")
    }
    assert found - {("GET", "/livez"), ("GET", "/readyz")} == set(NEEDS)


def test_nobody_without_a_key(tmp_path: Path) -> None:
    """Without a key every route, method and unknown path answers 401; only health is open."""
    door, _ = locked(tmp_path)
    paths = {path for _, path in NEEDS} | {"/", "/nope", "/schema", "/schema/openapi.json"}
    for path in sorted(paths):
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            reply = door.ask(method, path)
            assert reply.status_code == 401, (method, path)
    assert door.ask("GET", "/livez").status_code == 200
    assert door.ask("GET", "/readyz").status_code == 503


def test_every_other_way_in(tmp_path: Path) -> None:
    """No other spelling of any route that there is, and no method in a header, is a way around."""
    door, _ = locked(tmp_path)
    walked = {route.path.replace("{endpoint:str}", "late") for route in door.routes}
    assert {path for _, path in NEEDS} < walked
    for path in sorted(walked - OPEN):
        inner = path[1:]
        for spelling in (
            f"{path}/", f"//{inner}", path.upper(), f"{path};x", f"{path}?x=/livez", f"{path}%20",
            f"{path}/..", f"/livez/../{inner}", f"/{inner.replace('/', '%2F')}", f"{path}%00",
        ):  # fmt: skip
            for method in ("GET", "HEAD", "OPTIONS", "POST", "TRACE"):
                headers = {"X-HTTP-Method-Override": "GET", "X-Original-URL": "/livez"}
                reply = door.ask(method, spelling, headers=headers)
                assert reply.status_code == 401, (method, spelling)


@pytest.mark.parametrize("path", sorted(OPEN))
def test_what_is_open_is_open_in_one_spelling(tmp_path: Path, path: str) -> None:
    """What begins like an open path, or nearly is one, is not open."""
    door, _ = locked(tmp_path)
    for spelling in (f"{path}/", f"/{path}", path.upper(), f"{path};x", f"{path}/x", f"{path}%20"):
        assert door.ask("GET", spelling).status_code == 401, spelling


def test_headers_that_came_twice(tmp_path: Path) -> None:
    """A header that decides about a request and came twice is refused, not chosen from."""
    door, texts = locked(tmp_path)
    good = ("Authorization", f"Bearer {texts[Scope.VIEW]}")
    assert door.ask("GET", "/v1/status", headers=[good]).status_code == 200
    for other in (("Authorization", "Bearer x"), ("authorization", good[1])):
        assert door.ask("GET", "/v1/status", headers=[good, other]).status_code == 400


def test_tokens_open_it_too(tmp_path: Path) -> None:
    """The control plane takes the tokens that predictions take, and says who promoted."""
    with local_issuer() as local:
        rules = TokenRules(
            issuer=local.url,
            audience=AUDIENCE,
            algorithms=frozenset({"ES256"}),
            grants={"ml.read": (Scope.VIEW,), "ml.ops": (Scope.ADMIN,)},
        )
        issuer = Issuer(IssuerOptions(rules=rules))
        door = Door(tmp_path, keys=(), issuer=issuer)
        text = token(local.url)
        early = door.ask("GET", "/v1/status", key=text)
        assert (early.status_code, early.headers["retry-after"]) == (503, "1")
        issuer.start()
        eventually(lambda: door.ask("GET", "/v1/status", key=text).status_code == 200)
        promote = "/v1/endpoints/late/promote"
        assert door.ask("POST", promote, key=text).status_code == 403
        assert door.ask("POST", promote, key=token(local.url, scope="ml.ops")).status_code == 200
        (move,) = door.services.moves
        assert move.by.startswith("'web' (jwt:")
        issuer.stop()


@pytest.mark.parametrize(("method", "path"), NEEDS)
def test_scopes(tmp_path: Path, method: str, path: str) -> None:
    """Each route lets in exactly the keys with the right that it needs, or a role that has it."""
    door, texts = locked(tmp_path)
    for scope, text in texts.items():
        allowed = allows([scope], NEEDS[method, path])
        status = door.ask(method, path, key=text).status_code
        assert (status == 200) == allowed, (scope, status)
        assert allowed or status == 403


def test_default_deny(tmp_path: Path) -> None:
    """What says of no action that it is does nothing, whatever the key."""
    door, texts = locked(tmp_path)
    for method, path in [("GET", "/schema"), ("OPTIONS", "/v1/status")]:
        assert door.ask(method, path, key=texts[Scope.ADMIN]).status_code == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": ""}, 415),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:9999"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:8081"}, 403),
        ({"Origin": "http://127.0.0.1:8081"}, 200),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
        ({"Host": "localhost:8081"}, 200),
        ({"Host": "[::1]:8081"}, 200),
    ],
)
def test_other_sites(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    """A page of another site changes nothing, even where no key is asked for."""
    door = Door(tmp_path)
    reply = door.ask("POST", "/v1/endpoints/late/promote", headers=headers)
    assert reply.status_code == status
    assert len(door.services.moves) == (status == 200)


def test_rebinding_reads_nothing(tmp_path: Path) -> None:
    """A name that was bound to loopback from outside reads nothing either."""
    door = Door(tmp_path)
    assert door.ask("GET", "/v1/status", base="http://evil.example").status_code == 403
    assert Door(tmp_path, host="0.0.0.0").ask(
        "GET", "/v1/status", base="http://shipway.cluster.local"
    ).status_code == 200  # fmt: skip


def test_move(tmp_path: Path) -> None:
    """A promotion is passed on with who asked for it; the new state comes back."""
    door, texts = locked(tmp_path)
    body = json.dumps({"version": 3, "reason": "better", "expected": 3}).encode()
    reply = door.ask("POST", "/v1/endpoints/late/promote", key=texts[Scope.ADMIN], body=body)
    assert reply.json() == {"endpoint": "late", "model": "late", "live": 3, "sequence": 4}
    (move,) = door.services.moves
    assert (move.action, move.endpoint, move.version, move.reason) == (
        "promote", "late", "3", "better",
    )  # fmt: skip
    assert move.by.startswith("'admin' (")
    assert (move.expected, move.force) == (3, False)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (GateRefused("the gate said no", next_step="look"), 409),
        (ConflictError("moved", next_step="look"), 409),
        (NotFoundError("no such version", next_step="look"), 404),
    ],
)
def test_errors(tmp_path: Path, error: ShipwayError, status: int) -> None:
    """An error of the services is told with its status, code and next step."""
    door = Door(tmp_path)
    door.services.error = error
    reply = door.ask("POST", "/v1/endpoints/late/rollback")
    assert reply.status_code == status
    assert reply.json() == {"error": error.message, "code": error.code, "next": "look"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"labels": [{"prediction_id": "a:0"}]}',
        b'{"labels": [{"prediction_id": "", "value": 1}]}',
        b'{"labels": [{"prediction_id": "a:0", "value": [1]}]}',
        b'{"labels": [{"prediction_id": "a:0", "value": NaN}]}',
        b'{"labels": [{"prediction_id": "a:0", "value": 1, "observed_at": "yesterday"}]}',
        b'{"labels": [{"prediction_id": "a:0", "value": 1, "observed_at": "2013-04-01T00:00:00"}]}',
        b'{"labels": [{"prediction_id": "a:0", "value": 1, "wrong": 1}]}',
        b'{"labels": ' + b"[" * 10_000,
    ],
)
def test_bad_labels(tmp_path: Path, body: bytes) -> None:
    """Malformed labels are a 400, and none of the request is kept."""
    door = Door(tmp_path)
    reply = door.ask("POST", "/v1/labels", body=body)
    assert reply.status_code == 400
    assert reply.json()["code"].startswith(("request.malformed", "usage."))
    assert door.services.labels == []


def test_labels(tmp_path: Path) -> None:
    """Labels are passed on with the moment that they were observed, to the microsecond."""
    door = Door(tmp_path)
    label = {
        "prediction_id": "a:0",
        "value": True,
        "observed_at": "2013-04-01T02:00:00.000001+02:00",
    }
    reply = door.ask("POST", "/v1/labels", body=json.dumps({"labels": [label]}).encode())
    assert reply.json() == {"accepted": 1}
    ((labels, _),) = door.services.labels
    assert labels == [
        Label(prediction_id="a:0", value=True, observed_at_ns=1_364_774_400_000_001_000)
    ]


def test_openapi(tmp_path: Path) -> None:
    """The description lists the routes and the key that they need."""
    told = Door(tmp_path).ask("GET", "/openapi.json").json()
    assert told["openapi"].startswith("3.1")
    assert "/v1/labels" in told["paths"]
    assert told["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


def test_every_refusal_is_told(tmp_path: Path) -> None:
    """Who was turned away, from where and for what, is told once; the query and secrets are not."""
    door, texts = locked(tmp_path)
    bad = texts[Scope.VIEW][:-6]
    promote = "/v1/endpoints/late/promote"
    asked: list[tuple[str, str, str]] = []
    for method, path, key, headers, what, code in (
        ("GET", "/v1/status?secret=1", "", {}, "request", "access.not-authenticated"),
        ("GET", "/v1/status", bad, {}, "request", "access.not-authenticated"),
        ("POST", promote, texts[Scope.VIEW], {}, "endpoints.promote", "access.not-authorised"),
        ("POST", promote, "", {"Origin": "null"}, "request", "access.not-authorised"),
        ("POST", promote, "", {"Content-Type": "text/plain"}, "request", "usage.invalid"),
    ):
        door.ask(method, path, key=key, headers={**headers, "X-Request-Id": "r-1"})
        asked.append((what, f"{method} {path.partition('?')[0]}", code))
    assert [(entry.what, entry.object, entry.code) for entry, _ in door.refusals] == asked
    assert {entry.outcome for entry, _ in door.refusals} == {"refused"}
    assert {actor.request for _, actor in door.refusals} == {"r-1"}
    assert {actor.source for _, actor in door.refusals} == {"127.0.0.1"}
    known = door.refusals[2][1]
    assert known.id == known.key != ""
    assert {actor.id for _, actor in door.refusals} == {"unknown", known.id}
    assert "secret=1" not in str(door.refusals)
    assert bad not in str(door.refusals)
    door.refusals.clear()
    door.ask("POST", promote, key=texts[Scope.ADMIN])
    assert door.refusals == []


def test_who_acts(tmp_path: Path) -> None:
    """What the services do, they do in the name of the caller, also in a thread of theirs."""
    door, texts = locked(tmp_path)
    door.ask("POST", "/v1/endpoints/late/promote", key=texts[Scope.APPROVER])
    (actor,) = door.services.actors
    assert actor.id == actor.key
    assert len(actor.id) == 12
    assert len(actor.request) == 32


def test_force_needs_an_admin(tmp_path: Path) -> None:
    """An approver promotes what the gate let through; against a verdict only an admin may."""
    door, texts = locked(tmp_path)
    body = b'{"force": true, "reason": "now"}'
    promote = "/v1/endpoints/late/promote"
    for scope, status in ((Scope.APPROVER, 403), (Scope.APPROVE, 403), (Scope.ADMIN, 200)):
        assert door.ask("POST", promote, key=texts[scope], body=body).status_code == status
    assert {entry.what for entry, _ in door.refusals} == {"endpoints.force"}


FOREIGN = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Host": "evil.example"},
    {"Content-Type": "text/plain"},
    {"Content-Type": "application/x-www-form-urlencoded"},
    {"Content-Type": "multipart/form-data; boundary=x"},
    {},
]


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.7", "0.0.0.0"])
def test_no_other_site_changes_anything(tmp_path: Path, host: str) -> None:
    """From another site, by another name, as text or as a form, nothing that is no GET goes in.

    That holds for every route and method, wherever the server is bound, and with keys off.
    """
    door = Door(tmp_path, host=host)
    paths = sorted({path for _, path in NEEDS} | {"/", "/nope"})
    for one in FOREIGN:
        for other in FOREIGN:
            if not (one or other):
                continue
            headers = {"Content-Type": "application/json", **one, **other}
            for path in paths if {} in (one, other) else paths[:1]:
                for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
                    reply = door.ask(method, path, headers=headers)
                    assert reply.status_code in (403, 415), (method, path, headers)
    assert door.services.moves == []
    assert door.services.labels == []


def test_names_of_the_server(tmp_path: Path) -> None:
    """Bound to the network it is called by an address, its machine's name, or one that was set."""
    door = Door(tmp_path, host="0.0.0.0", names=["ml.example.org"])
    promote = "/v1/endpoints/late/promote"
    for host, status in (
        ("10.0.0.7:8081", 200),
        ("[fd00::7]:8081", 200),
        (f"{socket.gethostname()}:8081", 200),
        ("ML.example.org.", 200),
        ("localhost", 200),
        ("other.example.org", 403),
        ("ml.example.org.evil.example", 403),
        ("10.0.0.7.evil.example", 403),
        ("", 403),
    ):
        assert door.ask("POST", promote, headers={"Host": host}).status_code == status, host
    local = Door(tmp_path, names=["ml.example.org"])
    for host, status in (("ml.example.org", 200), ("10.0.0.7", 403), ("127.0.0.1", 200)):
        assert local.ask("POST", promote, headers={"Host": host}).status_code == status, host
