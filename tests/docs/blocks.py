"""The fenced blocks of a page, and what the comment above a block says about running it.

``<!-- not run: REASON -->``    the block needs what is not here (a container, a cloud)
``<!-- background -->``         the command goes on until the page ends (a server)
``<!-- wrong on purpose -->``   the file is not sound, and the page shows what is said of it
``<!-- starts in: PLACE -->``   once a page: the folder that its blocks begin in
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sybil import Document, Example, Region
from sybil.parsers.markdown.lexers import FencedCodeBlockLexer

LANGUAGES = frozenset({"console", "bash", "python", "toml", "yaml", "json", "text"})
_INFO = re.compile(r'(?P<language>\w+)(?:\s+title="(?P<title>[^"]+)")?\s*$')
_COMMENT = re.compile(
    r"<!--\s*(?P<word>not run|background|wrong on purpose)(?::\s*(?P<reason>[^>]*?))?\s*-->\n$"
)
_START = re.compile(r"<!--\s*starts in:\s*(?P<place>[\w ]+?)\s*-->")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: ``title`` names the file that it is, ``not_run`` why it cannot run."""

    language: str
    source: str
    title: str = ""
    not_run: str | None = None
    background: bool = False
    wrong: bool = False


class BlockParser:
    """Finds every fenced block of a page, of whatever language, for Sybil."""

    def __init__(self, evaluate: Callable[[Block, Example], None]) -> None:
        self._evaluate = evaluate
        self._lexer = FencedCodeBlockLexer(
            language=".+", mapping={"language": "info", "source": "source"}
        )

    def __call__(self, document: Document) -> Iterator[Region]:
        """The regions of *document*, each with its block as ``parsed``."""
        for region in self._lexer(document):
            block = _block(region.lexemes, document.text[: region.start])
            yield Region(region.start, region.end, block, self._run)

    def _run(self, example: Example) -> None:
        self._evaluate(example.parsed, example)


def blocks_of(page: Path) -> list[Block]:
    """Every block of *page* in order."""
    document = Document.parse(str(page), BlockParser(lambda block, example: None))
    return [example.parsed for example in document.examples()]


def start_of(page: Path) -> str:
    """The place that the page says it starts in; an empty folder where it says nothing."""
    found = _START.search(page.read_text(encoding="utf-8"))
    return found["place"] if found else "an empty folder"


def _block(lexemes: dict[str, Any], before: str) -> Block:
    info = _INFO.match(lexemes["info"])
    assert info is not None, f"a block begins with ```{lexemes['info']}"
    comment = _COMMENT.search(before)
    word = comment["word"] if comment else ""
    return Block(
        language=info["language"],
        source=str(lexemes["source"]),
        title=info["title"] or "",
        not_run=(comment["reason"] or "").strip() if comment and word == "not run" else None,
        background=word == "background",
        wrong=word == "wrong on purpose",
    )
