"""All records as lines of JSON, and back into any database.

The first line says which schema they are of; each other line is a table's name and one of its
rows. They are put into tables of that schema, which are then migrated: so a backup of an older
release is restored by this one, and a backup made on one database is restored on another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC
from typing import Any

import msgspec
from sqlalchemy import Connection, DateTime, MetaData, Table, delete, func, insert, select
from sqlalchemy.types import TypeEngine

from shipway.domain.times import from_iso
from shipway.errors import ConflictError, IntegrityError
from shipway.registry.sql.database import Database
from shipway.registry.sql.migrate import upgrade
from shipway.registry.sql.schema import HEAD, schema_of
from shipway.registry.sql.tables import META, METADATA

_BATCH = 200


class Heading(msgspec.Struct, frozen=True):
    """The first line."""

    schema: str


class Line(msgspec.Struct, frozen=True, array_like=True):
    """One row of one table."""

    table: str
    row: dict[str, Any]


def dump(database: Database) -> Iterator[bytes]:
    """The records of *database*, all of one moment, without the line ends."""
    encode = msgspec.json.encode
    in_parts = {"yield_per": _BATCH}  # no database hands out a whole table at once
    yield encode(Heading(HEAD))
    with database.reading() as connection:
        for table in METADATA.sorted_tables:
            order = list(table.primary_key.columns)
            names = [str(name) for name in table.c.keys()]  # noqa: SIM118 - not a dict
            query = select(table).order_by(*order)
            for row in connection.execute(query, execution_options=in_parts):
                yield encode(Line(str(table.name), dict(zip(names, row, strict=True))))


def load(
    database: Database,
    lines: Iterable[bytes],
    *,
    where: str,
    last: Callable[[], None] = lambda: None,
) -> None:
    """Put what :func:`dump` gave into *database*, which has no record yet: all or nothing.

    *last* is called when everything is in and nothing can be seen; if it raises, nothing will be.
    Raises :class:`~shipway.errors.ConflictError` if it has records,
    :class:`~shipway.errors.IntegrityError` for lines that are no dump, and
    :class:`~shipway.errors.StoreError` for those of a newer release.
    """
    given = iter(lines)
    try:
        schema = msgspec.json.decode(next(given, b""), type=Heading).schema
        with database.writing() as connection:
            _prepare(connection, schema, where)
            tables = MetaData()
            tables.reflect(connection)
            for table, rows in _batches(given, tables):
                connection.execute(insert(table), rows)
            _continue_counting(connection, tables)
            upgrade(connection, schema, where)
            last()
    except (msgspec.DecodeError, KeyError, ValueError) as error:
        raise IntegrityError(
            f"the records to put into {where} cannot be read: {error}",
            next_step="take another backup: this one is damaged",
        ) from error


def refuse_used(database: Database, *, where: str) -> None:
    """Raise :class:`~shipway.errors.ConflictError` if *database* has any record."""
    with database.reading() as connection:
        current = schema_of(connection)
        if current is not None and (current != HEAD or _has_records(connection)):
            raise _used(where)


def _prepare(connection: Connection, schema: str, where: str) -> None:
    """Make the tables of *schema*, if there are none, and see that they are empty."""
    current = schema_of(connection)
    if current is None:
        upgrade(connection, None, where, to=schema)
    elif current != schema or _has_records(connection):
        raise _used(where)
    connection.execute(delete(META))


def _has_records(connection: Connection) -> bool:
    tables = (table for table in METADATA.sorted_tables if table is not META)
    return any(connection.execute(select(table).limit(1)).first() for table in tables)


def _used(where: str) -> ConflictError:
    return ConflictError(
        f"{where} holds a store already; nothing was restored",
        next_step="restore into an empty database, or with `store.url` unset into a new folder",
    )


def _batches(
    lines: Iterator[bytes], tables: MetaData
) -> Iterator[tuple[Table, list[dict[str, Any]]]]:
    decoder = msgspec.json.Decoder(Line)
    table: Table | None = None
    rows: list[dict[str, Any]] = []
    for raw in lines:
        line = decoder.decode(raw)
        if table is None or line.table != table.name or len(rows) >= _BATCH:
            if table is not None:
                yield table, rows
            table, rows = tables.tables[line.table], []
        rows.append(_values(table, line.row))
    if table is not None:
        yield table, rows


def _values(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    return {name: _value(table.c[name].type, value) for name, value in row.items()}


def _value(kind: TypeEngine[Any], value: Any) -> Any:
    """*value* as a column of *kind* takes it: a time in UTC, without its zone if it has none."""
    if value is None or not isinstance(kind, DateTime):
        return value
    moment = from_iso(value)
    return moment if kind.timezone else moment.astimezone(UTC).replace(tzinfo=None)


def _continue_counting(connection: Connection, tables: MetaData) -> None:
    """Let PostgreSQL count on after the ids that were put in; SQLite does by itself."""
    if connection.dialect.name != "postgresql":
        return
    for table in tables.sorted_tables:
        for column in table.primary_key.columns:
            if column.server_default is not None:
                sequence = func.pg_get_serial_sequence(table.name, column.name)
                newest = select(func.max(column)).scalar_subquery()
                used = func.setval(sequence, func.coalesce(newest, 1), newest.is_not(None))
                connection.execute(select(used))
