"""Without credentials nothing is answered on the data plane but whether it lives and is ready."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.serving_rig import MODEL, MemoryRouting, World, eventually, infer, make_key, running

from shipway.errors import StoreError
from shipway.serving.access import OPEN_PATHS

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
TEXT, RECORD = make_key()


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A worker that wants to know who calls."""
    routing = MemoryRouting(keys=[RECORD])
    with running(tmp_path_factory.mktemp("run"), routing=routing, authentication=True) as started:
        eventually(lambda: started.get("/readyz").status == 200)
        yield started


def routes(world: World) -> list[bytes]:
    """Every path that the data plane knows, as it knows them."""
    return sorted(world.worker._plane._table)


def status(world: World, method: str, target: str, *headers: str) -> int:
    """What is answered to a request without a body."""
    lines = [f"{method} {target} HTTP/1.1", "Host: x", "Content-Length: 0", *headers, "", ""]
    wire = world.wire()
    try:
        return wire.send("\r\n".join(lines).encode("latin-1")).reply(head=method == "HEAD").status
    finally:
        wire.close()
        world.wires.remove(wire)


def other_spellings(path: str) -> list[str]:
    """Targets that some other part of a system may take for *path*."""
    inner = path[1:]
    return [
        f"{path}/", f"/{path}", f"//{inner}", f"{path}//", path.upper(), path.title(), f"{path};x",
        f"{path};x=/livez", f"{path}%20", f"{path}%00", f"{path}.json", f"{path}/.", f"/./{inner}",
        f"/livez/..{path}", f"/livez/../{inner}", f"{path}/../livez", f"/livez%2f..{path}",
        f"/{inner.replace('/', '%2F')}", f"/{inner.replace('/', '%5C')}",
        f"/%{ord(path[1]):02x}{path[2:]}", f"{path}?", f"{path}?a=/livez", f"{path}#/livez",
        f"http://x{path}", f"HTTP://X{path}", f"https://livez{path}", f"http://x/{path}",
    ]  # fmt: skip


def is_open(target: str) -> bool:
    """Whether *target* is one of the few that are open, in a spelling that HTTP has for it."""
    path = target.partition("?")[0]
    if path.lower().startswith("http"):
        path = "/" + path.split("/", 3)[3]
    return path.encode() in OPEN_PATHS


def test_what_is_open(locked: World) -> None:
    """The routes that ask nobody are those of one constant, and they tell nothing of a model."""
    table = locked.worker._plane._table
    assert {path for path, route in table.items() if route.scope is None} == OPEN_PATHS
    for path in OPEN_PATHS:
        reply = locked.get(path.decode())
        assert (reply.status, MODEL.encode() in reply.body) == (200, False)


@pytest.mark.parametrize("method", METHODS)
def test_every_route(locked: World, method: str) -> None:
    """Every route answers every method with 401 to who shows nothing, and with that alone."""
    walked = routes(locked)
    assert len(walked) >= 12
    for path in walked:
        answered = status(locked, method, path.decode())
        assert (answered == 401) == (path not in OPEN_PATHS), (method, path, answered)


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS"])
def test_every_other_way_in(locked: World, method: str) -> None:
    """No other spelling of a path, and no method in a header, is a way around it."""
    for path in routes(locked):
        for target in other_spellings(path.decode()) if len(path) > 1 else ():
            answered = status(locked, method, target, f"X-HTTP-Method-Override: {method}",
                              f"X-Original-URL: {path.decode()}")  # fmt: skip
            assert answered in (400, 401) or is_open(target), (method, target, answered)


@pytest.mark.parametrize("path", ["*", "/nope", "/metrics", "/v1/endpoints/late/promote"])
def test_what_is_not_there(locked: World, path: str) -> None:
    """What there is not is told to callers alone."""
    for method in METHODS:
        if path != "*" or method == "OPTIONS":
            assert status(locked, method, path) == 401
    expected = 204 if path == "*" else 404
    assert status(locked, "OPTIONS", path, f"X-API-Key: {TEXT}") == expected


@pytest.mark.parametrize(
    "headers",
    [
        ("Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAAP__"),
        ("Upgrade: websocket", "Connection: Upgrade"),
        ("X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1"),
        ("Authorization:",),
        ("Authorization: Bearer",),
        ("X-API-Key:",),
        ("X-API-Key: anonymous",),
        ("Authorization: Bearer eyJhbGciOiJub25lIn0.e30.",),
        ("Cookie: key=1",),
    ],
)
def test_headers_that_are_no_credentials(locked: World, headers: tuple[str, ...]) -> None:
    """Nothing but a key that is good opens anything."""
    reply = locked.ask(infer(*headers))
    assert reply.status == 401
    assert MODEL not in reply.json["error"]
    assert reply.headers["www-authenticate"] == 'Bearer realm="shipway"'


def test_before_anything_is_known(tmp_path: Path) -> None:
    """A worker that cannot read its registry lets nobody in, and asks keys to come again."""
    routing = MemoryRouting(keys=[RECORD])
    routing.away = StoreError("the store is locked", next_step="wait")
    with running(tmp_path, routing=routing, authentication=True) as world:
        eventually(lambda: world.get("/livez").status == 200)
        for path in ("/v2", "/v2/models/late", "/nope"):
            assert world.get(path).status == 401
        early = world.ask(infer(f"X-API-Key: {TEXT}"))
        assert (early.status, early.headers["retry-after"]) == (503, "1")
        routing.away = None
        eventually(lambda: world.ask(infer(f"X-API-Key: {TEXT}")).status == 200)


def test_twice_is_refused(locked: World) -> None:
    """Of two keys in one request neither counts, even if one is good."""
    for second in ("X-API-Key: x", f"X-API-Key: {TEXT}"):
        assert locked.ask(infer(f"X-API-Key: {TEXT}", second)).status == 400


def test_the_good_key(locked: World) -> None:
    """With a key the same routes answer, so that the walk above did not walk along a wall."""
    answered = {
        path: status(locked, "GET", path.decode(), f"X-API-Key: {TEXT}") for path in routes(locked)
    }
    assert set(answered.values()) <= {200, 400, 403, 404, 405, 501}
    assert list(answered.values()).count(200) > 10
    assert locked.ask(infer(f"X-API-Key: {TEXT}")).status == 200
