"""What the processes of a server log: one line of JSON an event, in UTC, without secrets.

The parts log by the standard library's ``logging``; this is the one place that says how it looks
and where it goes. It serves processes that are a server's alone: the supervisor and its children.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import TextIO

from shipway.security.keys import without_secrets

_log = logging.getLogger(__name__)
_QUIET = ("alembic", "asyncio", "httpx", "uvicorn")
"""Loggers of libraries that tell of every start and request; only their warnings are kept."""
_OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "taskName"}


@contextmanager
def configured_logs(process: str, *, stream: TextIO | None = None) -> Iterator[None]:
    """Within the block everything that is logged goes to *stream* (stderr) as lines of JSON.

    *process* names who tells, as in ``worker-0``. Exceptions that nobody catches, in any thread,
    are logged as well. At the end of the block all is as it was before.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_JsonLines(process))
    root = logging.getLogger()
    before = (root.handlers, root.level, sys.excepthook, threading.excepthook)
    levels = {name: logging.getLogger(name).level for name in _QUIET}
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    sys.excepthook, threading.excepthook = _uncaught, _uncaught_in_thread
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        root.handlers, level, sys.excepthook, threading.excepthook = before
        root.setLevel(level)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


class _JsonLines(logging.Formatter):
    """A record as one line of ASCII: when, what, who, and the fields that it was given."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        told = {name: value for name, value in vars(record).items() if name not in _OF_EVERY_RECORD}
        told |= {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": self._process,
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
        }
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        kept = {
            name: without_secrets(value) if isinstance(value, str) else value
            for name, value in told.items()
        }
        return json.dumps(kept, sort_keys=True, default=repr)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    _log.critical("the process ended by an exception", exc_info=(kind, error, trace))


def _uncaught_in_thread(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_value is not None:
        name = failed.thread.name if failed.thread else "?"
        trace = (failed.exc_type, failed.exc_value, failed.exc_traceback)
        _log.critical("the thread %s ended by an exception", name, exc_info=trace)
