"""What is done to servers under traffic, and the figures of it: swaps, ends, kills, reloads."""

from __future__ import annotations

import os
import random
import signal
import ssl
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.certificates import Authority
from tests.serving_processes import Processes, processes
from tests.serving_rig import MODEL, eventually, infer
from tests.soak.proxy import proxy
from tests.soak.traffic import Mark, traffic

from shipway.serving.status import wait_for_workers

_DYING_S = 0.2


@dataclass(frozen=True)
class Outcome:
    """What was done ``times``, and what became of the requests meanwhile.

    ``wrong`` were answered by a version that was no longer live, or failed without a reason.
    """

    times: int
    requests: int
    failed: list[Mark]
    wrong: int = 0
    slowest_s: float = 0.0

    @property
    def failed_share(self) -> float:
        """Of all requests."""
        return len(self.failed) / self.requests

    def __str__(self) -> str:
        return (
            f"{self.times} times, {self.requests} requests, {len(self.failed)} failed"
            f" ({self.failed_share:.3%}), {self.wrong} wrong, slowest {self.slowest_s:.3f} s"
        )


def swap_versions(server: Processes, *, swaps: int, rate: float, pause_s: float) -> Outcome:
    """Promote *swaps* versions one after the other; ``slowest_s`` is a promotion's time."""
    stale, slowest = 0, 0.0
    with traffic(server.port, infer(), rate=rate, connections=64) as load:
        load.wait_for(int(rate / 4))
        for number in range(101, swaps + 101):
            began = time.monotonic()
            state = server.registry.promote(number)
            wait_for_workers(server.run, MODEL, state.sequence)
            returned = time.monotonic()
            slowest = max(slowest, returned - began)
            load.wait_for(max(1, int(rate * pause_s)))
            stale += len(load.stale(returned, str(number)))
    return Outcome(swaps, len(load.marks), load.failed(), stale, slowest)


def stop_backends(folder: Path, *, times: int, rate: float) -> Outcome:
    """SIGTERM one of two backends behind a proxy, start it anew, and so on in turn.

    ``slowest_s`` is the longest drain.
    """
    slowest = 0.0
    with ExitStack() as stack:

        def begin(place: int) -> Processes:
            home = folder / str(place)
            return stack.enter_context(processes(home, workers=1, drain_wait_s=0.5))

        backends = [begin(0), begin(1)]
        with proxy(*(backend.port for backend in backends)) as before:
            eventually(lambda: all(before.ready(backend.port) for backend in backends))
            with traffic(before.port, infer(), rate=rate, connections=32) as load:
                load.wait_for(int(rate / 4))
                for turn in range(times):
                    place = turn % 2
                    port, supervisor = backends[place].port, backends[place].supervisor
                    began = time.monotonic()
                    supervisor.send_signal(signal.SIGTERM)
                    assert supervisor.wait(30) == 0
                    slowest = max(slowest, time.monotonic() - began)
                    assert before.take_away(port) > 0, "it had no traffic"
                    backends[place] = begin(place)
                    before.put(port := backends[place].port)
                    eventually(lambda port=port: before.ready(port))  # type: ignore[misc]
                load.wait_for(int(rate / 4))
    return Outcome(times, len(load.marks), load.failed(), slowest_s=slowest)


def kill_workers(
    server: Processes, *, seconds: float, rate: float, every_s: float, keep_alive: bool
) -> Outcome:
    """``kill -9`` a worker each *every_s*; ``slowest_s`` is until all are ready again.

    Requests that the killed one has are lost, and with *keep_alive* those that clients send it
    before the system has ended its connections. All others are ``wrong``.
    """
    random_one = random.Random(0)
    workers, slowest = len(server.workers), 0.0
    kills: list[float] = []
    request = infer(close=not keep_alive)
    with traffic(server.port, request, rate=rate, connections=16) as load:
        load.wait_for(int(rate / 4))
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            due = time.monotonic() + every_s
            victim = random_one.choice(sorted(server.pids))
            kills.append(time.monotonic())
            os.kill(victim, signal.SIGKILL)
            eventually(lambda victim=victim: server.refilled(victim, workers))  # type: ignore[misc]
            slowest = max(slowest, time.monotonic() - kills[-1])
            _sleep_until(due)
    failed = load.failed()
    unexplained = [
        mark
        for mark in failed
        if not any(mark.began <= kill + _DYING_S and mark.ended >= kill for kill in kills)
    ]
    return Outcome(len(kills), len(load.marks), failed, len(unexplained), slowest)


def renew_certificates(
    server: Processes,
    folder: Path,
    authority: Authority,
    context: ssl.SSLContext,
    *,
    times: int,
    rate: float,
) -> Outcome:
    """Change the certificate again and again; ``slowest_s`` is until every worker has it."""
    slowest = 0.0
    with traffic(server.port, infer(), rate=rate, connections=16, context=context) as load:
        load.wait_for(int(rate / 4))
        for turn in range(1, times + 1):
            authority.issue().write(folder, "server")
            changed = time.monotonic()
            _told(server, "the certificate was read again", turn * (len(server.workers) + 1))
            slowest = max(slowest, time.monotonic() - changed)
        load.wait_for(int(rate / 4))
    return Outcome(times, len(load.marks), load.failed(), slowest_s=slowest)


def roll(server: Processes, *, times: int, rate: float) -> Outcome:
    """Replace every process again and again; ``slowest_s`` is the longest roll."""
    slowest = 0.0
    with traffic(server.port, infer(), rate=rate, connections=64) as load:
        load.wait_for(int(rate / 4))
        for turn in range(1, times + 1):
            began = time.monotonic()
            server.supervisor.send_signal(signal.SIGHUP)
            _told(server, "every process was replaced", turn)
            slowest = max(slowest, time.monotonic() - began)
        load.wait_for(int(rate / 4))
    return Outcome(times, len(load.marks), load.failed(), slowest_s=slowest)


def _told(server: Processes, words: str, times: int) -> None:
    eventually(lambda: server.log.count(words) >= times, timeout_s=60)


def _sleep_until(moment: float) -> None:
    while (left := moment - time.monotonic()) > 0:
        time.sleep(left)
