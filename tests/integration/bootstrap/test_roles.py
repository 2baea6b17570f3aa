"""Each role at each route of a real control plane, on what is its own, another's, or not there."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar import Litestar
from tests.serving_rig import make_key
from tests.stores import Store

from shipway.bootstrap.auditing import Tally
from shipway.bootstrap.control import Services
from shipway.monitoring.labels import LabelLog
from shipway.registry.trail_files import read_lines
from shipway.rollout import switch
from shipway.security.audit import Line, read_line
from shipway.security.policy import ROLES, Action, Scope, allows, scope_for
from shipway.serving.access import Admission
from shipway.serving.control_routes import make_application
from shipway.serving.gatekeeper import OPEN, Gatekeeper

MODEL, OTHER, MISSING = "flight-delay", "fraud", "nothing"
PROMOTE, ROLL_BACK = "/v1/endpoints/{}/promote", "/v1/endpoints/{}/rollback"
LABEL = b'{"labels": [{"prediction_id": "a:0", "value": 1}]}'
BODIES = {
    "/v1/labels": LABEL,
    PROMOTE: b'{"version": 2}',  # which was not gated
    ROLL_BACK: b'{"version": 1}',  # which is live already
}
OWN = {PROMOTE: 409, ROLL_BACK: 400}
"""What one who may is answered on what is his own, where that is not 200."""


class House:
    """A store of two models, and the control plane of one of them."""

    def __init__(self, home: Path) -> None:
        self.store = Store(home)
        for model in (MODEL, OTHER):
            for seed in "ab":
                self.store.publish(seed, model=model)
            order = switch.Order(endpoint=model, by="ben", now=self.store.now, reason="first")
            first = self.store.registry.version(model, 1)
            switch.promote(self.store.registry, first, order, prove=lambda _: None, force=True)
        made = {scope: make_key(scope, salt=n) for n, scope in enumerate(Scope)}
        self.keys = {scope: text for scope, (text, _) in made.items()}
        records = [record for _, record in made.values()]
        self.tally = Tally(self.store.registry.trail)
        run = home / "run"
        services = Services(
            self.store.registry, LabelLog(home / "labels"), run=run, model=MODEL, tally=self.tally
        )
        self.application: Litestar = make_application(services, run)
        self._gate = Gatekeeper(
            self.application,
            keys=lambda: records,
            admission=Admission(clock=lambda: datetime.now(UTC)),
            host="127.0.0.1",
            refusals=self.tally,
        )

    def ask(self, method: str, path: str, key: str = "", body: bytes = b"") -> httpx.Response:
        headers = {"Content-Type": "application/json"} if method != "GET" else {}
        if key:
            headers["Authorization"] = f"Bearer {key}"

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self._gate, raise_app_exceptions=False)
            base = "http://127.0.0.1:8081"
            async with httpx.AsyncClient(transport=transport, base_url=base) as client:
                return await client.request(method, path, content=body, headers=headers)

        return asyncio.run(send())

    def lines(self) -> list[Line]:
        return [read_line(data) for _, data in read_lines(self.store.home / "audit")]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Asked by all tests here; none changes what an endpoint answers with."""
    made = House(tmp_path_factory.mktemp("house") / ".shipway")
    yield made
    made.store.registry.close()


def routes(application: Litestar) -> list[tuple[str, str, Action]]:
    """Every route with a decision: its method, its path with {} for the object, its action."""
    found = []
    for route in application.routes:
        for handler in getattr(route, "route_handlers", ()):
            action = handler.opt.get("action")
            path = route.path.replace("{endpoint:str}", "{}")
            methods = sorted(handler.http_methods - {"OPTIONS"})
            if action is not None:
                found += [(method, path, action) for method in methods]
    return found


def test_the_matrix(house: House) -> None:
    """Every role may at every route what the policy says, no more and no less.

    On what another model has the answer is, to the letter, that on what there is not.
    """
    cells = 0
    walked = routes(house.application)
    assert len(walked) == 9
    for role, (method, path, action) in product(ROLES, walked):
        allowed = allows([role], scope_for(action))
        answers = {}
        for name in (MODEL, OTHER, MISSING) if "{}" in path else (MODEL,):
            body = BODIES.get(path, b"") if method == "POST" else b""
            answers[name] = house.ask(method, path.format(name), house.keys[role], body)
            cells += 1
        own = answers[MODEL]
        assert own.status_code == (OWN.get(path, 200) if allowed else 403), (role, path, own.text)
        if "{}" in path:
            told = [(answers[name].status_code, answers[name].text) for name in (OTHER, MISSING)]
            assert told[0] == told[1], (role, path)
            assert told[0][0] == (404 if allowed else 403), (role, path)
    assert cells == len(ROLES) * (6 + 3 * 3)


