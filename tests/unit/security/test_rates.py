"""Rates: what is allowed in the long run and at once, for any number of callers in little room."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from shipway.errors import RateLimited
from shipway.security.rates import RATES_FILE, Rate, Rates, take, wipe_rates


class Clock:
    """Seconds, set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def limiting(path: Path, rate: Rate, clock: Clock, **more: Rate) -> Iterator[Rates]:
    """Rates in the file *path*, closed at the end."""
    rates = Rates(path, rate, of="requests", setting="x", special=more, clock=clock)
    try:
        yield rates
    finally:
        rates.close()


def spent(rates: Rates, caller: str, amount: float = 1.0) -> bool:
    """Whether the caller was let in."""
    try:
        rates.spend(caller, amount)
    except RateLimited as error:
        return error.retry_after_s < 1
    return True


@given(
    st.floats(0.1, 1000),
    st.integers(1, 50),
    st.lists(st.floats(0, 5), min_size=1, max_size=200),
)
def test_never_more_than_promised(per_s: float, burst: int, pauses: list[float]) -> None:
    """In no stretch of time is more let in than the burst and what the rate gives meanwhile."""
    rate, now, full_at = Rate(per_s, burst), 0.0, 0.0
    let_in: list[float] = []
    for pause in pauses:
        now += pause
        taken = take(rate, full_at, now)
        full_at = taken.full_at
        if taken.wait_s == 0:
            let_in.append(now)
    for first, start in enumerate(let_in):
        for last in range(first, len(let_in)):
            allowed = burst + per_s * (let_in[last] - start)
            assert last - first + 1 <= allowed * (1 + 1e-6) + 1e-3


@given(st.floats(0.1, 1000), st.integers(1, 50), st.floats(0, 100))
def test_waiting_as_told_is_enough(per_s: float, burst: int, debt_s: float) -> None:
    """Who waits as long as it was told is let in."""
    rate = Rate(per_s, burst)
    refused = take(rate, debt_s, 0.0)
    assert refused.wait_s == 0 or take(rate, debt_s, refused.wait_s).wait_s == 0


def test_burst_then_rate(tmp_path: Path) -> None:
    """After a pause a burst is let in, then one at a time as the rate says."""
    clock = Clock()
    with limiting(tmp_path / "r", Rate(10, 5), clock) as rates:
        assert [spent(rates, "a") for _ in range(7)] == [True] * 5 + [False] * 2
        clock.now += 0.1
        assert [spent(rates, "a") for _ in range(2)] == [True, False]
        clock.now += 100
        assert [spent(rates, "a") for _ in range(6)] == [True] * 5 + [False]


def test_many_rows_at_once(tmp_path: Path) -> None:
    """A request of more than a burst is let in once the bucket is full, and is made up for."""
    clock = Clock()
    with limiting(tmp_path / "r", Rate(10, 20), clock) as rates:
        assert spent(rates, "a", 100)
        assert not spent(rates, "a", 1)
        clock.now += 8.05
        assert not spent(rates, "a", 2)
        clock.now += 0.2
        assert spent(rates, "a", 2)


def test_special_rates(tmp_path: Path) -> None:
    """A caller with a rate of its own has that one."""
    with limiting(tmp_path / "r", Rate(1, 1), Clock(), b=Rate(1, 3)) as rates:
        assert [spent(rates, "a") for _ in range(2)] == [True, False]
        assert [spent(rates, "b") for _ in range(4)] == [True] * 3 + [False]


def test_workers_share(tmp_path: Path) -> None:
    """Two workers that have the same table count together."""
    clock = Clock()
    with ExitStack() as stack:
        one, two = (
            stack.enter_context(limiting(tmp_path / "r", Rate(1, 4), clock)) for _ in range(2)
        )
        assert [spent(rates, "a") for rates in (one, two, one, two, one, two)] == [
            True, True, True, True, False, False,
        ]  # fmt: skip
        assert spent(two, "b")


def test_processes_share(tmp_path: Path) -> None:
    """What one process has let in counts in another."""
    path = tmp_path / "r"
    program = (
        "import sys; from pathlib import Path; from shipway.security.rates import Rate, Rates\n"
        "rates = Rates(Path(sys.argv[1]), Rate(0.001, 3), of='requests', setting='x')\n"
        "[rates.spend('a') for _ in range(3)]"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)
    with limiting_now(path) as rates:
        assert not spent(rates, "a")
        assert spent(rates, "b")


@contextmanager
def limiting_now(path: Path) -> Iterator[Rates]:
    """Rates by the machine's own clock."""
    rates = Rates(path, Rate(0.001, 3), of="requests", setting="x")
    try:
        yield rates
    finally:
        rates.close()


def test_many_callers(tmp_path: Path) -> None:
    """However many callers there are, the table does not grow, and who is busy stays limited."""
    clock = Clock()
    path = tmp_path / "r"
    with limiting(path, Rate(1, 1), clock) as rates:
        before = path.stat().st_size
        assert spent(rates, "busy")
        let_in = 0
        for number in range(30_000):
            clock.now += 0.001
            let_in += spent(rates, f"caller-{number}")
            if number % 600 == 599:  # at one request a second, every second time
                assert spent(rates, "busy") == (number % 1200 == 1199)
        assert let_in == 30_000
        assert path.stat().st_size == before
        assert len(rates._tags) <= 4096


def test_a_full_table(tmp_path: Path) -> None:
    """Where more callers are limited at once than there are places, nothing fails."""
    with limiting(tmp_path / "r", Rate(0.001, 1), Clock()) as rates:
        assert all(spent(rates, f"caller-{number}") for number in range(40_000))


def test_threads(tmp_path: Path) -> None:
    """Threads of one process let in exactly what is promised."""
    with limiting(tmp_path / "r", Rate(0.001, 5000), Clock()) as rates:
        let_in: list[bool] = []
        threads = [
            threading.Thread(target=lambda: let_in.extend(spent(rates, "a") for _ in range(1000)))
            for _ in range(8)
        ]
        before = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            sys.setswitchinterval(before)
        assert let_in.count(True) == 5000


def test_a_new_server_begins_anew(tmp_path: Path) -> None:
    """What was counted before the server was started again is forgotten, and nothing else."""
    clock, path, other = Clock(), tmp_path / f"{RATES_FILE}-requests", tmp_path / "server.json"
    other.touch()
    with limiting(path, Rate(0.001, 1), clock) as rates:
        assert spent(rates, "a")
    wipe_rates(tmp_path)
    assert other.exists()
    with limiting(path, Rate(0.001, 1), clock) as rates:
        assert spent(rates, "a")
