"""A project in a folder, used as a person would: by commands."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self
from unittest import mock

import msgspec
import polars as pl

from shipway.cli.main import main
from shipway.examples.flights.served import served
from shipway.serving.status import ServerRecord


@dataclass(frozen=True)
class Done:
    """What a command did: its exit code and what it wrote on its two streams."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Both streams, as a terminal shows them."""
        return self.out + self.err

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return msgspec.json.decode(self.out)


@dataclass(frozen=True)
class Project:
    """A folder as a user would have it: tables, a model file, and perhaps settings."""

    folder: Path

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

    def call(self, *words: str, environ: Mapping[str, str] | None = None) -> Done:
        """The same without a process of its own, which is a second faster."""
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.chdir(self.folder),
            mock.patch.dict(os.environ, environ or {}),
            mock.patch.object(sys, "stdin", io.StringIO()),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = main(words)
        return Done(code, out.getvalue(), err.getvalue())

    def json(self, *words: str) -> Any:
        """What ``shipway … --json`` says, which must be one JSON document and a good ending."""
        done = self.call(*words, "--json")
        assert done.code == 0, done.said
        return done.document

    def new_key(self, *words: str) -> str:
        """The secret of a fresh key, for predictions and labels unless *words* say otherwise."""
        return str(self.json("keys", "create", "--name", "test", *words)["secret"])

    @contextmanager
    def served(self) -> Iterator[ServerRecord]:
        """A server of this project on free ports, for as long as the block lasts."""
        with served(self.folder, self.folder / ".shipway" / "run") as record:
            yield record

    def copy(self, folder: Path) -> Self:
        """The same, in another *folder*, to be changed there."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return replace(self, folder=folder)


@dataclass(frozen=True)
class Flights(Project):
    """A project on real flights; ``later`` are the flights after those of its tables."""

    later: pl.DataFrame
