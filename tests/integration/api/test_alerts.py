"""Alerts of several `monitor` commands at once."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from shipway.api import monitor
from shipway.api.project import open_project
from shipway.monitoring.alerts import AlertState


def test_two_monitors_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state of the alerts is read and kept by one process at a time."""
    (tmp_path / "shipway.toml").write_text(
        '[model]\nname = "m"\ntask = "regression"\ntarget = "y"\n'
        '[[objectives]]\nmetric = "mae"\nat_most = 1\n'
    )
    inside: list[int] = []
    most: list[int] = []

    def slow(path: Path) -> AlertState:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.05)
        return AlertState()

    def save(path: Path, state: AlertState) -> None:
        inside.pop()

    monkeypatch.setattr(monitor, "load_state", slow)
    monkeypatch.setattr(monitor, "save_state", save)
    project = open_project(tmp_path, environ={})
    threads = [threading.Thread(target=monitor.raise_alerts, args=(project, ())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1]
