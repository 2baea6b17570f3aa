"""A small world to serve in: a contract, models that answer by rule, a routing kept in memory.

``World`` runs a real worker (real sockets, real loop) in a thread of the test's own process.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from numpy.typing import NDArray

from shipway.contract.schema import Column, Contract, Role
from shipway.domain.events import Losses, PredictionEvent
from shipway.domain.metrics import Task
from shipway.domain.model import InputSpec, Kind, ModelSpec
from shipway.errors import ModelFileError
from shipway.inference.predictor import ServedVersion
from shipway.registry.records import EndpointState
from shipway.runtimes.port import Columns
from shipway.security.certificates import PeerCertificate
from shipway.security.keys import KeyRecord, issue
from shipway.security.policy import Scope
from shipway.serving.access import Admission
from shipway.serving.child import Child
from shipway.serving.doors import Doors
from shipway.serving.http.limits import Limits
from shipway.serving.routing import LoadedVersion, RoutingState, Trial
from shipway.serving.rpc.options import GrpcOptions
from shipway.serving.tls import TlsFiles
from shipway.serving.worker import Worker, WorkerOptions

MODEL = "late"
POISON = 666.0
NONSENSE = 777.0

CONTRACT = Contract(
    model=MODEL,
    task=Task.BINARY,
    columns=(
        Column(name="city", kind=Kind.STRING, categories=("EWR", "JFK"), example="EWR"),
        Column(
            name="distance", kind=Kind.NUMBER, nullable=True, minimum=0, maximum=1000, example=100.0
        ),
        Column(name="hour", kind=Kind.INTEGER, example=7),
        Column(name="rain", kind=Kind.BOOLEAN, example=True),
        Column(name="departs", kind=Kind.TIMESTAMP, role=Role.TIME),
        Column(name="late", kind=Kind.INTEGER, role=Role.TARGET),
    ),
)
SPEC = ModelSpec(
    format="fake",
    task=Task.BINARY,
    inputs=tuple(InputSpec(c.name, c.kind, c.nullable) for c in CONTRACT.features),
    classes=(0, 1),
    main_file="model.fake",
)


class FakeModel:
    """Scores ``distance / 1000`` (missing counts as 0), for binary late-or-not."""

    def __init__(self, spec: ModelSpec = SPEC) -> None:
        self.spec = spec
        self.calls: list[int] = []
        self.closed = False

    def predict(self, columns: Columns) -> NDArray[np.float64]:
        """(n, 2) probabilities; raises for POISON, answers NaN for NONSENSE."""
        assert not self.closed
        distance = columns["distance"].astype(np.float64)
        self.calls.append(len(distance))
        if (distance == POISON).any():
            raise ZeroDivisionError("poison")
        score = np.clip(np.nan_to_num(distance) / 1000, 0, 1)
        score = np.where(distance == NONSENSE, np.nan, score)
        return np.column_stack([1 - score, score])

    def close(self) -> None:
        """Remember it."""
        self.closed = True


def served(number: int = 1, *, endpoint: str = MODEL, threshold: float = 0.5) -> ServedVersion:
    """Version *number* of the model of this world."""
    return ServedVersion(
        endpoint=endpoint,
        model=MODEL,
        number=number,
        digest=f"sha256:{number:064x}",
        contract=CONTRACT,
        spec=SPEC,
        threshold=threshold,
        positive="1",
    )


@dataclass
class MemorySink:
    """Events, kept in memory, and how they came: one list an append."""

    appends: list[list[PredictionEvent]] = field(default_factory=list)
    losses: Losses = field(default_factory=Losses)

    def append(self, events: Sequence[PredictionEvent]) -> None:
        """Keep *events*."""
        self.appends.append(list(events))

    @property
    def events(self) -> list[PredictionEvent]:
        """All of them, in order."""
        return [event for append in self.appends for event in append]


class PassedTrial:
    """A trial that is over, and was passed."""

    def poll(self) -> bool:
        """It was passed."""
        return True

    def abandon(self) -> None:
        """There is nothing to end."""


class MemoryRouting:
    """A routing source whose registry is this object; safe to change from any thread."""

    def __init__(self, live: int | None = 1, keys: Sequence[KeyRecord] = ()) -> None:
        self._lock = threading.Lock()
        self._revision = 1
        self._endpoints = {MODEL: EndpointState(endpoint=MODEL, model=MODEL, live=live, sequence=1)}
        self._keys = tuple(keys)
        self.broken: set[int] = set()
        self.loaded: list[int] = []
        self.models: dict[int, FakeModel] = {}
        self.trials: dict[int, Trial] = {}
        self.away: Exception | None = None

    def promote(self, live: int) -> int:
        """Make *live* the live version; the sequence to wait for."""
        with self._lock:
            before = self._endpoints[MODEL]
            after = EndpointState(
                endpoint=MODEL, model=MODEL, live=live, sequence=before.sequence + 1
            )
            self._endpoints[MODEL] = after
            self._revision += 1
            return after.sequence

    def set_keys(self, keys: Sequence[KeyRecord]) -> None:
        """Replace all keys."""
        with self._lock:
            self._keys = tuple(keys)
            self._revision += 1

    def revision(self) -> int:
        """Grows with every change."""
        if self.away is not None:
            raise self.away
        return self._revision

    def state(self) -> RoutingState:
        """What is to be served."""
        with self._lock:
            return RoutingState(
                revision=self._revision,
                endpoints=tuple(self._endpoints.values()),
                keys=self._keys,
            )

    def trial(self, endpoint: EndpointState) -> Trial:
        """The one in ``trials``, or one that was passed."""
        return self.trials.get(endpoint.live or 0, PassedTrial())

    def load(self, endpoint: EndpointState) -> LoadedVersion:
        """A fake model; the numbers in ``broken`` cannot be loaded."""
        number = endpoint.live or 0
        self.loaded.append(number)
        if number in self.broken:
            raise ModelFileError("the model is broken", next_step="promote another")
        self.models[number] = FakeModel()
        return LoadedVersion(served=served(number), model=self.models[number])

    def close(self) -> None:
        """Nothing to give back."""


def make_key(
    *scopes: Scope, name: str = "test", days: int = 1, salt: int = 0
) -> tuple[str, KeyRecord]:
    """A key that is good now, and its record; keys of different *salt* differ."""
    counter = iter(range(2 * salt, 256))
    return issue(
        scopes=scopes or (Scope.PREDICT,),
        now=datetime.now(UTC),
        random=lambda size: bytes([next(counter)]) * size,
        name=name,
        expires_in=timedelta(days=days),
    )


def columns(rows: int = 1, distance: float | None = 100.0) -> dict[str, list[Any]]:
    """*rows* rows that keep the contract."""
    return {
        "city": ["EWR"] * rows,
        "distance": [distance] * rows,
        "hour": [7] * rows,
        "rain": [True] * rows,
    }


def infer_body(data: Mapping[str, Sequence[Any]] | None = None, **extra: Any) -> dict[str, Any]:
    """The JSON of an inference request for *data*, one good row by default."""
    datatypes = {"city": "BYTES", "distance": "FP64", "hour": "INT64", "rain": "BOOL"}
    inputs = [
        {
            "name": name,
            "shape": [len(values)],
            "datatype": datatypes.get(name, "BYTES"),
            "data": list(values),
        }
        for name, values in (columns() if data is None else data).items()
    ]
    return {"inputs": inputs, **extra}


def post(path: str, body: bytes, *headers: str, close: bool = False) -> bytes:
    """The bytes of a POST."""
    lines = [f"POST {path} HTTP/1.1", "Host: test", f"Content-Length: {len(body)}", *headers]
    lines += ["Connection: close"] if close else []
    return "\r\n".join([*lines, "", ""]).encode() + body


def infer(*headers: str, close: bool = False, **extra: Any) -> bytes:
    """The bytes of an inference request of one good row."""
    body = json.dumps(infer_body(**extra)).encode()
    return post(f"/v2/models/{MODEL}/infer", body, *headers, close=close)


@dataclass
class Reply:
    """One response as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed as strictly as RFC 8259 has it."""
        return json.loads(self.body, parse_constant=_no_constant)


def _no_constant(text: str) -> None:
    raise AssertionError(f"{text} is not JSON")


class Wire:
    """A raw connection to the server."""

    def __init__(self, port: int, *, timeout_s: float = 10.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self._data = b""

    def send(self, data: bytes) -> Wire:
        """Send *data* as it is."""
        self.socket.sendall(data)
        return self

    def reply(self, *, head: bool = False) -> Reply:
        """The next response."""
        while b"\r\n\r\n" not in self._data:
            self._more()
        top, _, self._data = self._data.partition(b"\r\n\r\n")
        line, *lines = top.decode().split("\r\n")
        headers = {k.lower(): v for k, _, v in (one.partition(": ") for one in lines)}
        length = 0 if head else int(headers.get("content-length", "0"))
        while len(self._data) < length:
            self._more()
        body, self._data = self._data[:length], self._data[length:]
        return Reply(int(line.split()[1]), headers, body)

    def ended(self) -> bool:
        """Whether the server closes without another byte."""
        try:
            return not self._data and self.socket.recv(65536) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        """Hang up."""
        self.socket.close()

    def _more(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError(f"closed after {self._data!r}")
        self._data += data


@dataclass
class World:
    """A worker at work: where it listens, what it serves and what it keeps."""

    port: int
    run: Path
    routing: MemoryRouting
    sink: MemorySink
    worker: Worker
    loop: asyncio.AbstractEventLoop
    wires: list[Wire] = field(default_factory=list)

    def wire(self) -> Wire:
        """A new connection, closed at the end of the test."""
        wire = Wire(self.port)
        self.wires.append(wire)
        return wire

    def ask(self, data: bytes, *, head: bool = False) -> Reply:
        """The reply to *data* on a connection of its own."""
        return self.wire().send(data).reply(head=head)

    def get(self, path: str, *headers: str) -> Reply:
        """The reply to a GET."""
        return self.ask("\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode())

    def certificates(self) -> list[PeerCertificate]:
        """What clients with a connection have proved to be."""
        found = [one.certificate for one in list(self.worker._shared.connections)]
        return [one for one in found if one is not None]

    @property
    def grpc(self) -> str:
        """Where gRPC is answered; waits until it is."""
        eventually(lambda: self.worker.grpc_port)
        return f"127.0.0.1:{self.worker.grpc_port}"

    def stop(self) -> None:
        """What SIGTERM does."""
        self.loop.call_soon_threadsafe(self.worker.stop)


@contextmanager
def running(
    run: Path,
    *,
    routing: MemoryRouting | None = None,
    authentication: bool = False,
    admission: Admission | None = None,
    limits: Limits | None = None,
    drain_wait_s: float = 0.0,
    tls: TlsFiles | None = None,
    tls_handshake_timeout_s: float = 10.0,
    doors: Doors | None = None,
    grpc: GrpcOptions | None = None,
) -> Iterator[World]:
    """A worker in a thread; it is drained at the end."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    calls = None if grpc is None else socket.create_server(("127.0.0.1", 0), backlog=512)
    port = listening.getsockname()[1]
    source, sink = routing or MemoryRouting(), MemorySink()
    options = WorkerOptions(
        run=run,
        admission=admission or Admission(authentication=authentication),
        limits=limits or Limits(),
        tls=tls,
        tls_handshake_timeout_s=tls_handshake_timeout_s,
        drain_wait_s=drain_wait_s,
        drain_timeout_s=3.0,
        poll_s=0.01,
        doors=doors or Doors(),
        grpc=grpc or GrpcOptions(),
    )
    started: list[World] = []
    ready = threading.Event()

    async def serve() -> None:
        worker = Worker(
            Child("worker-0", listening, grpc_socket=calls),
            open_source=lambda: source,
            sink=sink,
            options=options,
            losses=lambda: sink.losses,
        )
        loop = asyncio.get_running_loop()
        started.append(World(port, run, source, sink, worker, loop))
        ready.set()
        await worker.run()

    def life() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=life)
    thread.start()
    ready.wait(10)
    world = started[0]
    try:
        yield world
    finally:
        for wire in world.wires:
            wire.close()
        if thread.is_alive():
            world.stop()
        thread.join(20)
        assert not thread.is_alive()


def eventually(condition: Callable[[], object], timeout_s: float = 20.0) -> None:
    """Wait until *condition* holds."""
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, "it never came to be"
        time.sleep(0.01)
