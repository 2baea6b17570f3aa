"""What a document is made of: sections of facts, tables, points and code, for any format."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

NOT_RECORDED = "not recorded"


@dataclass(frozen=True, slots=True)
class Bar:
    """An interval drawn on a line from 0 to 100: where it lies, its value, and the target."""

    low: float
    high: float
    value: float | None
    target: float


@dataclass(frozen=True, slots=True)
class Cell:
    """One value; ``tone`` is a verdict, ``absent``, ``code``, ``digest``, or nothing."""

    text: str
    tone: str = ""
    bar: Bar | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and what is recorded under each."""

    rows: tuple[tuple[str, Cell], ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under a header."""

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class Points:
    """Sentences in a list."""

    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Code:
    """Text to copy."""

    label: str
    text: str


Block = Facts | Table | Points | Code


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: tuple[Block, ...]

    @property
    def anchor(self) -> str:
        """The name under which a link finds it."""
        return "-".join(self.title.lower().split())


@dataclass(frozen=True, slots=True)
class Document:
    """A title, one sentence, a state in a word, and sections."""

    title: str
    summary: str
    state: Cell
    sections: tuple[Section, ...]


def cell(text: str | None, tone: str = "") -> Cell:
    """*text*, or the plain statement that nothing is recorded."""
    return Cell(text, tone) if text else Cell(NOT_RECORDED, "absent")


def facts(rows: Iterable[tuple[str, str | Cell | None]]) -> Facts:
    """Facts from names and texts; an empty text is said to be not recorded."""
    return Facts(
        tuple((name, value if isinstance(value, Cell) else cell(value)) for name, value in rows)
    )


def table(header: Iterable[str], rows: Iterable[Iterable[str | Cell | None]]) -> Table:
    """A table from texts and cells; an empty text is said to be not recorded."""
    return Table(
        tuple(header),
        tuple(
            tuple(value if isinstance(value, Cell) else cell(value) for value in row)
            for row in rows
        ),
    )
