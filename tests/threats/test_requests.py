"""Threats from the size and the shape of a request: what it may cost, and what it may name."""

from __future__ import annotations

import ast
import gzip
import importlib
import json
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.serving_rig import MODEL, World, columns, eventually, infer, infer_body, post, running
from tests.soak.scale import sized

import shipway
from shipway.serving.counters import CounterFile, read_counters
from shipway.serving.http.limits import Limits
from shipway.serving.metrics import METRICS_FOLDER

constants: Any = importlib.import_module("re._constants")
parser: Any = importlib.import_module("re._parser")
INFER = f"/v2/models/{MODEL}/infer"
MIB = 1 << 20
SMALL = Limits(max_body_bytes=MIB, max_chunks=100, max_elements=5_000, max_headers=50)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A worker of small limits."""
    with running(tmp_path_factory.mktemp("run"), limits=SMALL) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        yield world


def asked(world: World, data: bytes) -> int:
    """The status of the answer to *data*, on a connection of its own that is closed again."""
    wire = world.wire()
    try:
        return wire.send(data).reply().status
    finally:
        wire.close()
        world.wires.remove(wire)


SHAPES: tuple[Any, ...] = (
    [], [-1], [0], [2], [2**31], [2**62], [2**63], [2**64], [-(2**63)], [1, 1, 1], [1, 2], [2, 1],
    [1] * 1000, [2**32, 2**32], [1.5], ["1"], [None], [True], "1", None, {}, 1, [[1]],
)  # fmt: skip
DATA: tuple[Any, ...] = (
    [], [[]], [[1], [2]], [[1, 2]], [1, 2], [{"a": 1}], [None, None], "x", None, {}, 7,
    [10**400], [2**63], [-(2**80)], ["x" * 1000], [[[[1]]]], [True, "x", 1], ["\ud800"],
)  # fmt: skip
DATATYPES: tuple[Any, ...] = (
    "OBJECT",
    "",
    "FP8",
    "INT8" * 99,
    "BYTES",
    "FP16",
    "BF16",
    7,
    None,
    [],
)
PARAMETERS: tuple[Any, ...] = (
    {"binary_data_size": -1}, {"binary_data_size": 8}, {"binary_data_size": 2**63},
    {"binary_data_size": True}, {"binary_data_size": "8"}, {"binary_data_size": 1.5},
    {"shared_memory_region": "model", "shared_memory_byte_size": 8}, {"binary_data_size": 9**99},
)  # fmt: skip


def bad_tensors() -> Iterator[bytes]:
    """Bodies of requests that no model may see."""
    names = ("city", "distance", "hour", "rain")
    for at, field, values in (
        *((at, "shape", SHAPES) for at in range(len(names))),
        *((at, "data", DATA) for at in range(len(names))),
        *((at, "datatype", DATATYPES) for at in range(len(names))),
    ):
        for value in values:
            if field == "data" and at == 1 and value in ([2**63], [-(2**80)], [10**400]):
                continue  # numbers, if great ones: the contract's to judge
            body = infer_body()
            body["inputs"][at][field] = value
            yield json.dumps(body).encode()
    for parameters in PARAMETERS:
        body = infer_body()
        body["inputs"][1].pop("data")
        body["inputs"][1]["parameters"] = parameters
        yield json.dumps(body).encode()
    one = json.dumps(infer_body()["inputs"][0])
    yield b'{"inputs": [' + b",".join([one.encode()] * 5_001) + b"]}"
    yield json.dumps(infer_body({**columns(), **{f"x{n}": [1] for n in range(5_000)}})).encode()
    yield json.dumps(infer_body(columns(rows=5_000))).encode()


def test_denial_of_service_by_giant_or_odd_tensors(small: World) -> None:
    """Tensors that lie about their shape, their type or their bytes, or are too many, are refused
    by a 4xx, and the next good request is answered by the same process.
    """
    before, accepted = os.getpid(), []
    bodies = list(bad_tensors())
    assert len(bodies) >= 200
    for body in bodies:
        answered = asked(small, post(INFER, body))
        assert answered < 500, (answered, body[:300])
        if answered == 200:
            accepted.append(body)
    assert asked(small, infer()) == 200
    assert os.getpid() == before
    # A column that may be missing may be null; and a number is a number however it is nested.
    assert len(accepted) <= 12, accepted
    too_many = post(INFER, json.dumps(infer_body(columns(rows=5_000))).encode())
    assert asked(small, too_many) == 413
    beside = json.dumps(infer_body(parameters={"x": [1] * 5_001})).encode()
    assert asked(small, post(INFER, beside)) == 413  # before anything of it is decoded
    head = json.dumps(
        infer_body()
        | {"inputs": [{"name": "distance", "datatype": "FP64", "shape": [3],
                       "parameters": {"binary_data_size": 8}}]}
    ).encode()  # fmt: skip
    lies = post(INFER, head + bytes(8), f"Inference-Header-Content-Length: {len(head)}")
    assert asked(small, lies) == 400
    short = head.replace(b'"binary_data_size": 8', b'"binary_data_size": 9')
    reply = small.ask(
        post(INFER, short + bytes(8), f"Inference-Header-Content-Length: {len(head)}")
    )
    assert (reply.status, "binary_data_size" in reply.json["error"]) == (400, True)
    shared = json.dumps(
        infer_body()
        | {"inputs": [{"name": "distance", "datatype": "FP64", "shape": [1],
                       "parameters": {"shared_memory_region": "a"}}]}
    ).encode()  # fmt: skip
    assert "shared memory" in small.ask(post(INFER, shared)).json["error"]


def chunked(count: int, size: int = 1) -> bytes:
    """A request of *count* chunks of *size* bytes."""
    head = f"POST {INFER} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + (b"%x\r\n%b\r\n" % (size, b" " * size)) * count + b"0\r\n\r\n"


def test_denial_of_service_by_body_shape(small: World) -> None:
    """A body that unpacks to too much, nests too deep, comes in too many pieces or under too many
    headers is refused by its limit, and a head that asks for a thousand ranges costs nothing.
    """
    packed = gzip.compress(b" " * (2 * MIB))
    assert len(packed) < MIB // 100
    assert asked(small, post(INFER, packed, "Content-Encoding: gzip")) == 413
    assert asked(small, post(INFER, b" " * (MIB + 1))) == 413
    assert asked(small, chunked(101)) == 413
    assert asked(small, chunked(2, MIB)) == 413
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        deep = post(INFER, opening * 65 + b"1" + closing * 65)
        reply = small.ask(deep)
        assert (reply.status, "levels deep" in reply.json["error"]) == (400, True)
        assert asked(small, post(INFER, opening * 200_000)) == 400
    keys = b"{" + b",".join(b'"k%d":1' % n for n in range(60_000)) + b"}"
    assert asked(small, post(INFER, keys)) in (400, 413)
    assert asked(small, infer(*(f"X-{n}: 1" for n in range(60)))) == 431
    assert asked(small, infer(f"X: {'x' * 40_000}")) == 431
    assert asked(small, infer("Range: bytes=" + ",".join(f"{n}-" for n in range(1000)))) == 200
    boundary = b"--x\r\n" * 10_000
    assert (
        asked(small, post(INFER, boundary, "Content-Type: multipart/form-data; boundary=x")) == 415
    )
    assert asked(small, infer()) == 200


def patterns() -> Iterator[tuple[str, str | bytes]]:
    """Every regular expression of the product, and the module that compiles it."""
    source = Path(shipway.__file__).parent
    for path in sorted(source.rglob("*.py")):
        text = path.read_text("utf-8")
        if "re.compile" not in text or "templates" in path.parts:
            continue
        name = ".".join(path.relative_to(source.parent).with_suffix("").parts)
        module = importlib.import_module(name)
        for node in ast.parse(text).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            for target in targets:
                value = getattr(module, target.id, None) if isinstance(target, ast.Name) else None
                if isinstance(value, re.Pattern):
                    yield name, value.pattern
                if isinstance(value, tuple):
                    yield from ((name, one.pattern) for one in value if isinstance(one, re.Pattern))


def doubling(tree: Any, within: bool = False) -> bool:
    """Whether an endless repeat that gives back stands within another: the work may double with
    each sign. One that is possessive (``*+``) gives nothing back.
    """
    for operation, argument in tree:
        inner: list[Any] = []
        endless = False
        if operation in (constants.MAX_REPEAT, constants.MIN_REPEAT):
            endless = argument[1] is constants.MAXREPEAT
            inner = [argument[2]]
        elif operation is constants.SUBPATTERN:
            inner = [argument[3]]
        elif operation is constants.BRANCH:
            inner = list(argument[1])
        if (endless and within) or any(doubling(one, within or endless) for one in inner):
            return True
    return False


PARTED = frozenset({"shipway.exchange.references", "shipway.packaging.references"})
"""Where a separator, which the repeated part cannot hold, begins each turn of the outer repeat."""


def test_regular_expression_denial_of_service() -> None:
    """Each regular expression is one whose work grows with the text alone: no repeat that gives
    back stands within another, but where a separator parts them; and all read 50 KB in no time.
    """
    found = list(patterns())
    assert len(found) > 50
    assert {name for name, one in found if doubling(parser.parse(one))} <= PARTED
    pieces = ("a", "0", "-", ".", "_", "/", ":", " ", "=", "a-", "a.", "a/", "a:0", "\\", '"', "%a")
    for _, pattern in found:
        compiled = re.compile(pattern)
        for piece in pieces:
            text = piece * (50_000 // len(piece)) + "\x00"
            given: Any = text.encode() if isinstance(pattern, bytes) else text
            compiled.fullmatch(given)


def test_metric_and_label_cardinality(tmp_path: Path) -> None:
    """However many models, versions, ids and codes clients make up, the series stay those of what
    there is.
    """
    dice = random.Random(6)
    with running(tmp_path, limits=Limits()) as world:
        eventually(lambda: world.get("/readyz").status == 200)

        def ask(number: int) -> None:
            name = f"m{dice.randrange(10**9)}-{number}"
            asked(world, post(f"/v2/models/{name}/infer", b"{}"))
            asked(world, post(f"/v2/models/{MODEL}/versions/{number + 2}/infer", b"{}"))
            asked(world, infer(id=name))
            asked(world, infer(data={**columns(), name: [1]}))
            asked(world, post(f"/{name}", b"{}", f"X-Tenant: {name}"))

        for number in range(20):
            ask(number)
        before = {(one.family.name, one.labels) for one in read_counters(tmp_path / METRICS_FOLDER)}
        for number in range(sized(150, 20_000)):
            ask(number)
        after = {(one.family.name, one.labels) for one in read_counters(tmp_path / METRICS_FOLDER)}
    assert after == before
    assert 5 < len(after) <= 500
    _full_files_take_no_more(tmp_path / "full")


def _full_files_take_no_more(folder: Path) -> None:
    """Series beyond what a file holds, by their names or by their cells, share its unread end, and
    count nothing else wrong.
    """
    refused, took = "shipway_http_refused_total", "shipway_request_duration_seconds"
    for name in ("names", "cells"):
        counters = CounterFile(folder / name / f"{name}.counters")
        counters.counter(refused, "first").add()
        for number in range(20_000):
            if name == "names":
                counters.counter(refused, f"code-{number}").add()
            elif number < 3_000:
                counters.histogram(took, MODEL, MODEL, f"{number}").observe(0.001)
        counters.close()
        assert (folder / name / f"{name}.counters").stat().st_size < 2 * MIB
        kept = {one.labels: one.cells[0] for one in read_counters(folder / name)}
        assert kept["first",] == 1.0
        assert set(kept.values()) <= {0.0, 1.0}
