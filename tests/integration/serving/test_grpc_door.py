"""Who may call what over gRPC: everything is closed but liveness and readiness."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from tests.corpus.http2 import BEGIN, block, fields
from tests.grpc_rig import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    INFER,
    SERVICE,
    Answered,
    Http2,
    ask,
    bearer,
    channel,
    frame,
    infer_request,
)
from tests.serving_rig import (
    MODEL,
    MemoryRouting,
    World,
    columns,
    eventually,
    make_key,
    running,
)

from shipway.security.policy import Scope
from shipway.security.rates import Rate, Rates
from shipway.serving.access import OPEN_METHODS, Admission
from shipway.serving.exposition import metrics_page
from shipway.serving.rpc import open_inference_pb2
from shipway.serving.rpc.open_inference_pb2 import ServerReadyResponse
from shipway.serving.rpc.options import GrpcOptions

KEY, RECORD = make_key()
GOOD = infer_request().SerializeToString()
VIEWER, VIEWER_RECORD = make_key(Scope.VIEW, salt=40)
TRITON = (
    "ModelStreamInfer", "RepositoryModelLoad", "RepositoryModelUnload", "LogSettings",
    "TraceSetting", "SystemSharedMemoryStatus", "SystemSharedMemoryRegister",
    "SystemSharedMemoryUnregister", "CudaSharedMemoryStatus", "CudaSharedMemoryRegister",
    "CudaSharedMemoryUnregister",
)  # fmt: skip
ODD = (
    "/", "//", f"/{SERVICE}/", f"/{SERVICE}/modelinfer", f"/{SERVICE}//ModelInfer", "/a/b",
    f"/{SERVICE}/ServerLive/", f"//{SERVICE}/ServerLive", f"/{SERVICE}/ServerLive;x",
    f"/{SERVICE}%2FServerLive", "/grpc.reflection.v2.ServerReflection/ServerReflectionInfo",
    "/admin", f"/{SERVICE.lower()}/ServerLive", "/v2/health/live",
)  # fmt: skip


def declared() -> list[str]:
    """Every method of every service whose messages this server reads."""
    files = (open_inference_pb2.DESCRIPTOR, health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR)
    return [
        f"/{service.full_name}/{method.name}"
        for file in files
        for service in file.services_by_name.values()
        for method in service.methods
    ]


CLOSED = [
    *(name for name in declared() if name not in OPEN_METHODS),
    *(f"/{SERVICE}/{name}" for name in TRITON),
    *ODD,
]


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A worker that asks for a key."""
    routing = MemoryRouting(keys=[RECORD, VIEWER_RECORD])
    run = tmp_path_factory.mktemp("run")
    with running(run, routing=routing, authentication=True, grpc=GrpcOptions()) as started:
        eventually(lambda: started.get("/readyz").status == 200)
        yield started


@pytest.fixture(scope="module")
def line(locked: World) -> Iterator[grpc.Channel]:
    """One connection."""
    with channel(locked.grpc) as opened:
        yield opened


def streamed(line: grpc.Channel, method: str, body: bytes) -> grpc.StatusCode:
    """How a call that streams both ways ends."""
    opened: Any = line.stream_stream(method)
    call = opened(iter([body]), timeout=20)
    with pytest.raises(grpc.RpcError):
        list(call)
    code: grpc.StatusCode = call.code()
    return code


@pytest.mark.parametrize("method", CLOSED)
@pytest.mark.parametrize("body", [b"", b"\xff", b"\x0a\x04late"], ids=["empty", "bad", "model"])
def test_closed(line: grpc.Channel, method: str, body: bytes) -> None:
    """Whatever a stranger calls, known or not, is UNAUTHENTICATED, and says nothing else."""
    answered = ask(line, method, body)
    assert answered.code is grpc.StatusCode.UNAUTHENTICATED
    assert answered.trailers["shipway-code"] == "access.not-authenticated"
    assert MODEL not in answered.details
    assert streamed(line, method, body) is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("method", sorted(OPEN_METHODS))
def test_open(line: grpc.Channel, method: str) -> None:
    """Liveness and readiness are told to anybody, and a bad key does not matter there."""
    assert ask(line, method).code is grpc.StatusCode.OK
    assert ask(line, method, b"", bearer("nonsense")).code is grpc.StatusCode.OK


BAD = [
    (("authorization", "Bearer nonsense"),),
    (("authorization", f"Basic {KEY}"),),
    (("x-api-key", KEY[:-1] + ("a" if KEY[-1] != "a" else "b")),),
    (("authorization", f"Bearer {KEY}"), ("x-api-key", "other")),
    (("authorization", f"Bearer {KEY}"), ("authorization", "Bearer other")),
    (("authorization", "Bearer other"), ("authorization", f"Bearer {KEY}")),
    (("x-api-key", "x" * 4000),),
]


