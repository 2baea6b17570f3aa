"""A command line of its own, without a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from shipway.cli.main import main


@dataclass(frozen=True)
class Run:
    """What a command line did."""

    code: int
    out: str
    err: str


@pytest.fixture
def shipway(capsys: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    """Runs the command line in this process."""

    def run(*arguments: str) -> Run:
        code = main(arguments)
        captured = capsys.readouterr()
        return Run(code, captured.out, captured.err)

    return run
