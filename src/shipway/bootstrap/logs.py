"""What the processes of a server log: one line of JSON an event, in UTC, without secrets.

The parts log by the standard library's ``logging``; this is the one place that says how it looks
and where it goes. It serves processes that are a server's alone: the supervisor and its children.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

from shipway.security.keys import without_secrets

_log = logging.getLogger(__name__)
_QUIET = ("alembic", "asyncio", "httpx", "uvicorn")
"""Loggers of libraries that tell of every start and request; only their warnings are kept."""


@contextmanager
def configured_logs(process: str, *, stream: TextIO | None = None) -> Iterator[None]:
    """Within the block everything that is logged goes to *stream* (stderr) as lines of JSON.

    *process* names who tells, as in ``worker-0``. Exceptions that nobody catches, in any thread,
    are logged as well. At the end of the block all is as it was before.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_formatter(process))
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


def _formatter(process: str) -> logging.Formatter:
    def tell_process(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return {**event, "process": process}

    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.ExtraAdder(),
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            tell_process,
            structlog.processors.format_exc_info,
            _keep_secrets,
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
    )


def _keep_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {
        name: without_secrets(value) if isinstance(value, str) else value
        for name, value in event.items()
    }


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    _log.critical("the process ended by an exception", exc_info=(kind, error, trace))


def _uncaught_in_thread(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_value is not None:
        name = failed.thread.name if failed.thread else "?"
        trace = (failed.exc_type, failed.exc_value, failed.exc_traceback)
        _log.critical("the thread %s ended by an exception", name, exc_info=trace)
