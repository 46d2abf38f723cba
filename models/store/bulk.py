"""Inserting many rows in one statement, at a cost per row that is the driver's alone.

SQLAlchemy builds and checks a parameter set per row, which costs more than the row does. PostgreSQL gets one
array per column instead (``unnest``), and a single value where all rows have the same; SQLite gets the rows as the
driver wants them. A column of lists of words takes each list as one text, its words separated by spaces.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import JSON, ColumnElement, Table, Text, cast, func, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from models.store.recordset import STATEMENTS_KEPT, Columns, recordset, shared
from models.store.rows import upsert

_NAME: Final = "new"


async def insert_ignoring(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert rows, all with the same keys, leaving those alone whose keys exist; returns how many are new."""
    if not rows:
        return 0
    return await insert_columns_ignoring(connection, table, {name: [row[name] for row in rows] for name in rows[0]})


async def insert_columns_ignoring(
    connection: AsyncConnection, table: Table, columns: Mapping[str, Sequence[Any]], *, key: tuple[str, ...] = ()
) -> int:
    """The same, from the values of each column: of one row at least, and of as many in each.

    ``key``: what alone can exist already, where a table has several keys; PostgreSQL then looks for no other.
    """
    names, json_names = tuple(columns), _json_names(table)
    if connection.dialect.name == "sqlite":
        statement, order = _for_sqlite(table, names)
        values = [map(_json if name in json_names else _plain, columns[name]) for name in order]
        result = await connection.exec_driver_sql(statement, list(zip(*values, strict=True)))
    else:
        as_texts = {name: list(map(_json, columns[name])) for name in names if name in json_names}
        given = shared(_NAME, {**columns, **as_texts}, is_sqlite=False)
        statement_ = _for_postgresql(table, names, key, given.single, given.alike)
        result = await connection.execute(statement_, given.parameters)
    return int(result.rowcount)


@cache
def _json_names(table: Table) -> frozenset[str]:
    return frozenset(column.name for column in table.c if isinstance(column.type, JSON))


@cache
def _for_sqlite(table: Table, names: tuple[str, ...]) -> tuple[str, Sequence[str]]:
    insert = upsert(table, is_sqlite=True).on_conflict_do_nothing()
    compiled = insert.compile(dialect=sqlite.dialect(), column_keys=list(names))
    return str(compiled), tuple(compiled.positiontup or ())


@lru_cache(STATEMENTS_KEPT)
def _for_postgresql(
    table: Table,
    names: tuple[str, ...],
    key: tuple[str, ...],
    single: frozenset[str],
    alike: tuple[tuple[str, str], ...],
) -> Any:
    # An array of arrays is one array to PostgreSQL: lists go in as texts, as JSON does.
    as_text = {each.name: _from_text(each.type) for each in table.c if isinstance(each.type, JSON | ARRAY)}
    kinds: Columns = {name: Text() if name in as_text else table.c[name].type for name in names}
    new = recordset(_NAME, kinds, is_sqlite=False, single=single, alike=dict(alike))
    values = [as_text[name](new.c[name]) if name in as_text else new.c[name] for name in names]
    insert = upsert(table, is_sqlite=False).from_select(list(names), select(*values))
    return insert.on_conflict_do_nothing(index_elements=key or None)


def _from_text(kind: TypeEngine[Any]) -> Callable[[ColumnElement[Any]], ColumnElement[Any]]:
    if isinstance(kind, ARRAY):
        return lambda given: func.string_to_array(given, " ")
    return lambda given: cast(given, JSON)


def _json(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _plain(value: Any) -> Any:
    return value.hex if type(value) is UUID else value
