"""What every store does alike: rows as structs, pages of them, and an insert that yields to what stands."""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Column, ColumnElement, Table, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

R = TypeVar("R", bound=msgspec.Struct)


def columns_of(table: Table, row_type: type[R]) -> list[Column[Any]]:
    """The columns that ``row_type`` reads: one of each field's name."""
    return [table.c[name] for name in row_type.__struct_fields__]


def read(row: Any, row_type: type[R]) -> R:
    """A row of ``columns_of`` as a struct."""
    return msgspec.convert(row._mapping, row_type)


def insert_ignoring(connection: AsyncConnection, table: Table) -> Any:
    """An INSERT that leaves a row with the same key as it is."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    return insert(table).on_conflict_do_nothing()


async def fetch_one(
    connection: AsyncConnection, table: Table, row_type: type[R], conditions: Sequence[ColumnElement[bool]]
) -> R | None:
    """The one row under ``conditions``, or None."""
    row = (await connection.execute(select(*columns_of(table, row_type)).where(*conditions))).first()
    return None if row is None else read(row, row_type)


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
