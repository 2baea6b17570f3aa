"""The streams of a command as rich writes to them."""

from __future__ import annotations

import sys

from rich.console import Console

_WIDTH_WITHOUT_TERMINAL = 160


class Stream(Console):
    """One of the standard streams; no text is read as markup, and no width is lost in a pipe."""

    def __init__(self, *, stderr: bool) -> None:
        stream = sys.stderr if stderr else sys.stdout
        width = None if stream.isatty() else _WIDTH_WITHOUT_TERMINAL
        super().__init__(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)

    def on_broken_pipe(self) -> None:
        """Hand on that nobody reads any more; rich would exit with 1, which is a verdict here."""
        raise BrokenPipeError
