"""A user's own function or class as a model: run from source, in a process without secrets.

The process is given the columns and answers with numbers; it never sees the server's memory,
environment or descriptors. It has a time for each call. When that is over, or when it ends, the
call fails, and another one is started, at once the first time and later and later after that.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from shipway.domain.model import ModelSpec
from shipway.errors import ModelFileError, PredictionFailed
from shipway.runtimes.answers import checked, rows_of
from shipway.runtimes.confinement import Confined, clean_environment, start
from shipway.runtimes.exchange import (
    Answered,
    Ended,
    Late,
    Raised,
    Ready,
    Reply,
    array_of,
    ask_of,
    read_reply,
    send,
)
from shipway.runtimes.port import DEFAULT_LIMITS, Columns, Model, ProcessLimits
from shipway.runtimes.python_process import ProcessOrder
from shipway.runtimes.requirements import check_installed
from shipway.runtimes.sources import MAIN_FILE, Unpacked

__all__ = ["MAIN_FILE", "PythonModel", "load"]

_log = logging.getLogger(__name__)
_PROCESSES = 128
_OVERHEAD_BYTES = 1 << 16
_GRACE_S = 0.2
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 30.0
_LONGEST_LINE = 1_000
_MOST_LINES_A_SECOND = 50
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
)


class RemoteError(Exception):
    """What the model's code raised in its process, with the traceback there."""


class PythonModel:
    """A model's own code behind the port."""

    may_stall = True

    def __init__(
        self, spec: ModelSpec, unpacked: Unpacked, *, threads: int, limits: ProcessLimits
    ) -> None:
        self.spec = spec
        self._unpacked = unpacked
        self._threads = threads
        self._limits = limits
        self._names = tuple(one.name for one in spec.inputs)
        self._failures = 0
        self._not_before = 0.0
        self._closed = False
        self._process: _Process | None = None

    def open(self) -> None:
        """Start the process and wait until the model is loaded; raises ModelFileError if not."""
        self._process = process = self._started()
        try:
            process.wait_until_ready(time.monotonic() + self._limits.load_timeout_s)
        except Late as late:
            raise self._unfit(f"was not loaded within {self._limits.load_timeout_s:g} s") from late
        except (Ended, msgspec.DecodeError) as ended:
            process.end(grace_s=_GRACE_S)
            raise self._unfit(f"ended while it was loaded: {process.ending()}") from ended
        except RemoteError as error:
            raise self._unfit(f"cannot be loaded: {error}") from error

    def predict(self, columns: Columns) -> NDArray[np.float64]:
        """Class probabilities of shape (n, classes), or values of shape (n,)."""
        return checked(self.spec, self.answer(columns), rows_of(self.spec, columns))

    def answer(self, columns: Columns) -> NDArray[np.float64]:
        """What the code answers about *columns*, as it is."""
        rows = rows_of(self.spec, columns)
        if self._closed:
            raise self._failed("is closed")
        until = time.monotonic() + self._limits.answer_timeout_s
        process = self._running(until)
        try:
            send(process.connection, ask_of(columns, self._names), until=until)
            reply = read_reply(process.connection, largest=self._largest(rows), until=until)
            if not isinstance(reply, Answered | Raised):
                raise msgspec.DecodeError(f"{type(reply).__name__} is no answer")
            answer = reply if isinstance(reply, Raised) else array_of(reply)
        except Late as late:
            self._replace(process)
            most_s = self._limits.answer_timeout_s
            raise self._failed(
                f"did not answer within {most_s:g} s, and its process was replaced",
                next_step="send fewer rows at once, or raise serve.model_timeout_s",
            ) from late
        except (Ended, msgspec.DecodeError, ValueError) as error:
            self._replace(process, grace_s=_GRACE_S)
            raise self._failed(f"broke off: {process.ending()}") from error
        self._failures = 0
        if isinstance(answer, Raised):
            raise self._failed(
                f"raised {answer.kind}: {answer.message}",
                next_step="compare the request with the contract; the same rows fail in training"
                " code",
            ) from RemoteError(answer.trace)
        return answer

    def close(self) -> None:
        """End the process and remove its folder."""
        self._closed = True
        if self._process is not None:
            self._process.end()
            self._process = None
        self._unpacked.remove()

    def _running(self, until: float) -> _Process:
        """The process, ready; it is started if there is none and the pause is over."""
        process = self._process
        if process is None:
            pause_s = self._not_before - time.monotonic()
            if pause_s > 0:
                raise self._failed(f"ended before, and is started again in {pause_s:.1f} s")
            process = self._process = self._started()
        if time.monotonic() < self._not_before:
            raise self._failed("ended before, and is being started again")
        if process.ready:
            return process
        try:
            process.wait_until_ready(min(until, process.load_until))
        except Late as late:
            if time.monotonic() >= process.load_until:
                self._replace(process)
            raise self._failed("is still being loaded, after it had ended") from late
        except (Ended, RemoteError, msgspec.DecodeError) as error:
            self._replace(process, grace_s=_GRACE_S)
            raise self._failed(f"could not be loaded again: {process.ending()}") from error
        return process

    def _replace(self, process: _Process, *, grace_s: float = 0.0) -> None:
        """End *process*; another is started now the first time, and by a later call after that."""
        process.end(grace_s=grace_s)
        _log.warning("the code of %s failed: %s", self._entry, process.ending())
        self._failures += 1
        pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(self._failures - 1, 16))
        self._not_before = time.monotonic() + pause_s
        self._process = self._started() if self._failures == 1 else None

    def _started(self) -> _Process:
        return _Process(self._unpacked, self._entry, threads=self._threads, limits=self._limits)

    @property
    def _entry(self) -> str:
        return str(self.spec.options["entry"])

    def _largest(self, rows: int) -> int:
        """The bytes of the largest answer that can be one, with room for a traceback."""
        return _OVERHEAD_BYTES + 8 * rows * max(1, len(self.spec.classes))

    def _failed(self, what: str, *, next_step: str = "see the server's log") -> PredictionFailed:
        return PredictionFailed(f"the python model {what}", next_step=next_step)

    def _unfit(self, what: str) -> ModelFileError:
        self.close()
        return ModelFileError(
            f"the code {self._entry} {what}",
            next_step="try it where it was written: import it and call predict on a few rows",
        )


