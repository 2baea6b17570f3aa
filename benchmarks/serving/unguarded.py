"""Shipway without its guards: ``python -m benchmarks.serving.unguarded PROJECT``, on free ports.

The same supervisor, control process and worker as ``shipway serve``, but anybody may ask, values
are not looked at, nothing is counted and no event is made. There is no setting for that, and there
shall be none: the worker's parts are exchanged here, before it begins.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shipway.bootstrap import worker
from shipway.bootstrap.processes import server_plan
from shipway.bootstrap.project import open_project
from shipway.contract.block import RowMajor
from shipway.contract.readers import object_array
from shipway.contract.requests import Checked, RequestChecker
from shipway.contract.schema import Contract
from shipway.contract.together import BatchChecker, Clean
from shipway.domain.model import Kind
from shipway.inference import predictor
from shipway.inference.predictor import Outcome, Predictor, Request
from shipway.serving import reloading
from shipway.serving import worker as serving_worker
from shipway.serving.counters import Counter, CounterFile, Histogram
from shipway.serving.supervisor import supervise

_WORKER = "worker"
_DTYPES = {Kind.NUMBER: np.float64, Kind.INTEGER: np.int64}


class Unchecked(RequestChecker):
    """Makes the model's arrays and believes every value."""

    def __init__(self, contract: Contract) -> None:
        super().__init__(contract)
        self._dtypes: dict[str, Any] = {}
        for column in contract.features:
            nullable = column.kind is Kind.INTEGER and column.nullable
            self._dtypes[column.name] = np.float64 if nullable else _DTYPES.get(column.kind)
        self._one_dtype = set(self._dtypes.values()) == {np.float64}

    def check(self, columns: Mapping[str, Any]) -> Checked:
        """The arrays of *columns*, made in as few steps as can be."""
        rows = len(next(iter(columns.values())))
        if self._one_dtype:
            block = np.array([columns[name] for name in self._dtypes], dtype=np.float64)
            return Checked(dict(zip(self._dtypes, block, strict=True)), {}, rows)
        arrays = {
            name: object_array(columns[name])
            if dtype is None
            else np.array(columns[name], dtype=dtype)
            for name, dtype in self._dtypes.items()
        }
        return Checked(arrays, {}, rows)


class UncheckedTogether(BatchChecker):
    """The same for rows that came as one matrix."""

    def check(self, parts: Sequence[Mapping[str, Any]]) -> Clean | None:
        """The rows of *parts*; columns are left to the one above."""
        return super().check(parts) if isinstance(parts[0], RowMajor) else None

    def _are_clean(self, values: list[Any]) -> bool:
        return True

    def _is_clean(self, matrix: NDArray[np.float64]) -> bool:
        return True


class Forgetful(Predictor):
    """Makes no events."""

    def record(self, requests: Sequence[Request], outcomes: Sequence[Outcome]) -> None:
        """Keep nothing."""


class Uncounted(CounterFile):
    """Hands out counters that do not count."""

    def counter(self, family: str, *labels: str) -> Counter:
        """One that does nothing."""
        return _Nothing()

    def histogram(self, family: str, *labels: str) -> Histogram:
        """One that does nothing."""
        return _Nowhere()


class _Nothing(Counter):
    def __init__(self) -> None:
        pass

    def add(self, amount: float = 1.0) -> None:
        pass

    def set(self, value: float) -> None:
        pass


class _Nowhere(Histogram):
    def __init__(self) -> None:
        pass

    def observe(self, value: float) -> None:
        pass

    def observe_all(self, values: Sequence[float]) -> None:
        pass


EXCHANGED: tuple[tuple[ModuleType, str, type], ...] = (
    (predictor, "RequestChecker", Unchecked),
    (predictor, "BatchChecker", UncheckedTogether),
    (reloading, "Predictor", Forgetful),
    (serving_worker, "CounterFile", Uncounted),
)
"""In which module, under which name, what takes the place of the class that it is one of."""


def serve(folder: Path) -> int:
    """Serve the project in *folder* until told to stop."""
    with open_project(folder) as project:
        settings = msgspec.structs.replace(
            project.settings.serve,
            authentication=False,
            control_port=0,
            grpc_port=0,
            workers=1,
        )
        plan = server_plan(project.home, project.model, settings, environ=project.environ)
    argument = plan.worker_command[-1]
    command = (sys.executable, "-m", "benchmarks.serving.unguarded", _WORKER, argument)
    return supervise(
        replace(plan, worker_command=command, zygote_command=None), announce=lambda _: None
    )


def work() -> int:
    """Be the worker."""
    for module, name, replacement in EXCHANGED:
        setattr(module, name, replacement)
    return worker.main(sys.argv[1:])


if __name__ == "__main__":
    if sys.argv[1] == _WORKER:
        del sys.argv[1]
        sys.exit(work())
    sys.exit(serve(Path(sys.argv[1])))
