"""The process that runs a model's own code: ``python -I -m shipway.runtimes.python_process``.

It is started by :mod:`shipway.runtimes.python` alone, confines itself before a line of that code
runs, and answers calls over one socket until nobody is at its other end.
"""

from __future__ import annotations

import importlib
import inspect
import socket
import sys
import traceback
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shipway.runtimes.confinement import confine
from shipway.runtimes.exchange import Answered, Ended, Raised, Ready, columns_of, read_ask, send

_LONGEST_TRACE = 8_000
_LONGEST_MESSAGE = 500

Answer = Callable[[Mapping[str, NDArray[np.generic]]], Any]


class ProcessOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What to run: ``entry`` is ``module:name`` within *folder*."""

    folder: str
    entry: str
    memory_bytes: int | None
    processes: int


def main() -> int:
    """Confine this process, load the model, answer until the other side is gone."""
    order = msgspec.json.decode(sys.argv[1], type=ProcessOrder)
    connection = socket.socket(fileno=int(sys.argv[2]))
    confined = confine(
        int(sys.argv[3]),
        memory_bytes=order.memory_bytes,
        processes=order.processes,
        readable=[order.folder, sys.executable, *filter(_exists, sys.path)],
    )
    try:
        try:
            answer = loaded(Path(order.folder), order.entry)
        except Exception as error:  # a user's code may raise anything
            send(connection, _raised(error))
            return 1
        send(connection, Ready(root=not confined))
        while (asked := read_ask(connection)) is not None:
            try:
                raw = np.ascontiguousarray(answer(columns_of(asked)), dtype=np.float64)
                reply: Answered | Raised = Answered(raw.shape, raw.tobytes())
            except Exception as error:  # a user's code may raise anything
                reply = _raised(error)
            send(connection, reply)
    except Ended:
        pass
    return 0


def loaded(folder: Path, entry: str) -> Answer:
    """The function that answers for *entry* in *folder*, given columns as arrays.

    A class is made with the folder if it takes an argument. The frame is what the parameter of
    ``predict`` is annotated with: a pandas or polars DataFrame, else the arrays by name.
    """
    module, _, name = entry.partition(":")
    sys.path.insert(0, str(folder))
    found: Any = getattr(importlib.import_module(module), name)
    if isinstance(found, type):
        made: Any = found
        takes = [one for one in inspect.signature(made).parameters.values() if _needed(one)]
        found = (made(folder) if takes else made()).predict
    if not callable(found):
        raise TypeError(f"{entry} is a {type(found).__name__}, neither a class nor a function")
    return _given_frames(found, entry)


def _needed(parameter: inspect.Parameter) -> bool:
    """Whether the class is to be told where its files are: it takes something by position."""
    return parameter.kind in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    )


def _given_frames(predict: Callable[..., Any], entry: str) -> Answer:
    parameters = list(inspect.signature(predict).parameters)
    if not parameters:
        raise TypeError(f"predict of {entry} takes no frame")
    wanted = typing.get_type_hints(predict).get(parameters[0])
    root = str(getattr(wanted, "__module__", "")).partition(".")[0]
    if root == "pandas":
        import pandas as pd

        return lambda columns: predict(pd.DataFrame(dict(columns)))
    if root == "polars":
        import polars as pl

        return lambda columns: predict(
            pl.DataFrame({name: _series(pl, values) for name, values in columns.items()})
        )
    return lambda columns: predict(dict(columns))


def _series(polars: Any, values: NDArray[np.generic]) -> Any:
    """A column of polars; a missing number is null there, not NaN."""
    if values.dtype == object:
        return polars.Series(values.tolist(), dtype=polars.String, strict=False)
    return polars.Series(values, nan_to_null=True)


def _exists(path: str) -> bool:
    return bool(path) and Path(path).exists()


def _raised(error: Exception) -> Raised:
    trace = "".join(traceback.format_exception(error))
    message = str(error).strip().splitlines()
    first = message[0][:_LONGEST_MESSAGE] if message else ""
    return Raised(type(error).__name__, first, trace[-_LONGEST_TRACE:])


if __name__ == "__main__":
    sys.exit(main())