@pytest.mark.parametrize("metadata", BAD)
def test_bad_keys(line: grpc.Channel, metadata: tuple[tuple[str, str], ...]) -> None:
    """A key that is not a good one, or two that differ, lets nobody in."""
    answered = ask(line, INFER, infer_request().SerializeToString(), *metadata)
    assert answered.code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.INVALID_ARGUMENT)
    assert answered.body == b""


@pytest.mark.parametrize("name", ["authorization", "x-api-key"])
def test_a_key_twice(line: grpc.Channel, name: str) -> None:
    """A header that tells who calls is read once: of two it is not known which others read."""
    answered = ask(line, INFER, GOOD, (name, "a"), (name, "a"))
    assert answered.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "more than once" in answered.details


@pytest.mark.parametrize("metadata", [bearer(KEY), ("x-api-key", KEY)])
def test_good_keys(locked: World, line: grpc.Channel, metadata: tuple[str, str]) -> None:
    """A good key is taken in either form, and the event has its caller."""
    answered = ask(line, INFER, infer_request(id="mine").SerializeToString(), metadata)
    assert answered.code is grpc.StatusCode.OK
    event = next(event for event in locked.sink.events if event.request_id == "mine")
    assert event.caller == RECORD.id


def test_scopes(line: grpc.Channel) -> None:
    """A key without the right to predict is PERMISSION_DENIED, and told which right it needs."""
    body = infer_request().SerializeToString()
    assert ask(line, INFER, body, bearer(VIEWER)).code is grpc.StatusCode.PERMISSION_DENIED
    answered = ask(line, INFER, body, bearer(VIEWER))
    assert answered.trailers["shipway-code"] == "access.not-authorised"
    assert "--scope predict" in answered.details


def test_a_revoked_key(locked: World, line: grpc.Channel) -> None:
    """A key that is revoked is refused on a connection that is open already."""
    key, record = make_key(salt=80)
    body = infer_request().SerializeToString()
    locked.routing.set_keys([RECORD, VIEWER_RECORD, record])
    eventually(lambda: ask(line, INFER, body, bearer(key)).code is grpc.StatusCode.OK)
    revoked = msgspec.structs.replace(record, revoked_at=datetime.now(UTC))
    locked.routing.set_keys([RECORD, VIEWER_RECORD, revoked])
    eventually(lambda: ask(line, INFER, body, bearer(key)).code is grpc.StatusCode.UNAUTHENTICATED)


def test_a_revoked_key_on_a_head_that_is_repeated(locked: World) -> None:
    """What is remembered of a head does not outlive the keys that it was judged by."""
    key, record = make_key(salt=120)
    before = locked.worker._plane.routing.access
    locked.routing.set_keys([RECORD, VIEWER_RECORD, record])
    eventually(lambda: locked.worker._plane.routing.access is not before)
    sent = block(fields(INFER, bearer(key)))
    message = b"\0" + len(GOOD).to_bytes(4, "big") + GOOD
    wire = Http2(locked.grpc, first=BEGIN)
    numbers = iter(range(1, 2001, 2))
    found = wire.frames()

    def ending() -> bytes:
        number = next(numbers)
        wire.send(frame(HEADERS, END_HEADERS, number, sent))
        wire.send(frame(DATA, END_STREAM, number, message))
        ended = (one for one in found if one[0] == HEADERS and one[1] & END_STREAM)
        return next(ended)[3]

    ok = b"grpc-status\x010"
    assert all(ok in ending() for _ in range(5))
    known = locked.worker._plane.routing.access
    locked.routing.set_keys([RECORD, VIEWER_RECORD])
    while locked.worker._plane.routing.access is known:
        last = ending()  # so that the head was met a moment ago
    assert b"grpc-status\x0216" in ending(), last
    wire.close()


def test_models_are_not_changed_here(line: grpc.Channel) -> None:
    """Loading and unloading are refused to any key, and the way to do it is told."""
    for name in ("RepositoryModelLoad", "RepositoryModelUnload"):
        answered = ask(line, f"/{SERVICE}/{name}", b"", bearer(KEY))
        assert answered.code is grpc.StatusCode.PERMISSION_DENIED
        assert "shipway promote" in answered.details


def test_what_is_not_answered(line: grpc.Channel) -> None:
    """A caller is told that a method does not exist, and what does."""
    for name in (*ODD, f"/{SERVICE}/LogSettings", f"/{SERVICE}/ModelStreamInfer"):
        answered = ask(line, name, b"", bearer(KEY))
        assert answered.code is grpc.StatusCode.UNIMPLEMENTED
        assert "ModelInfer" in answered.details


