"""Inserting many rows in one statement, at a cost per row that is the driver's alone.

SQLAlchemy builds and checks a parameter set per row, which costs more than the row does. PostgreSQL gets one
array per column instead (``unnest``), and a single value where all rows have the same; SQLite gets the rows as the
driver wants them. A column of lists of words takes each list as one text, its words separated by spaces.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import JSON, Column, ColumnElement, Table, Text, cast, func, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from models.store.recordset import STATEMENTS_KEPT, recordset, shared
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


async def insert_together(
    connection: AsyncConnection, parts: Mapping[Table, Mapping[str, Sequence[Any]]], *, varying: Collection[Column[Any]]
) -> None:
    """The same for several tables, each of which gets as many rows; on PostgreSQL in one statement.

    ``varying``: the columns that nearly always differ from row to row, as others do not.
    """
    if connection.dialect.name == "sqlite":
        for table, columns in parts.items():
            await insert_columns_ignoring(connection, table, columns)
        return
    values = {
        label(table.c[name]): list(map(_json, column_)) if name in _json_names(table) else column_
        for table, columns in parts.items()
        for name, column_ in columns.items()
    }
    usual = frozenset(values) - {label(each) for each in varying}
    given = shared(_NAME, values, is_sqlite=False, usual=usual)
    tables = tuple((table, tuple(columns)) for table, columns in parts.items())
    await connection.execute(_together(tables, given.single, given.alike), given.parameters)


@cache
def label(column_: Column[Any]) -> str:
    """What the column's values are called among the parameters of a statement that writes several tables."""
    return f"{column_.table.name}_{column_.name}"


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
    kinds = {name: _sent_as(table.c[name].type) for name in names}
    new = recordset(_NAME, kinds, is_sqlite=False, single=single, alike=dict(alike))
    return _inserting(table, {name: new.c[name] for name in names}).on_conflict_do_nothing(index_elements=key or None)


@lru_cache(STATEMENTS_KEPT)
def _together(
    tables: tuple[tuple[Table, tuple[str, ...]], ...], single: frozenset[str], alike: tuple[tuple[str, str], ...]
) -> Any:
    kinds = {label(table.c[name]): _sent_as(table.c[name].type) for table, names in tables for name in names}
    new = select(recordset(_NAME, kinds, is_sqlite=False, single=single, alike=dict(alike))).cte(f"{_NAME}_all")
    inserts = [
        _inserting(table, {name: new.c[label(table.c[name])] for name in names}).on_conflict_do_nothing()
        for table, names in tables
    ]
    return inserts[-1].add_cte(*(insert.cte() for insert in inserts[:-1]))


def _inserting(table: Table, columns: Mapping[str, ColumnElement[Any]]) -> Any:
    values = [_stored(column_, table.c[name].type) for name, column_ in columns.items()]
    return upsert(table, is_sqlite=False).from_select(list(columns), select(*values))


def _sent_as(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    # An array of arrays is one array to PostgreSQL: lists go in as texts, as JSON does.
    return Text() if isinstance(kind, JSON | ARRAY) else kind


def _stored(sent: ColumnElement[Any], kind: TypeEngine[Any]) -> ColumnElement[Any]:
    if isinstance(kind, ARRAY):
        return func.string_to_array(sent, " ")
    return cast(sent, JSON) if isinstance(kind, JSON) else sent


def _json(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _plain(value: Any) -> Any:
    return value.hex if type(value) is UUID else value
