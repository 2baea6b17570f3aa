"""Starts processes of a test in milliseconds: by forking one that has imported everything.

``python -m tests.survival.zygote`` reads one line of JSON for each order and answers with one.
The processes are the tester's own, to be killed, stopped and continued by their number.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[2]


class Zygote:
    """The tester's end; a context manager that leaves no process behind."""

    def __init__(self, module: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.survival.zygote", module],
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._running: set[int] = set()

    @property
    def running(self) -> list[int]:
        """The processes that were started and not waited for."""
        return sorted(self._running)

    def start(self, *arguments: object) -> int:
        """The number of a new process that calls ``main`` of the module with *arguments*."""
        pid = int(self._ask("start", *arguments))
        self._running.add(pid)
        return pid

    def kill(self, pid: int) -> None:
        """End *pid* as nothing can prevent, and see that it ended by that."""
        os.kill(pid, signal.SIGKILL)
        status = self.wait(pid)
        assert os.WIFSIGNALED(status), f"it had ended by itself: {status}"

    def wait(self, pid: int) -> int:
        """How *pid* ended, once it did."""
        status = int(self._ask("wait", pid))
        self._running.discard(pid)
        return status

    def _ask(self, *order: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pid in self.running:
            os.kill(pid, signal.SIGKILL)
            self.wait(pid)
        self._process.communicate()


def _started(main: Any, arguments: list[Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    os.close(0)
    os.dup2(2, 1)
    status = 1
    try:
        main(*arguments)
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(status)


def serve(module: str) -> None:
    """Take orders until there are no more."""
    main = importlib.import_module(module).main
    for line in sys.stdin:
        what, *arguments = json.loads(line)
        answer = _started(main, arguments) if what == "start" else os.waitpid(arguments[0], 0)[1]
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve(sys.argv[1])
