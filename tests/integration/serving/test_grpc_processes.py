"""gRPC of a whole server: workers that share one port, die, are replaced and end."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import grpc
from tests.grpc_rig import INFER, ask, channel, infer_request
from tests.serving_processes import processes
from tests.serving_rig import eventually

GOOD = infer_request().SerializeToString()
_OK = grpc.StatusCode.OK


def answers(target: str) -> bool:
    """Whether a connection of its own is answered."""
    with channel(target) as line:
        return ask(line, INFER, GOOD, timeout_s=5).code is _OK


def test_workers_share_the_port(tmp_path: Path) -> None:
    """Two workers answer on one port; when one is killed, the other and then a new one do."""
    with processes(tmp_path / "home", workers=2, grpc=True) as server:
        target = server.record.grpc_url
        eventually(lambda: answers(target))
        assert all(answers(target) for _ in range(20))
        victim, _ = sorted(server.pids)
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: answers(target))
        eventually(lambda: server.refilled(victim, 2))
        eventually(lambda: all(answers(target) for _ in range(10)))


def test_an_end_under_load(tmp_path: Path) -> None:
    """SIGTERM ends the server with 0, and every call until the last was answered."""
    with processes(tmp_path / "home", workers=2, grpc=True) as server:
        target = server.record.grpc_url
        eventually(lambda: answers(target))
        codes: list[grpc.StatusCode] = []

        def go_on() -> None:
            with channel(target) as line:
                while not codes or codes[-1] is _OK:
                    codes.append(ask(line, INFER, GOOD, timeout_s=20).code)

        thread = threading.Thread(target=go_on)
        thread.start()
        eventually(lambda: len(codes) > 20)
        server.supervisor.send_signal(signal.SIGTERM)
        thread.join(30)
        assert server.supervisor.wait(30) == 0
        assert codes[-1] is grpc.StatusCode.UNAVAILABLE
        assert set(codes[:-1]) == {_OK}


def test_a_roll_under_load(tmp_path: Path) -> None:
    """While workers are replaced, no call is lost: what crosses a GOAWAY is taken all the same."""
    with processes(tmp_path / "home", workers=2, grpc=True) as server:
        target = server.record.grpc_url
        eventually(lambda: answers(target))
        before = server.pids
        over = threading.Event()
        codes: list[grpc.StatusCode] = []

        def go_on() -> None:
            with channel(target) as line:
                while not over.is_set() or not codes:
                    codes.append(ask(line, INFER, GOOD, timeout_s=20).code)

        thread = threading.Thread(target=go_on)
        thread.start()
        server.supervisor.send_signal(signal.SIGHUP)
        eventually(lambda: len(server.pids) == 2 and not server.pids & before)
        over.set()
        thread.join(30)
        assert set(codes) == {_OK}
