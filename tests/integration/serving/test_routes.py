"""The data plane's routes, over real sockets."""

from __future__ import annotations

import json

import pytest
from tests.serving_rig import (
    NONSENSE,
    POISON,
    World,
    columns,
    infer,
    infer_body,
    post,
)

INFER = "/v2/models/late/infer"


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/livez", {"live": True}),
        ("/readyz", {"ready": True}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/late/ready", {"name": "late", "ready": True}),
        ("/v2/models/late/versions/1/ready", {"name": "late", "ready": True}),
        ("/livez?why=not", {"live": True}),
        ("http://x/livez", {"live": True}),
    ],
)
def test_health(world: World, path: str, told: object) -> None:
    """Liveness and readiness are told of the server and of the model."""
    reply = world.get(path)
    assert (reply.status, reply.json) == (200, told)


def test_server_metadata(world: World) -> None:
    """The server says its name, its version and its extensions."""
    told = world.get("/v2").json
    assert told["name"] == "shipway"
    assert {"binary_tensor_data", "statistics"} <= set(told["extensions"])


@pytest.mark.parametrize("path", ["/v2/models/late", "/v2/models/late/versions/1"])
def test_model_metadata(world: World, path: str) -> None:
    """The model's metadata is the same with and without its version."""
    told = world.get(path).json
    assert told["name"] == "late"
    assert [one["name"] for one in told["inputs"]] == ["city", "distance", "hour", "rain"]


@pytest.mark.parametrize("path", [INFER, "/v2/models/late/versions/1/infer"])
def test_infer(world: World, path: str) -> None:
    """A request is answered with strict JSON, and its id comes back."""
    reply = world.ask(post(path, json.dumps(infer_body(id="mine")).encode()))
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.json["id"] == "mine"
    assert reply.json["outputs"][1]["data"] == [0.1]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v2/models/nope", "Request for unknown model: 'nope'"),
        ("/v2/models/nope/infer", "Request for unknown model: 'nope'"),
        ("/v2/models/late/versions/9", "Request for unknown model: 'late' version '9'"),
        ("/v2/models/late/versions/9/infer", "Request for unknown model: 'late' version '9'"),
        ("/v2/models/late/nothing", "nothing at '/v2/models/late/nothing'"),
        ("/metrics", "nothing at '/metrics'"),
        ("/v1/endpoints/late/promote", "nothing at"),
        ("/v2/models/", "nothing at"),
        ("/v2/models/../../livez", "nothing at"),
        ("/livez/", "nothing at"),
        ("//livez", "nothing at"),
        ("/%6Civez", "nothing at"),
        ("/LIVEZ", "nothing at"),
    ],
)
def test_not_found(world: World, path: str, words: str) -> None:
    """What is not there is a 404 in JSON that says what to do; administration is not there."""
    for reply in (world.get(path), world.ask(post(path, b"{}"))):
        assert reply.status == 404
        assert reply.json["code"] == "registry.not-found"
        assert reply.json["next"]
        assert words in reply.json["error"] or "unknown model" in reply.json["error"]


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        ({**columns(), "hour": [None]}, 422, "contract.violated"),
        ({"city": ["EWR"]}, 422, "contract.violated"),
        ({**columns(), "x": [1]}, 422, "contract.violated"),
        ({**columns(), "distance": [1e400]}, 400, "request.malformed"),
        ({**columns(), "hour": [2**64]}, 422, "contract.violated"),
        ({**columns(), "city": [{"a": 1}]}, 400, "request.malformed"),
        ({**columns(), "distance": [POISON]}, 500, "model.prediction-failed"),
        ({**columns(), "distance": [NONSENSE]}, 500, "model.prediction-failed"),
    ],
)
def test_refused(world: World, data: dict[str, list[object]], status: int, code: str) -> None:
    """A refused request gets the status of its error, a stable code, and the connection goes on."""
    wire = world.wire()
    reply = wire.send(infer(data=data)).reply()
    assert (reply.status, reply.json["code"]) == (status, code)
    assert reply.json["error"]
    assert reply.json["next"]
    assert wire.send(infer()).reply().status == 200


def test_infinity_is_no_json(world: World) -> None:
    """NaN and Infinity are not JSON and are refused as such."""
    body = json.dumps(infer_body({**columns(), "distance": [float("nan")]})).encode()
    assert world.ask(post(INFER, body)).status == 400


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("DELETE", "/livez", 405, "GET, HEAD, OPTIONS"),
        ("POST", "/v2/models/late", 405, "GET, HEAD, OPTIONS"),
        ("GET", INFER, 405, "POST, OPTIONS"),
        ("PUT", INFER, 405, "POST, OPTIONS"),
        ("OPTIONS", INFER, 204, "POST, OPTIONS"),
        ("OPTIONS", "*", 204, "OPTIONS"),
    ],
)
def test_methods(world: World, method: str, path: str, status: int, allow: str) -> None:
    """A method that a route does not have is a 405 that names those it has."""
    reply = world.ask(f"{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert (reply.status, reply.headers["allow"]) == (status, allow)


def test_head(world: World) -> None:
    """HEAD answers what GET does, without the body, and the connection stays in step."""
    wire = world.wire()
    wire.send(b"HEAD /v2/models/late HTTP/1.1\r\nHost: a\r\n\r\n")
    whole = world.get("/v2/models/late")
    reply = wire.reply(head=True)
    assert reply.headers["content-length"] == whole.headers["content-length"]
    assert wire.send(infer()).reply().status == 200


@pytest.mark.parametrize(
    "header",
    [
        "Content-Type: text/plain",
        "Content-Type: application/x-www-form-urlencoded",
        "Content-Type: application/x-pickle",
        "Content-Encoding: br",
    ],
)
def test_media_types(world: World, header: str) -> None:
    """Only JSON, not compressed, is read; anything else is a 415."""
    assert world.ask(infer(header)).status == 415


@pytest.mark.parametrize("length", ["x", "-1", "1e3", "9" * 30, "100000", "0"])
def test_bad_json_length(world: World, length: str) -> None:
    """A length of the JSON part that cannot be is a 400."""
    assert world.ask(infer(f"Inference-Header-Content-Length: {length}")).status == 400


def test_one_batch_a_turn(world: World) -> None:
    """Requests that arrive in one turn of the loop are one append of events."""
    wire = world.wire()
    before = len(world.sink.appends)
    wire.send(b"".join(infer(id=f"p{n}") for n in range(5)))
    assert [wire.reply().json["id"] for _ in range(5)] == [f"p{n}" for n in range(5)]
    assert [len(one) for one in world.sink.appends[before:]] == [5]


def test_no_control_characters_come_back(world: World) -> None:
    """What a client sent is told back without anything that a terminal would obey."""
    reply = world.ask(infer(id="a\x1b[31mb"))
    assert reply.status == 400
    assert b"\x1b" not in reply.body
    assert world.ask(infer("Content-Type: a\x80b")).status == 415
