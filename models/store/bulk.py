"""Inserting many rows in one statement, at a cost per row that is the driver's alone.

SQLAlchemy builds and checks a parameter set per row, which costs more than the row does. PostgreSQL gets one
array per column instead (``unnest``), and a single value where all rows have the same; SQLite gets the rows as the
driver wants them.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import JSON, Table, Text, cast, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

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
    json_names = _json_names(table)
    kinds: Columns = {name: Text() if name in json_names else table.c[name].type for name in names}
    new = recordset(_NAME, kinds, is_sqlite=False, single=single)
    values = [cast(new.c[name], JSON) if name in json_names else new.c[name] for name in names]
    insert = upsert(table, is_sqlite=False).from_select(list(names), select(*values))
    return insert.on_conflict_do_nothing()


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _plain(value: Any) -> Any:
    return value.hex if type(value) is UUID else value
