"""Journeys: what many messages belong to, by a name for people."""

from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.session import now_ms
from models.store.rows import columns_of, fetch_one, fetch_page, insert_one, read
from models.tables import journeys


class JourneyRow(msgspec.Struct, frozen=True):
    """A journey; a removed one is still shown with its messages. Times are milliseconds (UTC)."""

    id: UUID
    name: str
    created_at: int
    deleted_at: int | None


async def create(connection: AsyncConnection, workspace_id: UUID, name: str) -> JourneyRow:
    """A new journey."""
    return await insert_one(connection, journeys, JourneyRow, workspace_id=workspace_id, name=name)


async def get(connection: AsyncConnection, workspace_id: UUID, journey_id: UUID) -> JourneyRow | None:
    """The journey, also a removed one, where it exists in this workspace."""
    conditions = [journeys.c.workspace_id == workspace_id, journeys.c.id == journey_id]
    return await fetch_one(connection, journeys, JourneyRow, conditions)


async def page(
    connection: AsyncConnection, workspace_id: UUID, *, limit: int, offset: int
) -> tuple[list[JourneyRow], int]:
    """A page of journeys and their number, without the removed ones."""
    conditions = [journeys.c.workspace_id == workspace_id, journeys.c.deleted_at.is_(None)]
    return await fetch_page(connection, journeys, JourneyRow, conditions, limit=limit, offset=offset)


def _standing(workspace_id: UUID, journey_id: UUID) -> list[ColumnElement[bool]]:
    return [
        journeys.c.workspace_id == workspace_id,
        journeys.c.id == journey_id,
        journeys.c.deleted_at.is_(None),
    ]


async def rename(connection: AsyncConnection, workspace_id: UUID, journey_id: UUID, name: str) -> JourneyRow | None:
    """Give a journey another name; None where there is none."""
    result = await connection.execute(
        update(journeys)
        .where(*_standing(workspace_id, journey_id))
        .values(name=name)
        .returning(*columns_of(journeys, JourneyRow))
    )
    row = result.first()
    return None if row is None else read(row, JourneyRow)


async def remove(connection: AsyncConnection, workspace_id: UUID, journey_id: UUID) -> bool:
    """Remove a journey; the messages that were accepted for it go out. False where there is none."""
    result = await connection.execute(
        update(journeys)
        .where(*_standing(workspace_id, journey_id))
        .values(deleted_at=now_ms())
        .returning(journeys.c.id)
    )
    return result.first() is not None
