"""How long the command line makes people wait before it does anything."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from benchmarks.figure import Figure
from benchmarks.flights import Workshop

_COMMANDS = {
    "import": ("-c", "import shipway"),
    "help": ("-m", "shipway", "--help"),
    "help_of_command": ("-m", "shipway", "gate", "--help"),
    "python_itself": ("-c", "pass"),
}


def run(workshop: Workshop) -> Iterator[Figure]:
    """Whole processes, so with what Python itself takes to start."""
    for name, words in _COMMANDS.items():
        command = [sys.executable, *words]

        def call() -> None:
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: B023

        note = " ".join(("python", *words))
        yield Figure(f"commands.{name}", workshop.watch.seconds(call), "s", note=note)
