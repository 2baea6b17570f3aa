"""The table of threats is whole: each row has its test and guards, and each guard is in place."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from tests.threats.guard import Guard
from tests.threats.mutants import SOURCE, all_guards
from tests.threats.rows import GUARDED, ROWS

HERE = Path(__file__).parent


def test_every_row_has_its_test() -> None:
    """Each row of the table has one test, called after it, in the module that it names; and no
    test of those modules is without a row.
    """
    tests = {
        (path.stem, node.name.removeprefix("test_"))
        for path in HERE.glob("test_*.py")
        if path.name != Path(__file__).name
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    assert tests == {(row.module, row.id) for row in ROWS}
    assert len(ROWS) == 25
    assert len({row.id for row in ROWS}) == len(ROWS)
    for row in GUARDED:
        for test in row.tests:
            path, _, name = test.partition("::")
            text = (HERE.parents[1] / path).read_text("utf-8")
            assert f"def {name}(" in text or not name


def test_every_row_has_guards() -> None:
    """No row is without a guard that a mutation run takes away."""
    assert [row.id for row in GUARDED if len(row.guards) < 3] == []
    names = [(row.id, guard.name) for row in GUARDED for guard in row.guards]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("guard", all_guards(), ids=lambda one: f"{one.file}: {one.name}")
def test_every_guard_is_where_it_says(guard: Guard) -> None:
    """The text of each guard stands once in its file, and without it the file is another."""
    text = (SOURCE / guard.file).read_text("utf-8")
    assert text.count(guard.text) == 1
    changed = text.replace(guard.text, guard.without)
    assert changed != text
    if guard.file.endswith(".py"):
        ast.parse(changed)
