"""Telling somebody how far a long piece of work has come, without knowing who listens.

The verbs of the api take a ``Progress`` and report to it; the command line draws a bar, the
demo tells a story, and ``SILENT`` says nothing.
"""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self


class Task(Protocol):
    """One piece of work that is going on; leaving its ``with`` block ends it."""

    def advance(self, n: int = 1) -> None:
        """Note that *n* more units are done."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End, well or badly."""


class Progress(Protocol):
    """Somebody who is told of work."""

    def start(self, label: str, total: int | None = None, unit: str = "") -> Task:
        """Begin a piece of work of *total* *unit*; None when nobody can know how much it is.

        The label says what is done, in a few words: ``Predicting``.
        """


class _SilentTask:
    """Task that nobody is told of."""

    def advance(self, n: int = 1) -> None:
        """Do nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None


class _Silent:
    """A listener who is not there."""

    def start(self, label: str, total: int | None = None, unit: str = "") -> _SilentTask:
        """Begin work that nobody is told of."""
        return _SilentTask()


SILENT: Progress = _Silent()