def test_reflection(locked: World) -> None:
    """With a key, reflection tells the services and their messages, whole."""
    with channel(locked.grpc) as opened:
        keyed = grpc.intercept_channel(opened, _WithKey())
        database = ProtoReflectionDescriptorDatabase(keyed)
        services = set(database.get_services())
        assert services == {
            SERVICE,
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
        }
        file = database.FindFileContainingSymbol(SERVICE)
        assert file.package == "inference"


class _WithKey(grpc.StreamStreamClientInterceptor):
    def intercept_stream_stream(self, continuation, details, requests):  # type: ignore[no-untyped-def]
        """Call with the key."""
        return continuation(details._replace(metadata=[bearer(KEY)]), requests)


# ---- health -------------------------------------------------------------------------------------


def check(line: grpc.Channel, name: str, *metadata: tuple[str, str]) -> Answered:
    body = health_pb2.HealthCheckRequest(service=name).SerializeToString()
    return ask(line, "/grpc.health.v1.Health/Check", body, *metadata)


def status(answered: Answered) -> str:
    response = health_pb2.HealthCheckResponse.FromString(answered.body)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status))


def test_health(line: grpc.Channel) -> None:
    """A probe asks for the server without a key; a model's health is told to callers alone."""
    assert status(check(line, "")) == "SERVING"
    assert status(check(line, SERVICE)) == "SERVING"
    for name in (MODEL, "nope"):
        assert check(line, name).code is grpc.StatusCode.UNAUTHENTICATED
    assert status(check(line, MODEL, bearer(KEY))) == "SERVING"
    assert check(line, "nope", bearer(KEY)).code is grpc.StatusCode.NOT_FOUND


def test_watch_sees_the_drain(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Who watches is told when the server begins to drain, before the connection ends."""
    run = tmp_path_factory.mktemp("run")
    with running(run, grpc=GrpcOptions(), drain_wait_s=0.3) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        with channel(world.grpc) as line:
            body = health_pb2.HealthCheckRequest().SerializeToString()
            opened: Any = line.unary_stream("/grpc.health.v1.Health/Watch")
            watch = opened(body, timeout=20)
            seen = [health_pb2.HealthCheckResponse.FromString(next(watch)).status]
            world.stop()
            seen.append(health_pb2.HealthCheckResponse.FromString(next(watch)).status)
            assert seen == [1, 2]
            with pytest.raises(grpc.RpcError):
                next(watch)
            assert watch.code() is grpc.StatusCode.UNAVAILABLE
            assert "ask another one" in watch.details()


def test_readiness_over_both(locked: World, line: grpc.Channel) -> None:
    """ServerReady says what /readyz says."""
    ready = ServerReadyResponse.FromString(ask(line, f"/{SERVICE}/ServerReady").body)
    assert ready.ready is (locked.get("/readyz").status == 200)


def test_refusals_are_counted(locked: World, line: grpc.Channel) -> None:
    """What is refused at the door is counted by its code."""
    ask(line, INFER)
    text = metrics_page(locked.run).decode()
    assert 'shipway_grpc_refused_total{code="access.not-authenticated"}' in text


def test_rates(tmp_path: Path) -> None:
    """A caller above its rate, in calls or in rows, is told when to come again."""
    key, record = make_key()
    admission = Admission(
        requests=Rates(tmp_path / "calls", Rate(1.0, 4), of="requests", setting="r"),
        rows=Rates(tmp_path / "rows", Rate(1.0, 10), of="rows", setting="r"),
    )
    routing = MemoryRouting(keys=[record])
    options = GrpcOptions()
    with running(tmp_path / "run", routing=routing, admission=admission, grpc=options) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        with channel(world.grpc) as opened:
            many = infer_request(columns(9)).SerializeToString()
            answered = [ask(opened, INFER, many, bearer(key)) for _ in range(8)]
    assert answered[0].code is grpc.StatusCode.OK
    for refused in (answered[1], answered[-1]):
        assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert refused.trailers["shipway-code"] == "limit.rate"
        assert b"google.rpc.RetryInfo" in refused.trailers["grpc-status-details-bin"]


def test_the_rate_of_a_head_that_is_repeated(tmp_path: Path) -> None:
    """Calls count for their caller also where their head is known already."""
    key, record = make_key()
    rates = Rates(tmp_path / "calls", Rate(0.1, 4), of="requests", setting="r")
    routing = MemoryRouting(keys=[record])
    with running(
        tmp_path / "run",
        routing=routing,
        admission=Admission(requests=rates),
        grpc=GrpcOptions(),
    ) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        with channel(world.grpc) as opened:
            codes = [ask(opened, INFER, GOOD, bearer(key)).code for _ in range(8)]
    assert codes[:4] == [grpc.StatusCode.OK] * 4
    assert set(codes[4:]) == {grpc.StatusCode.RESOURCE_EXHAUSTED}
