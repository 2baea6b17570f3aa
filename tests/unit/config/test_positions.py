"""Where things stand in a TOML document."""

from __future__ import annotations

import tomllib
from typing import Any

import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from shipway.config.positions import find_positions

DOCUMENT = """\
a.b = 1  # dotted
[model]  # a comment with [brackets]
name = "a # b ] ="
"qu oted" = '''one
two'''
escaped = "say \\"]\\" \\\\"

[[objectives]]
metric = "x"
slices = [
  "one",  # ] in a comment
  ["nested"],
]
[[objectives]]
inline = { a = 1, b.c = [1, { d = 2 }] }
[deep.er]
z = 1979-05-27T07:32:00Z
empty = ""
"""


def test_every_statement_is_found_on_its_line() -> None:
    """Tables, lists of tables, dotted, quoted and nested keys are found where they stand."""
    lines = find_positions(DOCUMENT)
    expected = {
        ("a", "b"): 1,
        ("model",): 2,
        ("model", "name"): 3,
        ("model", "qu oted"): 4,
        ("model", "escaped"): 6,
        ("objectives", 0): 8,
        ("objectives", 0, "metric"): 9,
        ("objectives", 0, "slices"): 10,
        ("objectives", 0, "slices", 0): 11,
        ("objectives", 0, "slices", 1, 0): 12,
        ("objectives", 1): 14,
        ("objectives", 1, "inline", "b", "c", 1, "d"): 15,
        ("deep", "er"): 16,
        ("deep", "er", "z"): 17,
        ("deep", "er", "empty"): 18,
    }
    assert {path: lines.get(path) for path in expected} == expected


keys = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=6)
scalars = st.one_of(
    st.integers(-(10**9), 10**9),
    st.booleans(),
    st.floats(allow_nan=False),
    st.dates(),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12),
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3)
)


def paths_of(value: Any, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    """The path of every key and item of a parsed document."""
    items: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return {(*path, key) for key, _ in items}.union(
        *(paths_of(inner, (*path, key)) for key, inner in items)
    )


@given(st.dictionaries(keys, values, max_size=4))
def test_whatever_can_be_written_is_found(document: dict[str, Any]) -> None:
    """Every key and item of any document that tomlkit writes has a line within the document."""
    text = tomlkit.dumps(document)
    lines = find_positions(text)
    assert paths_of(tomllib.loads(text)) <= set(lines)
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())
