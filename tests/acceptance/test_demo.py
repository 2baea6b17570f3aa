"""The story that ``shipway demo`` tells, as it is told to a newcomer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("demo")]

PROMISED = {
    "predictions",
    "failed_requests",
    "labels_joined",
    "weeks",
    "alerts",
    "gates",
    "versions",
    "promoted",
    "rolled_back",
    "seconds",
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The summary of a short demo; stdout held nothing else."""
    folder = tmp_path_factory.mktemp("demo") / "flights"
    command = [sys.executable, "-m", "shipway", "demo", "--fast", "--json", "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = msgspec.json.decode(done.stdout)
    return summary


def test_every_step_of_the_story_happens(told: dict[str, Any]) -> None:
    """Nothing is missing, no request fails, and every label that was told is joined."""
    assert set(told) >= PROMISED
    assert told["missing"] == []
    assert told["failed_requests"] == 0
    assert told["labels_joined"] > 0.9 * told["predictions"] > 0
    assert len(told["weeks"]) == 40
    assert sum(week["predictions"] for week in told["weeks"]) == told["predictions"]


def test_the_gate_of_the_story_can_tell_good_from_bad(told: dict[str, Any]) -> None:
    """The model trained in good faith passes; shuffled labels and a constant answer fail."""
    verdicts = {gate["candidate"]: gate["verdict"] for gate in told["gates"]}
    assert verdicts["version 1"] == "pass"
    assert verdicts["shuffled labels"] == "fail"
    assert verdicts["version 3"] == "fail"


def test_an_alert_leads_to_a_better_model_and_a_bad_one_is_rolled_back(
    told: dict[str, Any],
) -> None:
    """The alert names the features that moved; versions change while requests are answered."""
    first = told["alerts"][0]
    assert first["moved"]
    assert "explain" in first["explanation"]
    assert (told["promoted"], told["rolled_back"], told["live"]) == (2, 3, 2)
    assert [line["action"] for line in told["switches"]] == [
        "promote",
        "promote (forced)",
        "rollback",
    ]
    assert all(line["requests_meanwhile"] > 0 for line in told["switches"])


def test_the_documents_of_the_story_are_there(told: dict[str, Any]) -> None:
    """The card and the report that the summary names can be opened."""
    for document in ("card", "report"):
        assert Path(told[document]).read_text(encoding="utf-8").startswith("<!")