@pytest.mark.parametrize(
    "reference", [f"{OTHER}@1", f"{MISSING}@1", f"{OTHER}@9", f"{OTHER}@latest"]
)
@pytest.mark.parametrize("path", [PROMOTE, ROLL_BACK])
def test_versions_of_others(house: House, path: str, reference: str) -> None:
    """A version of another model is as absent as one of no model."""
    body = b'{"version": "%b"}' % reference.encode()
    reply = house.ask("POST", path.format(MODEL), house.keys[Scope.APPROVER], body)
    assert reply.status_code == 404
    assert reply.json()["error"] == "there is no such version here"


def test_lists_of_others(house: House) -> None:
    """Lists have what is one's own alone, asked for by another model's name or by none."""
    key = house.keys[Scope.VIEWER]
    (endpoint,) = house.ask("GET", "/v1/endpoints", key).json()
    assert endpoint["endpoint"] == MODEL
    own = house.ask("GET", "/v1/versions", key).json()
    assert {version["model"] for version in own} == {MODEL}
    other = house.ask("GET", f"/v1/versions?model={OTHER}", key)
    missing = house.ask("GET", f"/v1/versions?model={MISSING}", key)
    assert (other.status_code, other.text) == (missing.status_code, missing.text) == (200, "[]")


def test_every_denial_is_a_line(house: House) -> None:
    """What the policy denies stands in the audit log, with the key and the action."""
    house.ask("POST", PROMOTE.format(MODEL), house.keys[Scope.PREDICTOR], b"{}")
    house.tally.flush()
    house.ask("POST", PROMOTE.format(MODEL), house.keys[Scope.PREDICTOR], b"{}")
    line = house.lines()[-1]
    assert (line.what, line.outcome, line.code, line.object) == (
        "endpoints.promote",
        "refused",
        "access.not-authorised",
        f"POST {PROMOTE.format(MODEL)}",
    )
    assert line.key == line.who != ""
    assert line.source == "127.0.0.1"


def snapshot(home: Path) -> dict[str, str]:
    """Every file of the store and every row of its records, but for the audit log."""
    with closing(sqlite3.connect(home / "metadata.sqlite3")) as database:
        rows = "\n".join(line for line in database.iterdump() if '"audit_' not in line)
    kept = {
        str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(home.rglob("*"))
        if path.is_file() and "audit" not in path.parts and "sqlite3" not in path.name
    }
    return {**kept, "records": rows}


def test_a_get_changes_nothing(house: House) -> None:
    """Whoever crawls every address by GET leaves the store as it was."""
    before = snapshot(house.store.home)
    paths = {route.path.replace("{endpoint:str}", MODEL) for route in house.application.routes}
    paths |= OPEN | {"/", "/login", "/login/callback?code=a&state=b", "/logout", "/v1/keys"}
    for path, key in product(sorted(paths), ["", *house.keys.values()]):
        for query in ("", "?version=2&force=true&reason=x&_method=POST"):
            house.ask("GET", path + query, key)
    assert snapshot(house.store.home) == before
    assert house.ask("POST", "/v1/labels", house.keys[Scope.LABEL], LABEL).status_code == 200
    assert snapshot(house.store.home) != before, "the snapshot sees a change"


def test_what_is_of_the_data_plane_is_not_here(house: House) -> None:
    """No prediction is answered on the port of administration, whoever asks."""
    admin = house.keys[Scope.ADMIN]
    for path in (f"/v2/models/{MODEL}/infer", f"/v1/models/{MODEL}:predict", "/invocations"):
        assert house.ask("POST", path, admin, b"{}").status_code == 404
        assert house.ask("POST", path, "", b"{}").status_code == 401


def actions_without_a_route() -> set[Action]:
    return {
        Action.PREDICT, Action.READ_METADATA, Action.READ_REPORTS, Action.PUBLISH, Action.FORCE,
        Action.READ_KEYS, Action.CHANGE_KEYS,
    }  # fmt: skip


def test_every_action_is_at_a_route(house: House) -> None:
    """Each action of the table is asked for by a route, or is known to have none here."""
    asked: set[Any] = {action for _, _, action in routes(house.application)}
    assert asked | actions_without_a_route() == set(Action)
    assert not asked & actions_without_a_route()