class _Process:
    """One process of the model's code, from its start to its end."""

    def __init__(
        self, unpacked: Unpacked, entry: str, *, threads: int, limits: ProcessLimits
    ) -> None:
        self.ready = False
        self.load_until = time.monotonic() + limits.load_timeout_s
        order = ProcessOrder(
            folder=str(unpacked.source),
            entry=entry,
            memory_bytes=limits.memory_bytes,
            processes=_PROCESSES,
        )
        environment = clean_environment(
            os.environ,
            HOME=str(unpacked.home),
            TMPDIR=str(unpacked.home),
            **dict.fromkeys(_THREAD_VARIABLES, str(threads)),
        )
        self.connection, theirs = socket.socketpair()
        printed, output = os.pipe()
        try:
            command = (sys.executable, "-I", "-B", "-u", "-m", "shipway.runtimes.python_process")
            self._confined: Confined = start(
                [*command, msgspec.json.encode(order).decode(), str(theirs.fileno())],
                environment=environment,
                pass_fds=(theirs.fileno(),),
                output=output,
                folder=unpacked.source,
            )
        except BaseException:
            self.connection.close()
            os.close(printed)
            raise
        finally:
            theirs.close()
            os.close(output)
        threading.Thread(
            target=_tell, args=(printed, entry), name=f"output-{entry}", daemon=True
        ).start()

    def wait_until_ready(self, until: float) -> None:
        """Return once the model is loaded; raises RemoteError with why it cannot be."""
        reply: Reply = read_reply(self.connection, largest=_OVERHEAD_BYTES, until=until)
        if isinstance(reply, Raised):
            raise RemoteError(f"{reply.kind}: {reply.message}") from RemoteError(reply.trace)
        self.ready = isinstance(reply, Ready)
        if isinstance(reply, Ready) and reply.root:
            _log.warning("a model's code runs as root: its files are not open to other users")

    def end(self, *, grace_s: float = 0.0) -> None:
        """Kill it, which may take *grace_s* to end by itself first, and all that it started."""
        self._confined.end(grace_s=grace_s)
        self.connection.close()

    def ending(self) -> str:
        """How it ended, in words."""
        return self._confined.ending()


def _tell(printed: int, entry: str) -> None:
    """Log what the model's code prints, until it ends; more than a log can bear is left out."""
    second, count = 0, 0
    with os.fdopen(printed, "rb") as stream:
        while line := stream.readline(_LONGEST_LINE):
            now = int(time.monotonic())
            second, count = (now, 1) if now != second else (second, count + 1)
            if count <= _MOST_LINES_A_SECOND:
                text = line.decode(errors="replace").rstrip()
                _log.info("%s printed: %s", entry, text)


def load(
    spec: ModelSpec,
    files: Mapping[str, Path],
    *,
    threads: int = 1,
    limits: ProcessLimits = DEFAULT_LIMITS,
) -> Model:
    """The code in the archive that *spec* names, loaded in a process of its own."""
    data = files[spec.main_file].read_bytes()
    check_installed(spec.library)
    model = PythonModel(spec, Unpacked.of(data), threads=threads, limits=limits)
    model.open()
    return model
