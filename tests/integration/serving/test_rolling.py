"""Every process of a server replaced by a newer one, and nobody notices."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.serving_processes import ask
from tests.serving_rig import Wire, eventually, infer
from tests.soak.traffic import traffic

from shipway.serving.status import is_alive, wait_for_workers

if TYPE_CHECKING:
    from tests.serving_processes import Processes


def hang_up(server: Processes) -> None:
    server.supervisor.send_signal(signal.SIGHUP)


def replaced(server: Processes, before: set[int], workers: int) -> bool:
    pids = server.pids
    return len(pids) == workers and not pids & before and not any(map(is_alive, before))


def test_sighup_under_load(start: Callable[..., Processes]) -> None:
    """On SIGHUP every process is a new one afterwards, and no request fails meanwhile."""
    server = start(workers=2)
    before, control, zygote = server.pids, server.control, server.zygote
    with traffic(server.port, infer(), rate=200, connections=16) as load:
        load.wait_for(100)
        hang_up(server)
        eventually(lambda: replaced(server, {*before, control, zygote}, 2))
        load.wait_for(100)
    assert load.failed() == []
    assert "every process was replaced" in server.log
    assert len(server.children) == 6  # with the workers' heirs


def test_a_server_that_rolls_stays_ready(start: Callable[..., Processes]) -> None:
    """While workers are replaced nobody who asks hears that the server is not ready."""
    server = start(workers=2)
    before = server.pids
    request = b"GET /readyz HTTP/1.1\r\nHost: test\r\n\r\n"
    with traffic(server.port, request, rate=100, connections=8) as load:
        hang_up(server)
        eventually(lambda: replaced(server, before, 2))
    assert load.failed() == []


def test_one_after_the_other(start: Callable[..., Processes]) -> None:
    """An old worker is drained only when its successor is ready: there are never fewer."""
    server = start(workers=2)
    before, fewest = server.pids, 2
    hang_up(server)

    def over() -> bool:
        nonlocal fewest
        fewest = min(fewest, len(server.pids))
        return replaced(server, before, 2)

    eventually(over)
    assert fewest == 2
    assert {one.name for one in server.workers} < {"worker-0", "worker-1", "worker-2"}


def test_a_successor_that_does_not_come(start: Callable[..., Processes]) -> None:
    """When the new worker cannot start the old ones stay, and the log says why."""
    server = start(workers=2)
    before, control = server.pids, server.control
    (server.home / "crash").touch()
    hang_up(server)
    eventually(lambda: "the processes of before stay" in server.log)
    assert (server.pids, server.control) == (before, control)
    assert "exit code 3" in server.log
    (server.home / "crash").unlink()
    os.kill(min(before), signal.SIGKILL)
    eventually(lambda: server.refilled(min(before), 2))
    hang_up(server)
    eventually(lambda: replaced(server, before, 2))


def test_settings_that_are_wrong(start: Callable[..., Processes]) -> None:
    """When what is read again is no good nothing is replaced, and the log says what is wrong."""
    server = start()
    before = server.pids
    (server.home / "options.json").write_text("{")
    hang_up(server)
    eventually(lambda: "nothing is replaced" in server.log)
    assert ask(server.port) == (200, "1")
    assert server.pids == before


def test_sighup_again_and_again(start: Callable[..., Processes]) -> None:
    """SIGHUPs during a roll make one more roll; one during the drain changes nothing."""
    server = start()
    for _ in range(5):
        hang_up(server)
    eventually(lambda: server.log.count("every process was replaced") >= 1)
    hang_up(server)
    eventually(lambda: server.log.count("every process was replaced") >= 2)
    children = server.children
    hang_up(server)
    server.supervisor.send_signal(signal.SIGTERM)
    hang_up(server)
    assert server.supervisor.wait(20) == 0
    assert not any(map(is_alive, children))


def test_killed_in_the_middle(start: Callable[..., Processes]) -> None:
    """An old worker that is killed while its successor starts is replaced by that."""
    server = start()
    (old,) = server.pids
    hang_up(server)
    eventually(lambda: len(server.children) > 3)
    if is_alive(old):
        os.kill(old, signal.SIGKILL)
    eventually(lambda: replaced(server, {old}, 1))
    assert ask(server.port) == (200, "1")


def test_a_retiring_worker_still_follows(start: Callable[..., Processes]) -> None:
    """A promotion waits for a worker that retires as well: it answers whom it has."""
    server = start(drain_wait_s=3.0)
    (old,) = server.pids
    held = Wire(server.port)
    assert held.send(infer()).reply().json["model_version"] == "1"
    hang_up(server)
    eventually(lambda: server.refilled(old, 1))
    assert is_alive(old)
    state = server.registry.promote(2)
    wait_for_workers(server.run, "late", state.sequence, timeout_s=10)
    reply = held.send(infer()).reply()
    assert (reply.json["model_version"], reply.headers["connection"]) == ("2", "close")
    held.close()
