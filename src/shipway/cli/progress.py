"""A bar on stderr for every piece of work: how much is done, how fast, how long it still takes."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import ProgressColumn as Column
from rich.text import Text

from shipway.cli.visible import number, one_line


class TerminalProgress:
    """Draws the work of one invocation; several pieces may go on at once, from any thread."""

    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            _Done(),
            _Rate(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._going = 0

    def start(self, label: str, total: int | None = None, unit: str = "") -> TerminalTask:
        """Begin a piece of work; its bar appears when its ``with`` block is entered."""
        return TerminalTask(self, self._bars, label, total, unit)

    def begin(self) -> None:
        """Show the bars if this is the only work."""
        self._going += 1
        if self._going == 1:
            self._bars.start()

    def end(self) -> None:
        """Take the bars away if no work is left."""
        self._going -= 1
        if self._going == 0:
            self._bars.stop()


class TerminalTask:
    """One bar."""

    def __init__(
        self, owner: TerminalProgress, bars: Progress, label: str, total: int | None, unit: str
    ) -> None:
        self._owner = owner
        self._bars = bars
        self._label = one_line(label)
        self._total = total
        self._unit = one_line(unit)
        self._bar: TaskID | None = None

    def advance(self, n: int = 1) -> None:
        """Note that *n* more units are done."""
        if self._bar is not None:
            self._bars.advance(self._bar, n)

    def __enter__(self) -> Self:
        self._bar = self._bars.add_task(self._label, total=self._total, unit=self._unit)
        self._owner.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._owner.end()
        if self._bar is not None:
            self._bars.remove_task(self._bar)
            self._bar = None


class _Done(Column):
    """How much is done of how much."""

    def render(self, task: Task) -> Text:
        """``1,200/5,000 rows``."""
        if not task.completed and task.total is None:
            return Text("")
        total = "" if task.total is None else f"/{number(int(task.total))}"
        return Text(f"{number(int(task.completed))}{total} {task.fields['unit']}".rstrip())


class _Rate(Column):
    """How much is done in a second."""

    def render(self, task: Task) -> Text:
        """``850/s``; empty while it is unknown."""
        speed = task.finished_speed or task.speed
        return Text("" if not speed else f"{number(speed, digits=3)}/s", style="dim")
