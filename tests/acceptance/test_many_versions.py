"""More versions than anybody wants to see at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.projects import Project
from tests.stores import Store

SETTINGS = """\
[model]
name = "flight-delay"
task = "binary-classification"
target = "late"

[[objectives]]
metric = "roc_auc"
at_least = 0.6
"""


@pytest.fixture
def many(tmp_path: Path) -> Project:
    """A project with 60 versions, the fifth of which is deleted."""
    (tmp_path / "shipway.toml").write_text(SETTINGS)
    store = Store(tmp_path / ".shipway")
    for index in range(60):
        store.publish(f"{index}")
    store.registry.close()
    project = Project(tmp_path)
    project.json("versions", "delete", "5", "--reason", "a test")
    return project


def test_pages_of_versions(many: Project) -> None:
    """A table shows the newest 50 and how to see older ones; machines get all, or what they ask."""
    shown = many.call("versions").out
    assert "9 more are not shown; older ones: shipway versions --before 11" in shown
    everything = many.json("versions")
    assert [each["number"] for each in everything["versions"]] == [1, 2, 3, 4, *range(6, 61)]
    assert everything["left_out"] == 0
    page = many.json("versions", "--limit", "3", "--before", "7")
    assert [each["number"] for each in page["versions"]] == [3, 4, 6]
    assert page["left_out"] == 56
    assert many.call("versions", "--limit", "0").code == 2
