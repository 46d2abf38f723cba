"""What every store does alike: rows as structs, pages of them, and new ones."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Column, ColumnElement, Table, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from models.ids import new_id
from models.session import now_ms

R = TypeVar("R", bound=msgspec.Struct)


def columns_of(table: Table, row_type: type[R]) -> list[Column[Any]]:
    """The columns that ``row_type`` reads: one of each field's name."""
    return [table.c[name] for name in row_type.__struct_fields__]


def read(row: Any, row_type: type[R]) -> R:
    """A row of ``columns_of`` as a struct."""
    return msgspec.convert(row._mapping, row_type)


def upsert(table: Table, *, is_sqlite: bool) -> Any:
    """An INSERT that can go on with ``on_conflict_do_nothing`` or ``on_conflict_do_update``."""
    return sqlite.insert(table) if is_sqlite else postgresql.insert(table)


async def insert_one(connection: AsyncConnection, table: Table, row_type: type[R], **values: Any) -> R:
    """A new row, made now under an id of its own."""
    return read((await connection.execute(_making(insert(table), table, row_type, values))).one(), row_type)


async def insert_if_free(connection: AsyncConnection, table: Table, row_type: type[R], **values: Any) -> R | None:
    """As ``insert_one``; None where a row with the same key stands, which stays as it is."""
    statement = upsert(table, is_sqlite=connection.dialect.name == "sqlite").on_conflict_do_nothing()
    row = (await connection.execute(_making(statement, table, row_type, values))).first()
    return None if row is None else read(row, row_type)


def _making(statement: Any, table: Table, row_type: type[R], values: Mapping[str, Any]) -> Any:
    return statement.values(id=new_id(), created_at=now_ms(), **values).returning(*columns_of(table, row_type))


async def fetch_one(
    connection: AsyncConnection, table: Table, row_type: type[R], conditions: Sequence[ColumnElement[bool]]
) -> R | None:
    """The one row under ``conditions``, or None."""
    row = (await connection.execute(select(*columns_of(table, row_type)).where(*conditions))).first()
    return None if row is None else read(row, row_type)


async def change_one(
    connection: AsyncConnection,
    table: Table,
    row_type: type[R],
    conditions: Sequence[ColumnElement[bool]],
    values: Callable[[R], Mapping[str, Any]],
) -> R | None:
    """Write the columns that ``values`` gives for the one row as it stands, locked; None where there is none."""
    columns = columns_of(table, row_type)
    row = (await connection.execute(select(*columns).where(*conditions).with_for_update())).first()
    if row is None:
        return None
    old = read(row, row_type)
    new = values(old)
    if not new:
        return old
    written = await connection.execute(update(table).where(*conditions).values(**new).returning(*columns))
    return read(written.one(), row_type)


async def fetch_page(
    connection: AsyncConnection,
    table: Table,
    row_type: type[R],
    conditions: Sequence[ColumnElement[bool]],
    *,
    limit: int,
    offset: int,
) -> tuple[list[R], int]:
    """A page, the newest first, and how many rows there are on all pages."""
    total = await connection.scalar(select(func.count()).select_from(table).where(*conditions))
    rows = await connection.execute(
        select(*columns_of(table, row_type)).where(*conditions).order_by(table.c.id.desc()).limit(limit).offset(offset)
    )
    return [read(row, row_type) for row in rows], int(total or 0)
