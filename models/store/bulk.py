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

from models.store.recordset import STATEMENTS_KEPT, Columns, given_columns, recordset
from models.store.rows import upsert

_NAME: Final = "new"


async def insert_ignoring(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert rows, all with the same keys, leaving those alone whose keys exist; returns how many are new."""
    if not rows:
        return 0
    names = tuple(rows[0])
    if connection.dialect.name == "sqlite":
        statement, order, converters = _for_sqlite(table, names)
        values = [tuple([convert(row[name]) for name, convert in zip(order, converters, strict=True)]) for row in rows]
        result = await connection.exec_driver_sql(statement, values)
    else:
        json_names = _json_names(table)
        by_column = {
            name: [_json(row[name]) for row in rows] if name in json_names else [row[name] for row in rows]
            for name in names
        }
        given = given_columns(_NAME, by_column)
        result = await connection.execute(_for_postgresql(table, names, given.single), given.parameters)
    return int(result.rowcount)


@cache
def _json_names(table: Table) -> frozenset[str]:
    return frozenset(column.name for column in table.c if isinstance(column.type, JSON))


@cache
def _for_sqlite(table: Table, names: tuple[str, ...]) -> tuple[str, Sequence[str], Sequence[Callable[[Any], Any]]]:
    insert = upsert(table, is_sqlite=True).on_conflict_do_nothing()
    compiled = insert.compile(dialect=sqlite.dialect(), column_keys=list(names))
    order = tuple(compiled.positiontup or ())
    json_names = _json_names(table)
    return str(compiled), order, [_json if name in json_names else _plain for name in order]


@lru_cache(STATEMENTS_KEPT)
def _for_postgresql(table: Table, names: tuple[str, ...], single: frozenset[str]) -> Any:
    # An array of arrays is one array to PostgreSQL: lists go in as texts, as JSON does.
    as_text = {each.name: _from_text(each.type) for each in table.c if isinstance(each.type, JSON | ARRAY)}
    kinds: Columns = {name: Text() if name in as_text else table.c[name].type for name in names}
    new = recordset(_NAME, kinds, is_sqlite=False, single=single)
    values = [as_text[name](new.c[name]) if name in as_text else new.c[name] for name in names]
    insert = upsert(table, is_sqlite=False).from_select(list(names), select(*values))
    return insert.on_conflict_do_nothing()


def _from_text(kind: TypeEngine[Any]) -> Callable[[ColumnElement[Any]], ColumnElement[Any]]:
    if isinstance(kind, ARRAY):
        return lambda given: func.string_to_array(given, " ")
    return lambda given: cast(given, JSON)


def _json(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _plain(value: Any) -> Any:
    return value.hex if type(value) is UUID else value
