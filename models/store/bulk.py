"""Inserting many rows in one statement, at a cost per row that is the driver's alone.

SQLAlchemy builds and checks a parameter set per row, which costs more than the row does. PostgreSQL gets one
array per column instead (``unnest``); SQLite gets the rows as the driver wants them.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import JSON, Table, Text, cast, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from models.store.recordset import Columns, recordset

_NAME = "new"


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
        statement, json_names = _for_postgresql(table, names)
        arrays = {
            f"{_NAME}_{name}": [_json(row[name]) for row in rows] if name in json_names else [row[name] for row in rows]
            for name in names
        }
        result = await connection.execute(statement, arrays)
    return int(result.rowcount)


@cache
def _for_sqlite(table: Table, names: tuple[str, ...]) -> tuple[str, Sequence[str], Sequence[Callable[[Any], Any]]]:
    insert = sqlite.insert(table).on_conflict_do_nothing()
    compiled = insert.compile(dialect=sqlite.dialect(), column_keys=list(names))
    order = tuple(compiled.positiontup or ())
    return str(compiled), order, [_json if isinstance(table.c[name].type, JSON) else _plain for name in order]


@cache
def _for_postgresql(table: Table, names: tuple[str, ...]) -> tuple[Any, frozenset[str]]:
    json_names = frozenset(name for name in names if isinstance(table.c[name].type, JSON))
    columns: Columns = {name: Text() if name in json_names else table.c[name].type for name in names}
    new = recordset(_NAME, columns, is_sqlite=False)
    values = [cast(new.c[name], JSON) if name in json_names else new.c[name] for name in names]
    return postgresql.insert(table).from_select(list(names), select(*values)).on_conflict_do_nothing(), json_names


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _plain(value: Any) -> Any:
    return value.hex if type(value) is UUID else value
