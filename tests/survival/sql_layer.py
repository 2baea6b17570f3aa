"""Between SQLAlchemy and a database's driver: each statement and each commit passes a watcher.

A statement that is let fail raises what the driver raises; in PostgreSQL its connection is gone
as well, before the statement or after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy.engine.default import DefaultDialect
from tests.survival.boundary import Step, Watcher, nothing

_STATEMENTS = ("do_execute", "do_executemany", "do_execute_no_params")


@contextmanager
def sql_watched(watcher: Watcher) -> Iterator[None]:
    """Let what SQLAlchemy asks of any database pass *watcher*."""
    with pytest.MonkeyPatch.context() as patch:
        for name in _STATEMENTS:
            patch.setattr(DefaultDialect, name, _statement(name, watcher))
        patch.setattr(DefaultDialect, "do_commit", _commit(watcher))
        yield


def _statement(name: str, watcher: Watcher) -> Callable[..., None]:
    real: Callable[..., None] = getattr(DefaultDialect, name)

    def call(dialect: DefaultDialect, cursor: Any, statement: str, *rest: Any) -> None:
        step = Step(layer="sql", kind="execute", path=statement)
        _passed(
            dialect,
            watcher,
            step,
            lambda: real(dialect, cursor, statement, *rest),
            lambda: cursor.connection,
        )

    return call


def _commit(watcher: Watcher) -> Callable[..., None]:
    real: Callable[..., None] = DefaultDialect.do_commit

    def call(dialect: DefaultDialect, connection: Any) -> None:
        step = Step(layer="sql", kind="commit", path="COMMIT")
        _passed(dialect, watcher, step, lambda: real(dialect, connection), lambda: connection)

    return call


def _passed(
    dialect: DefaultDialect,
    watcher: Watcher,
    step: Step,
    do: Callable[[], None],
    connection: Callable[[], Any],
) -> None:
    try:
        watcher.around(step, do, nothing)
    except OSError as error:
        driver: Any = dialect.loaded_dbapi
        if dialect.name == "postgresql":
            used = connection()
            getattr(used, "driver_connection", used).close()
            message = "server closed the connection unexpectedly"
            raise driver.OperationalError(message) from error
        locked = driver.OperationalError("database is locked")
        locked.sqlite_errorcode = driver.SQLITE_BUSY
        raise locked from error
