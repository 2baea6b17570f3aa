"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shipway import durable
from shipway.errors import NotEnoughData, StoreError
from shipway.monitoring.alerts import AlertState, load_state, save_state
from shipway.monitoring.report import write_report


def test_a_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed write leaves the old file and no rubbish."""
    path = tmp_path / "state.json"
    durable.replace_file(path, b"old")

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StoreError, match="is full"), durable.storing(path):
        durable.replace_file(path, b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["state.json"]
    assert path.read_bytes() == b"old"


def test_the_state_of_alerts_survives_and_a_damaged_one_is_said(tmp_path: Path) -> None:
    """Kept whole or not at all; never silently begun anew."""
    path = tmp_path / "alerts.json"
    state = AlertState(judged_until={"a": datetime(2013, 4, 8, tzinfo=UTC)})
    assert load_state(path) == AlertState()
    save_state(path, state)
    assert load_state(path) == state
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(StoreError, match="cannot be read"):
        load_state(path)


def test_a_report_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """An old report stays when the new one cannot be made."""
    path = tmp_path / "report.html"
    path.write_text("old")
    with pytest.raises(NotEnoughData):
        write_report(path, [], generated_at=datetime(2013, 4, 8, tzinfo=UTC))
    assert path.read_text() == "old"
