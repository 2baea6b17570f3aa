"""What a served model is to the benchmark: where it is, and rows to ask it for."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import msgspec

from shipway.domain.events import Scalar

FILE = "model.json"
_ROOT = Path(__file__).parents[2]


class Kind(StrEnum):
    """Which model: numbers alone, or strings, whole numbers and missing values among them."""

    NUMERIC = "numeric"
    FLIGHTS = "flights"


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Rows to ask for, as columns of JSON scalars, in the order of the contract.

    ``matrix`` says that all of them are floats, so that rows can travel as one tensor;
    ``context`` names columns that Shipway alone takes: the model does not read them.
    """

    columns: dict[str, list[Scalar]]
    datatypes: dict[str, str]
    matrix: bool
    context: set[str] = set()

    def head(self, rows: int) -> Table:
        """The first *rows* of it."""
        columns = {name: values[:rows] for name, values in self.columns.items()}
        return msgspec.structs.replace(self, columns=columns)

    def bare(self) -> Table:
        """Only what the model reads: how other servers are asked."""
        columns = {k: v for k, v in self.columns.items() if k not in self.context}
        return msgspec.structs.replace(self, columns=columns)


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model to serve: Shipway's project of it with a key, the file for peers, and rows.

    ``messages`` are gRPC requests by their number of rows, to Shipway and to others.
    """

    kind: Kind
    name: str
    project: str
    run: str
    key: str
    peer_file: str
    table: Table
    messages: dict[int, bytes]
    bare_messages: dict[int, bytes]

    def copied_to(self, folder: Path) -> Model:
        """The same with a copy of its project in *folder*: one store has one server."""
        shutil.copytree(self.project, folder)
        run = folder / Path(self.run).relative_to(self.project)
        return msgspec.structs.replace(self, project=str(folder), run=str(run))


def make(folder: Path, kinds: Sequence[Kind], *, quick: bool) -> dict[Kind, Model]:
    """The models of *kinds*, made side by side in processes of their own."""
    making = []
    for kind in kinds:
        (folder / kind).mkdir(parents=True)
        words = ["-m", "benchmarks.serving.models", kind, str(folder / kind)]
        command = [sys.executable, *words, *(["--quick"] if quick else [])]
        making.append(subprocess.Popen(command, cwd=_ROOT))
    codes = [one.wait() for one in making]
    if any(codes):
        raise RuntimeError("a model could not be made: see above")
    return {
        kind: msgspec.json.decode((folder / kind / FILE).read_bytes(), type=Model) for kind in kinds
    }
