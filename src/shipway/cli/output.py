"""What a command prints, and where: answers on stdout, everything else on stderr.

With ``--json`` stdout carries exactly one JSON document and nothing else. All text passes
through ``visible``, and none of it is read as markup.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import msgspec

from shipway.cli.visible import one_line, visible, visible_json
from shipway.domain.progress import SILENT, Progress

if TYPE_CHECKING:
    from rich.console import Console

_VERDICT_STYLES = {"pass": "green", "fail": "red", "undecided": "yellow"}


@dataclass(frozen=True, slots=True)
class Result:
    """What a command has done.

    ``document`` is what ``--json`` prints, ``show`` prints the same for people, and
    ``next_step`` is the next command to type.
    """

    document: object
    show: Callable[[Output], None]
    next_step: str = ""
    exit_code: int = 0


class Output:
    """The two streams of one invocation."""

    def __init__(self, *, as_json: bool = False, aside: Console | None = None) -> None:
        self.as_json = as_json
        self._aside = aside

    @cached_property
    def stdout(self) -> Console:
        """Where answers go."""
        return self._aside or _console(stderr=False)

    @cached_property
    def stderr(self) -> Console:
        """Where messages and progress go."""
        return self._aside or _console(stderr=True)

    def aside(self) -> Output:
        """An output whose answers are messages too: for what is told while bars are drawn."""
        return Output(as_json=self.as_json, aside=self.stderr)

    @cached_property
    def progress(self) -> Progress:
        """A listener for long work; silent with ``--json`` and where nobody watches."""
        if self.as_json or not sys.stderr.isatty():
            return SILENT
        from shipway.cli.progress import TerminalProgress

        return TerminalProgress(self.stderr)

    def line(self, text: object = "", *, style: str = "") -> None:
        """A line of the answer."""
        if not self.as_json:
            self.stdout.print(_text(visible(text), style), soft_wrap=True)

    def say(self, text: object, *, style: str = "") -> None:
        """A message beside the answer."""
        if not self.as_json:
            self.stderr.print(_text(visible(text), style), soft_wrap=True)

    def warn(self, text: object) -> None:
        """A message that should not be overlooked; with ``--json`` it is told as well."""
        self.stderr.print(_text(f"Warning: {visible(text)}", "yellow"), soft_wrap=True)

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[object]],
        *,
        title: str = "",
        right: Sequence[str] = (),
    ) -> None:
        """A table of the answer; the columns named in *right* are aligned so."""
        if self.as_json:
            return
        from rich import box
        from rich.table import Table

        table = Table(
            title=_text(visible(title)) if title else None,
            title_justify="left",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
        )
        for column in columns:
            table.add_column(
                _text(column), justify="right" if column in right else "left", overflow="fold"
            )
        for row in rows:
            cells = [one_line("" if cell is None else cell) for cell in row]
            table.add_row(*(_text(cell, _VERDICT_STYLES.get(cell, "")) for cell in cells))
        self.stdout.print(table)

    def finish(self, result: Result) -> int:
        """Print *result* as was asked for; returns the exit code."""
        if self.as_json:
            self.document(result.document)
        else:
            result.show(self)
            if result.next_step:
                self.say(f"Next: {result.next_step}", style="bold")
        return result.exit_code

    def document(self, value: object) -> None:
        """The one JSON document of the answer."""
        encoded = msgspec.json.format(msgspec.json.encode(value, enc_hook=_plain), indent=2)
        sys.stdout.write(visible_json(encoded.decode()) + "\n")
        sys.stdout.flush()


def _console(*, stderr: bool) -> Console:
    from shipway.cli.console import Stream

    return Stream(stderr=stderr)


def _text(text: str, style: str = "") -> Any:
    from rich.text import Text

    return Text(text, style=style)


def _plain(value: object) -> object:
    """A value that JSON does not know, as one that it does."""
    if isinstance(value, PurePath):
        return str(value)
    tolist = getattr(value, "tolist", None)  # a scalar or an array of numpy
    if callable(tolist):
        return tolist()
    raise NotImplementedError(f"{type(value).__name__} has no place in a JSON answer")
