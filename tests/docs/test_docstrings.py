"""The examples in the docstrings of the package run."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
_NOT_MODULES = ("templates",)


def _with_examples() -> list[str]:
    """The modules whose text has an example, by name."""
    return [
        ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        for path in sorted(SOURCE.rglob("*.py"))
        if ">>>" in path.read_text(encoding="utf-8") and not set(_NOT_MODULES) & set(path.parts)
    ]


@pytest.mark.parametrize("name", _with_examples())
def test_the_examples_of_the_module_run(name: str) -> None:
    """What a docstring shows is what happens."""
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0
