"""What was said, by file, environment and flag, value by value, and what was wrong with it.

A draft may have holes: a value that was refused is left out of it, so that the rules between
settings can still be checked for all that is sound.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from shipway.errors import Problem


class Origin(StrEnum):
    """Who said a value; the first of these that speaks wins."""

    FLAG = "flag"
    ENVIRONMENT = "environment"
    FILE = "file"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Said:
    """An accepted value; ``where`` is its place in words, ``line`` its line when in the file."""

    value: Any
    origin: Origin
    where: str
    line: int | None = None


@dataclass(slots=True)
class Draft:
    """The values accepted so far, by name; each objective has its own, by key.

    ``damaged`` names the settings and sections that stand in the file but cannot be read.
    ``sections`` gives the place of every section that the file has.
    """

    source: str
    values: dict[str, Said] = field(default_factory=dict)
    objectives: list[dict[str, Said]] = field(default_factory=list)
    objective_places: list[tuple[str, int]] = field(default_factory=list)
    sections: dict[str, str] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def value(self, name: str) -> Any:
        """The value that was said for the setting *name*; None when none was."""
        said = self.values.get(name)
        return None if said is None else said.value

    def where(self, name: str) -> str:
        """The place of the setting *name*, or else of its section, or else of the file."""
        said = self.values.get(name)
        section = name.partition(".")[0]
        return said.where if said else self.sections.get(section, f"{self.source}:1")

    def complain(self, code: str, message: str, where: str, hint: str = "") -> None:
        """Note a problem."""
        self.problems.append(Problem(f"config.{code}", message, where, hint))

    def expects(self, *names: str) -> bool:
        """Whether none of *names* was said in a way that could not be understood."""
        return self.damaged.isdisjoint(names)
