"""A shipway.toml with mistakes, as the person who made them meets it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.projects import Flights

BROKEN = """\
[model]
name = "Flight Delay"
task = "binary-clasification"
target = "late"

[[objectives]]
metric = "roc_acu"
at_least = 0.7

[serve]
port = "many"
prot = 8080
"""


def test_five_mistakes_give_five_messages_with_line_numbers(
    untouched: Flights, tmp_path: Path
) -> None:
    """Every mistake is told at once, with its line and the name that was meant."""
    project = untouched.copy(tmp_path / "project")
    (project.folder / "shipway.toml").write_text(BROKEN, encoding="utf-8")
    done = project.run("check")
    assert done.returncode == 2
    said = done.stdout + done.stderr
    lines = re.findall(r"shipway\.toml:(\d+)", said)
    assert sorted(map(int, lines)) == [2, 3, 7, 11, 12], said
    assert "roc_auc" in said
    assert "binary-classification" in said
    assert "port" in said
    assert "Traceback" not in said
