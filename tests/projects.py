"""A project in a folder, used as a person would: by commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from shipway.serving.status import ServerRecord

from shipway.examples.flights.served import served


@dataclass(frozen=True)
class Flights:
    """A folder as a user would have it: two tables, a model file, and settings."""

    folder: Path
    later: pl.DataFrame

    def run(
        self, *words: str, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """``shipway`` with *words*, in the folder, as a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "shipway", *words],
            cwd=self.folder,
            env={**os.environ, **(environ or {})},
            capture_output=True,
            text=True,
            check=False,
        )

    def json(self, *words: str) -> Any:
        """What ``shipway … --json`` says, which must be one JSON document and a good ending."""
        done = self.run(*words, "--json")
        assert done.returncode == 0, done.stderr
        return msgspec.json.decode(done.stdout)

    def new_key(self) -> str:
        """The secret of a fresh key for predictions and labels."""
        return str(self.json("keys", "create", "--name", "test")["secret"])

    @contextmanager
    def served(self) -> Iterator[ServerRecord]:
        """A server of this project on free ports, for as long as the block lasts."""
        with served(self.folder, self.folder / ".shipway" / "run") as record:
            yield record

    def copy(self, folder: Path) -> Flights:
        """The same, in another *folder*, to be changed there."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return Flights(folder, self.later)
