"""Every block of every page runs, in order, in the folder that the page says it starts in."""

from __future__ import annotations

import doctest
import io
from pathlib import Path

import pytest
from sybil import Document, Example
from tests.docs.blocks import LANGUAGES, Block, BlockParser, blocks_of, start_of
from tests.docs.conftest import Open
from tests.docs.readers import read_json, read_toml, read_yaml
from tests.docs.terminal import Terminal, search_path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
RUNNABLE = [page for page in PAGES if any(block.language != "text" for block in blocks_of(page))]
MOST_NOT_RUN = 10


class Reader:
    """Does what a page says, block by block."""

    def __init__(self, terminal: Terminal, scratch: Path) -> None:
        self._terminal = terminal
        self._scratch = scratch

    def follow(self, block: Block, example: Example) -> None:
        """Run, write or read *block*."""
        if block.not_run is not None:
            return
        source = self._terminal.typed(block.source)
        if block.title:
            path = self._terminal.folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source, encoding="utf-8")
        match block.language:
            case "console" if block.background:
                self._terminal.leave_running(block.source)
            case "console":
                self._terminal.session(block.source)
            case "bash" if not block.title:
                self._terminal.run(block.source)
            case "python" if not block.title:
                self._execute(source, example)
            case "toml" if not block.wrong:
                read_toml(block.source, self._scratch)
            case "yaml":
                read_yaml(block.source)
            case "json":
                read_json(block.source)

    def _execute(self, source: str, example: Example) -> None:
        """Run Python here, in the page's folder; the blocks of a page share their names."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self._terminal.folder)
            patch.setenv("PATH", search_path())
            if "KEY" in self._terminal.real:
                patch.setenv("SHIPWAY_KEY", self._terminal.real["KEY"])
            if source.startswith(">>>"):
                _talk(source, example)
            else:
                exec(compile(source, example.path, "exec"), example.namespace)  # noqa: S102


def _talk(source: str, example: Example) -> None:
    """Hold a conversation with the interpreter against the page."""
    name = Path(example.path).name
    asked = doctest.DocTestParser().get_doctest(source, {}, name, example.path, example.line)
    asked.globs = example.namespace
    told = io.StringIO()
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(
        asked, out=told.write, clear_globs=False
    )
    assert not told.getvalue(), told.getvalue()


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", RUNNABLE, ids=_name)
def test_every_block_of_the_page_does_what_it_says(
    page: Path, open_terminal: Open, tmp_path: Path
) -> None:
    """A reader who types the page from top to bottom sees what the page shows."""
    reader = Reader(open_terminal(start_of(page)), tmp_path / "scratch")
    document = Document.parse(str(page), BlockParser(reader.follow))
    for example in document.examples():
        try:
            example.evaluate()
        except Exception as error:
            error.add_note(f"in the block at {_name(page)}:{example.line}")
            raise


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_block_says_what_it_is(page: Path) -> None:
    """No block hides from the tests behind a language that nobody reads."""
    unknown = {block.language for block in blocks_of(page)} - LANGUAGES
    assert not unknown


def test_few_blocks_do_not_run_and_each_says_why() -> None:
    """What needs a container or another machine is marked, with its reason, and is rare."""
    marked = [
        (_name(page), block.not_run)
        for page in PAGES
        for block in blocks_of(page)
        if block.not_run is not None
    ]
    assert all(reason for _, reason in marked), marked
    assert len(marked) <= MOST_NOT_RUN, marked
