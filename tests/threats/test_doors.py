"""Threats at the doors: who comes in, by which way, from which page, and what a refusal tells."""

from __future__ import annotations

import secrets
from itertools import product
from pathlib import Path

import msgspec
import pytest
from tests.integration.serving.test_default_deny import is_open, other_spellings, status
from tests.serving_rig import MODEL, MemoryRouting, eventually, make_key, running
from tests.stores import Store
from tests.threats.watching import tree
from tests.unit.security import test_timing as timing
from tests.unit.serving.test_gatekeeper import NEEDS, Door, locked

from shipway.config.auth import AuthSettings
from shipway.config.settings import ServeSettings
from shipway.errors import ConflictError, NotAuthenticated, UsageError
from shipway.registry.records import EndpointState
from shipway.security import callers, certificates, keys, signers, tokens
from shipway.security.keys import KeyRing, issue
from shipway.security.policy import INCLUDES, ROLES, Action, Scope, allows
from shipway.security.policy import NEEDS as SCOPES
from shipway.serving import access, gatekeeper
from shipway.serving.access import OPEN_PATHS, Access, Credentials
from shipway.serving.gatekeeper import OPEN
from shipway.serving.sockets import check_exposure

WAYS_AROUND = {"X-HTTP-Method-Override": "GET", "X-Original-URL": "/livez",
               "X-Forwarded-For": "127.0.0.1", "X-Rewrite-URL": "/livez"}  # fmt: skip
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


def test_missing_authentication_by_default(tmp_path: Path) -> None:
    """Fresh out of the box a server listens to this machine alone and asks for a key; it does not
    start for others without, and without a key no route of either plane tells anything.
    """
    settings = ServeSettings()
    assert (settings.host, settings.control_host) == ("127.0.0.1", "127.0.0.1")
    assert settings.authentication is True
    for host in ("0.0.0.0", "::", "10.0.0.7", "example.org"):
        with pytest.raises(UsageError, match="authentication is off"):
            check_exposure(host, authentication=False, tls=True)
        check_exposure(host, authentication=True, tls=True)
    with pytest.raises(NotAuthenticated):
        Access().allow(Credentials({}), Scope.VIEW)
    door, _ = locked(tmp_path / "control")
    for path, method in product({path for _, path in NEEDS} | {"/", "/schema", "/x"}, METHODS):
        reply = door.ask(method, path)
        assert reply.status_code == 401, (method, path)
        assert b"late" not in reply.content
    with running(tmp_path / "run", authentication=True) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        for known in world.worker._plane._table:
            answer = world.get(known.decode())
            assert (answer.status == 401) == (known not in OPEN_PATHS), known
            assert MODEL.encode() not in answer.body


def test_authentication_bypass_by_alternate_route(tmp_path: Path) -> None:
    """No other spelling, method, header or repetition is a way around the question who calls."""
    door, texts = locked(tmp_path / "control")
    known = {path for _, path in NEEDS}
    for path in sorted(known):
        inner = path[1:]
        for spelling in (
            f"{path}/", f"//{inner}", path.upper(), f"{path};x", f"{path}?x=/livez", f"{path}%00",
            f"/livez/../{inner}", f"/livez{path}", f"/livez;{path}", f"/{inner.replace('/', '%2F')}"
        ):  # fmt: skip
            for method in METHODS:
                assert door.ask(method, spelling, headers=WAYS_AROUND).status_code == 401, spelling
    good = ("Authorization", f"Bearer {texts[Scope.VIEW]}")
    for other in (("Authorization", "Bearer x"), good, ("Host", "127.0.0.1:8081")):
        sent = [good, other, ("Host", "127.0.0.1:8081")]
        assert door.ask("GET", "/v1/status", headers=sent).status_code == 400
    assert sorted(OPEN) == ["/livez", "/readyz"]
    text, record = make_key()
    routing = MemoryRouting(keys=[record])
    with running(tmp_path / "run", routing=routing, authentication=True) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        for route in sorted(world.worker._plane._table):
            for target in other_spellings(route.decode()) if len(route) > 1 else ():
                for method in ("GET", "POST", "OPTIONS"):
                    told = [f"{name}: {value}" for name, value in WAYS_AROUND.items()]
                    answered = status(world, method, target, *told)
                    assert answered in (400, 401) or is_open(target), (method, target, answered)
        plain, bearer = "X-API-Key: {}", "Authorization: Bearer {}"
        assert status(world, "GET", "/v2/models/late", plain.format(text)) == 200
        for first, second in product((plain, bearer), repeat=2):
            for keys_sent in ((text, "x"), ("x", text)):
                headers = (first.format(keys_sent[0]), second.format(keys_sent[1]))
                assert status(world, "GET", "/v2/models/late", *headers) in (400, 401), headers
    assert {path.decode() for path in OPEN_PATHS} == {
        "/", "/livez", "/readyz", "/ping", "/health", "/v2/health/live", "/v2/health/ready",
    }  # fmt: skip


