"""What the server's processes log."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from shipway.bootstrap.logs import configured_logs
from shipway.security.keys import issue


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where the log goes for the length of a test."""
    written = io.StringIO()
    with configured_logs("worker-0", stream=written):
        yield written


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    """Every line, which must be one JSON object each."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_one_line_of_json_in_utc(stream: io.StringIO) -> None:
    """An event is one JSON object with time in UTC, level, logger, process and its fields."""
    logging.getLogger("shipway.serving.worker").warning("lost %d of %d", 1, 2, extra={"rows": 7})
    (told,) = lines(stream)
    at = datetime.fromisoformat(str(told.pop("timestamp")))
    assert at.utcoffset() == timedelta(0)
    assert told == {
        "event": "lost 1 of 2",
        "level": "warning",
        "logger": "shipway.serving.worker",
        "process": "worker-0",
        "rows": 7,
    }


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "\x1b[31mred", "\u2028", "\x00", "é" * 5000])
def test_whatever_is_logged_is_one_line(stream: io.StringIO, text: str) -> None:
    """Line ends, escapes and other control characters of a name stay within their string."""
    logging.getLogger("shipway.serving").error("cannot load %s", text)
    (told,) = lines(stream)
    assert told["event"] == f"cannot load {text}"
    assert stream.getvalue().isascii()
    assert stream.getvalue()[:-1].isprintable()


def test_tracebacks_are_fields(stream: io.StringIO) -> None:
    """An exception is told with its traceback, in the same line."""
    try:
        raise ZeroDivisionError("poison")
    except ZeroDivisionError:
        logging.getLogger("shipway.serving").exception("predicting failed")
    (told,) = lines(stream)
    assert "ZeroDivisionError: poison" in str(told["exception"])


def test_keys_are_not_told(stream: io.StringIO) -> None:
    """A key that gets into a message or a field is cut down to its id."""
    secret, record = issue(
        scopes=("predict",),
        now=datetime.now(UTC),
        random=lambda size: bytes(range(size)),
        name="x",
        expires_in=timedelta(days=1),
    )
    logging.getLogger("shipway").error("refused %s", f"Bearer {secret}", extra={"header": secret})
    assert secret not in stream.getvalue()
    assert stream.getvalue().count(record.id) == 2


def test_what_nobody_caught_is_logged(stream: io.StringIO) -> None:
    """The end of a thread or of the process by an exception is a line like any other."""

    def fail() -> None:
        raise ValueError("nobody caught this")

    thread = threading.Thread(target=fail, name="housekeeping")
    thread.start()
    thread.join()
    sys.excepthook(KeyError, KeyError("nor this"), None)
    first, second = lines(stream)
    assert "nobody caught this" in str(first["exception"])
    assert "nor this" in str(second["exception"])
    assert second["level"] == "critical"
