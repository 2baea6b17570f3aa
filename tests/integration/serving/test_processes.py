"""A whole server of processes, and what is done to it."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.serving_child import FileRegistry
from tests.serving_processes import ask
from tests.serving_rig import MODEL, Wire, eventually, infer

from shipway.errors import ConflictError, PortInUse, UsageError
from shipway.serving.plan import ServerPlan
from shipway.serving.sockets import listen
from shipway.serving.status import is_alive, read_server, read_workers
from shipway.serving.supervisor import supervise

if TYPE_CHECKING:
    from tests.serving_processes import Processes


def test_life_and_drain(start: Callable[..., Processes]) -> None:
    """Two workers serve, follow a promotion asked of the control plane, and end on SIGTERM."""
    server = start(workers=2)
    assert ask(server.port) == (200, "1")
    url = server.record.control_url
    reply = httpx.post(f"{url}/v1/endpoints/{MODEL}/promote", json={"version": 2})
    assert reply.json() == {"endpoint": MODEL, "model": MODEL, "live": 2, "sequence": 2}
    assert {ask(server.port) for _ in range(20)} == {(200, "2")}
    label = {"prediction_id": "a:0", "value": 1, "observed_at": "2013-04-01T00:00:00Z"}
    assert httpx.post(f"{url}/v1/labels", json={"labels": [label]}).json() == {"accepted": 1}
    (line,) = (server.home / "labels.jsonl").read_text().splitlines()
    assert json.loads(line)["observed_at_ns"] == 1_364_774_400_000_000_000
    metrics = httpx.get(f"{url}/metrics").text
    labels_of_2 = 'endpoint="late",model_name="late",model_version="2"'
    assert f'shipway_requests_total{{{labels_of_2},status="200"}} 20.0' in metrics
    assert f"shipway_request_duration_seconds_count{{{labels_of_2}}} 20.0" in metrics
    children = server.children
    server.supervisor.send_signal(signal.SIGTERM)
    assert server.supervisor.wait(15) == 0
    assert not any(map(is_alive, children))
    assert read_server(server.run) is None
    assert read_workers(server.run) == ()


def test_sigterm_under_load(start: Callable[..., Processes]) -> None:
    """While the server drains every request that gets a connection gets its answer."""
    server = start()
    port, answered, ended = server.port, [0], threading.Event()
    failures: list[str] = []

    def load() -> None:
        while not ended.is_set():
            try:
                status, _ = ask(port)
            except ConnectionRefusedError:
                return  # after the end of the drain: a proxy has sent it elsewhere long ago
            except OSError as error:
                failures.append(repr(error))
                return
            answered[0] += 1
            if status != 200:
                failures.append(str(status))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    eventually(lambda: answered[0] > 100)
    server.supervisor.send_signal(signal.SIGTERM)
    assert server.supervisor.wait(15) == 0
    ended.set()
    for thread in threads:
        thread.join()
    # The backlog of the last microsecond may be reset; nothing else may be lost.
    assert len(failures) <= len(threads)
    assert all("Reset" in failure or "Broken" in failure for failure in failures)


def test_killed_worker(start: Callable[..., Processes]) -> None:
    """A worker that is killed is replaced, its siblings answer meanwhile, its counts stay."""
    server = start(workers=2)
    url = server.record.control_url
    for _ in range(10):
        assert ask(server.port)[0] == 200
    before = {worker.pid for worker in server.workers}
    victim = sorted(before)[0]
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: server.refilled(victim, 2))
    assert {ask(server.port) for _ in range(20)} == {(200, "1")}
    metrics = httpx.get(f"{url}/metrics").text
    assert 'model_version="1",status="200"} 30.0' in metrics


def test_killed_control(start: Callable[..., Processes]) -> None:
    """A control process that is killed is replaced as well."""
    server = start()
    url = server.record.control_url
    workers = {worker.pid for worker in server.workers}
    control = server.control
    assert control not in workers
    os.kill(control, signal.SIGKILL)
    eventually(lambda: _alive(url) and control not in server.children)


def _alive(url: str) -> bool:
    try:
        return httpx.get(f"{url}/livez", timeout=1).status_code == 200
    except httpx.HTTPError:
        return False


def test_killed_supervisor(start: Callable[..., Processes]) -> None:
    """When the supervisor is killed no child outlives it for long, and the ports are free."""
    server = start(workers=2)
    children, port = server.children, server.port
    assert len(children) == 6  # a zygote, a control process, two workers and their heirs
    server.supervisor.kill()
    server.supervisor.wait()
    eventually(lambda: not any(map(is_alive, children)), timeout_s=15)
    listen("127.0.0.1", port, setting="serve.port").close()


def test_second_sigterm(start: Callable[..., Processes]) -> None:
    """A second SIGTERM ends the drain at once."""
    server = start()
    half = Wire(server.port).send(infer()[:-5])
    children = server.children
    server.supervisor.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    began = time.monotonic()
    server.supervisor.send_signal(signal.SIGTERM)
    assert server.supervisor.wait(10) == 1
    assert time.monotonic() - began < 3  # the drain would have taken five seconds
    assert not any(map(is_alive, children))
    half.close()


def test_crash_loop_at_start(start: Callable[..., Processes], tmp_path: Path) -> None:
    """A server whose workers cannot start gives up and says so, and leaves nothing behind."""
    (tmp_path / "crash").touch()
    server = start(wait=False)
    assert server.supervisor.wait(60) != 0
    assert "before it was ready" in server.log
    assert "http://" not in server.log
    assert read_server(server.run) is None


def test_what_is_taken(start: Callable[..., Processes]) -> None:
    """A store that is served and a port that is taken are refused, with by whom and what to do."""
    server = start()
    with pytest.raises(ConflictError, match=server.record.url):
        supervise(_plan(server.run), announce=lambda _: None)
    with pytest.raises(PortInUse) as caught:
        listen("127.0.0.1", server.port, setting="serve.port")
    message = str(caught.value)
    pids = {server.supervisor.pid, *server.children}
    assert any(f"process {pid}" in message for pid in pids)
    assert "serve.port" in message


def test_crash_loop_under_way(start: Callable[..., Processes]) -> None:
    """A worker that ends again and again is started ever more slowly; its siblings answer."""
    server = start(workers=2)
    (server.home / "crash").touch()
    os.kill(server.workers[0].pid, signal.SIGKILL)
    eventually(lambda: server.log.count("exit code 3") >= 3)
    assert ask(server.port) == (200, "1")
    (server.home / "crash").unlink()
    eventually(lambda: len(server.workers) == 2)


def test_killed_zygote(start: Callable[..., Processes]) -> None:
    """A zygote that is killed takes nobody with it, and another forks the next worker."""
    server = start(workers=2)
    before, zygote = server.pids, server.zygote
    os.kill(zygote, signal.SIGKILL)
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: server.refilled(victim, 2))
    assert before - {victim} < server.pids
    assert ask(server.port) == (200, "1")
    children = [*server.children, *before]
    server.supervisor.send_signal(signal.SIGTERM)
    assert server.supervisor.wait(15) == 0
    assert not any(map(is_alive, children))


def test_zygotes_that_never_begin(start: Callable[..., Processes], tmp_path: Path) -> None:
    """Where no zygote begins it is tried three times, and children are started without."""
    (tmp_path / "crash-zygote").touch()
    server = start()
    assert ask(server.port) == (200, "1")
    assert server.log.count("another is started") == 2
    assert server.log.count("are started, not forked") == 1


def test_an_installation_that_cannot_begin(start: Callable[..., Processes], tmp_path: Path) -> None:
    """Where neither zygote nor workers can start, the server gives up and says so."""
    (tmp_path / "crash-zygote").touch()
    (tmp_path / "crash").touch()
    server = start(wait=False)
    assert server.supervisor.wait(60) != 0
    assert "before it was ready" in server.log


def test_without_a_zygote(start: Callable[..., Processes]) -> None:
    """Where children cannot be forked they are started, and are replaced all the same."""
    server = start(workers=2, zygote=False)
    assert len(server.children) == 5
    victim = server.workers[0].pid
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: server.refilled(victim, 2))
    children = server.children
    server.supervisor.send_signal(signal.SIGTERM)
    assert server.supervisor.wait(15) == 0
    assert not any(map(is_alive, children))


@pytest.mark.parametrize("end", ["worker", "supervisor", "drain", "drain-twice"])
def test_grandchildren(start: Callable[..., Processes], tmp_path: Path, end: str) -> None:
    """What a worker has started ends with it, however the worker, or all of the server, ends."""
    (tmp_path / "spawn").touch()
    server = start()
    spawned = [int(line) for line in (tmp_path / "spawned").read_text().split()]
    everyone = [*server.children, *spawned]
    assert all(map(is_alive, spawned))
    if end == "worker":
        os.kill(server.workers[0].pid, signal.SIGKILL)
        everyone = spawned
    elif end == "supervisor":
        server.supervisor.kill()
        server.supervisor.wait()
    else:
        server.supervisor.send_signal(signal.SIGTERM)
        if end == "drain-twice":
            server.supervisor.send_signal(signal.SIGTERM)
        server.supervisor.wait(15)
    eventually(lambda: not any(map(is_alive, everyone)))


def test_sigterm_before_ready(start: Callable[..., Processes], tmp_path: Path) -> None:
    """A server that is told to end while its model loads ends, and was never announced."""
    FileRegistry(tmp_path).promote(14)
    server = start(wait=False)
    eventually(lambda: read_workers(server.run) != ())
    children = server.children
    server.supervisor.send_signal(signal.SIGTERM)
    assert server.supervisor.wait(20) == 0
    assert not any(map(is_alive, children))
    assert "http://" not in server.log


def test_sigterm_while_importing(start: Callable[..., Processes]) -> None:
    """A server that is told to end before it has a worker ends."""
    server = start(wait=False)
    eventually(lambda: server.children != [])
    children = server.children
    server.supervisor.send_signal(signal.SIGTERM)
    assert server.supervisor.wait(20) == 0
    assert not any(map(is_alive, children))


def test_everyone_is_told_twice(start: Callable[..., Processes], tmp_path: Path) -> None:
    """A service manager that signals every process of a service neither cuts the drain short nor
    leaves anything behind."""
    (tmp_path / "spawn").touch()
    server = start(workers=2)
    spawned = {int(line) for line in (tmp_path / "spawned").read_text().split()}
    half = Wire(server.port).send(infer()[:-5])
    children = server.children
    for pid in {*children, server.supervisor.pid} - spawned:
        os.kill(pid, signal.SIGTERM)
    assert half.send(infer()[-5:]).reply().status == 200
    half.close()
    assert server.supervisor.wait(15) == 0
    assert not any(map(is_alive, children))


def test_no_open_door(tmp_path: Path) -> None:
    """Without authentication nothing but loopback is bound."""
    plan = _plan(tmp_path, host="0.0.0.0", authentication=False)
    with pytest.raises(UsageError, match=r"0\.0\.0\.0"):
        supervise(plan, announce=lambda _: None)


def _plan(run: Path, *, host: str = "127.0.0.1", authentication: bool = True) -> ServerPlan:
    return ServerPlan(
        host=host,
        port=0,
        control_port=0,
        workers=1,
        worker_command=("false",),
        control_command=("false",),
        run=run,
        authentication=authentication,
    )