def test_broken_object_level_access(tmp_path: Path) -> None:
    """Each role may what the table says at each route and no more, to what is its own, another's
    or not there; and nobody both makes a version and approves it, but an admin.
    """
    door, texts = locked(tmp_path / "control")
    for (method, path), needed in NEEDS.items():
        for scope, text in texts.items():
            answers = {
                door.ask(method, path.replace("late", name), key=text).status_code
                for name in ("late", "other", "missing")
            }
            allowed = needed is scope or needed in ROLES.get(scope, ())
            assert answers == ({200} if allowed else {403}), (method, path, scope)
    for held, needed in product(Scope, Scope):
        assert allows([held], needed) == (needed is held or needed in ROLES.get(held, ()))
    assert set(SCOPES) == set(Action)
    both = {role for role in ROLES if {Scope.PUBLISH, Scope.APPROVE} <= INCLUDES[role]}
    assert both == {Scope.ADMIN}
    store = Store(tmp_path / "store")
    store.publish("a")
    store.publish("b")
    for expected, fits in ((7, False), (0, True), (0, False)):
        if fits:
            _move(store, expected)
        else:
            with pytest.raises(ConflictError):
                _move(store, expected)
    (change,) = store.registry.history("flight-delay")
    assert not store.registry.stores[0].endpoints.append(change)  # of two at once one wins
    store.registry.close()


def _move(store: Store, expected: int) -> EndpointState:
    """Promote the second version, if nobody else has moved the endpoint since *expected*."""
    return store.registry.move_endpoint(
        "flight-delay", model="flight-delay", expected=expected, live=2, action="promote",
        by="ben", reason="better", evidence=None, forced=True, now=store.now,
    )  # fmt: skip


def test_csrf_and_dns_rebinding(tmp_path: Path) -> None:
    """From a page of another site, or by a name that was bound to this machine, nothing changes
    and nothing is read, even where no key is asked for.
    """
    promote = "/v1/endpoints/late/promote"
    changing = sorted(path for method, path in NEEDS if method == "POST")
    foreign: list[tuple[dict[str, str], int]] = [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:9999"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:8081"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
        ({"Content-Type": ""}, 415),
    ]
    for host in ("127.0.0.1", "0.0.0.0"):
        door = Door(tmp_path, host=host)
        for path, (headers, expected) in product(changing, foreign):
            for method in ("POST", "PUT", "DELETE"):
                reply = door.ask(method, path, headers=headers)
                assert reply.status_code == expected, (host, method, path, headers)
        assert door.services.moves == []
        assert door.services.labels == []
    door = Door(tmp_path)
    for method, path in NEEDS:
        assert door.ask(method, path, base="http://evil.example").status_code == 403
    assert door.ask("POST", promote).status_code == 200
    before = tree(tmp_path)
    for method, path in NEEDS:
        if method == "GET":
            assert door.ask("GET", path).status_code == 200
    assert len(door.services.moves) == 1
    assert tree(tmp_path) == before


def test_default_or_hard_coded_credentials(tmp_path: Path) -> None:
    """A new store has no key and no account; a key is 256 random bits, shown once, and neither it
    nor a part of its secret is in the store.
    """
    store = Store(tmp_path / "store")
    assert store.registry.keys() == ()
    asked: list[int] = []

    def random(size: int) -> bytes:
        asked.append(size)
        return secrets.token_bytes(size)

    text, record = issue(scopes=[Scope.ADMIN], now=store.now, random=random, name="first")
    other, _ = issue(scopes=[Scope.ADMIN], now=store.now, random=random, name="second")
    secret = text.split("_")[3]
    assert max(asked) == 32
    assert len(secret) == 43
    assert len(set(secret) | set(other.split("_")[3])) > 20
    store.registry.add_key(record)
    assert KeyRing(store.registry.keys()).authenticate(text, store.now).id == record.id
    store.registry.close()
    for path in store.home.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
    auth = msgspec.to_builtins(AuthSettings())
    assert not [name for name, value in auth.items() if "secret" in name and value]
    source = Path(issue.__code__.co_filename).parents[1]
    for path in source.rglob("*"):
        if path.is_file() and path.suffix in {".py", ".toml", ".yaml", ".yml", ".j2", ".json"}:
            words = path.read_text("utf-8", errors="replace")
            assert "PRIVATE KEY-----\n" not in words, path
            assert "admin/password" not in words, path


def test_timing_on_keys() -> None:
    """An unknown id, a wrong secret, a revoked and an expired key are the same work to refuse, and
    secrets meet nothing but ``compare_digest``.
    """
    for header in (b"authorization", b"x-api-key"):
        unknown = timing.work(timing.UNKNOWN, timing.RECORD, header=header)
        assert "compare_digest" in " ".join(unknown)
        for text in timing.WRONG.values():
            assert timing.work(text, timing.RECORD, header=header) == unknown
    for changed in (
        {"revoked_at": timing.NOW}, {"expires_at": timing.NOW}, {"scopes": (Scope.VIEW,)},
    ):  # fmt: skip
        record = msgspec.structs.replace(timing.RECORD, **changed)
        for text in timing.WRONG.values():
            assert timing.work(text, record) == timing.work(timing.UNKNOWN, timing.RECORD)
    for module in (keys, access, gatekeeper, certificates, signers, tokens, callers):
        timing.test_secrets_meet_only_compare_digest(module)
