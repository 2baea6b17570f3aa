"""The server of the story: the one that ``shipway serve`` starts, as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shipway.errors import ServerUnreachable
from shipway.serving.status import ServerRecord, read_server

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 60.0
LOG = "server.log"


@contextmanager
def served(folder: Path, run: Path) -> Iterator[ServerRecord]:
    """Run ``shipway serve`` for the project in *folder* on free ports, and stop it at the end.

    Raises :class:`~shipway.errors.ServerUnreachable` with the end of its log if it does not
    answer within a minute.
    """
    ports = ("PORT", "CONTROL_PORT", "GRPC_PORT")
    environ = {**os.environ, **{f"SHIPWAY_SERVE__{port}": "0" for port in ports}}
    with (folder / LOG).open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "shipway", "serve", "--project", str(folder)],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environ,
        )
        try:
            yield _wait_until_up(process, run, folder / LOG)
        finally:
            _stop(process)


def shipway(folder: Path, *words: str) -> None:
    """Run one ``shipway`` command on the project in *folder*, as a person would.

    Raises :class:`~shipway.errors.ServerUnreachable` with what it said if it fails.
    """
    command = [sys.executable, "-m", "shipway", *words, "--project", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ServerUnreachable(
            f"`shipway {' '.join(words)}` ended with {done.returncode}: {done.stderr.strip()}",
            next_step="run the same command by hand to see more",
        )


def _wait_until_up(process: subprocess.Popen[bytes], run: Path, log: Path) -> ServerRecord:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        record = read_server(run)
        if record is not None and record.pid == process.pid:
            return record
        time.sleep(0.05)
    said = log.read_text(encoding="utf-8", errors="replace")[-2000:]
    raise ServerUnreachable(
        f"the server did not come up: {said}",
        next_step=f"look at {log}, and try `shipway serve` by hand",
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
