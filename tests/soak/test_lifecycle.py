"""Servers that change, end and die under traffic; the figures are printed."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.certificates import Authority, client_context, tls_files
from tests.serving_processes import processes
from tests.soak import lifecycle
from tests.soak.scale import sized

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def told(outcome: lifecycle.Outcome) -> lifecycle.Outcome:
    print(outcome)  # noqa: T201
    return outcome


def test_version_swaps(tmp_path: Path) -> None:
    """Versions are swapped at 200 requests/s: none fails, none is stale after the promotion."""
    with processes(tmp_path, workers=2) as server:
        done = told(lifecycle.swap_versions(server, swaps=sized(20, 100), rate=200, pause_s=0.25))
    assert done.failed == []
    assert done.wrong == 0


def test_sigterms_behind_a_proxy(tmp_path: Path) -> None:
    """Backends behind a proxy are told to end at 200 requests/s, and none fails."""
    done = told(lifecycle.stop_backends(tmp_path, times=sized(4, 30), rate=200))
    assert done.failed == []


@pytest.mark.parametrize("keep_alive", [False, True])
def test_killed_workers(tmp_path: Path, keep_alive: bool) -> None:
    """A worker is killed each second at 100 requests/s: nothing fails but what it had, if that."""
    seconds = sized(6, 60)
    with processes(tmp_path, workers=2) as server:
        done = told(
            lifecycle.kill_workers(
                server, seconds=seconds, rate=100, every_s=1.0, keep_alive=keep_alive
            )
        )
    assert done.times >= seconds / 2
    assert done.wrong == 0
    if sized(0, 1):
        assert done.failed_share <= 0.001


def test_certificates_renewed(tmp_path: Path) -> None:
    """Certificates change at 200 requests/s, and none fails."""
    authority = Authority()
    files = tls_files(tmp_path, authority)
    with processes(tmp_path, workers=2, tls=files) as server:
        context = client_context(tmp_path, authority)
        times = sized(5, 100)
        done = told(
            lifecycle.renew_certificates(
                server, tmp_path, authority, context, times=times, rate=200
            )
        )
    assert done.failed == []


def test_rolls(tmp_path: Path) -> None:
    """Every process is replaced again and again at 200 requests/s, and none fails."""
    with processes(tmp_path, workers=2) as server:
        done = told(lifecycle.roll(server, times=sized(3, 30), rate=200))
    assert done.failed == []
