"""Who listens while the story goes on: the command line prints it, a test records it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from shipway.api.gate import GateReport
from shipway.domain.progress import Progress
from shipway.examples.flights.summary import AlertLine, WeekLine


class Narrator(Protocol):
    """Receives the story step by step."""

    progress: Progress

    def step(self, title: str) -> None:
        """A new chapter begins."""

    def say(self, text: str) -> None:
        """Something worth a line."""

    def gated(self, about: str, report: GateReport) -> None:
        """A gate has judged."""

    def weeks(self, lines: Sequence[WeekLine]) -> None:
        """Weeks were assessed."""

    def alert(self, line: AlertLine) -> None:
        """An objective no longer holds."""
