"""Workspaces: the walls between tenants."""

from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from models import ids
from models.errors import Conflict
from models.store.rows import columns_of, fetch_one, insert_if_free, read
from models.tables import messages, workspaces


class WorkspaceRow(msgspec.Struct, frozen=True):
    """A workspace. ``created_at`` is milliseconds (UTC)."""

    id: UUID
    name: str
    settings: dict[str, Any]
    created_at: int


async def create(connection: AsyncConnection, name: str) -> WorkspaceRow:
    """A new workspace; raises Conflict where the name is taken."""
    made = await insert_if_free(connection, workspaces, WorkspaceRow, name=name, settings={})
    if made is None:
        raise Conflict("a workspace of this name exists")
    return made


async def get(connection: AsyncConnection, workspace_id: UUID) -> WorkspaceRow | None:
    """The workspace, where it exists."""
    return await fetch_one(connection, workspaces, WorkspaceRow, [workspaces.c.id == workspace_id])


async def of_message(connection: AsyncConnection, message_id: UUID) -> UUID | None:
    """Whose message it is; None where there is none."""
    owner: UUID | None = await connection.scalar(select(messages.c.workspace_id).where(messages.c.id == message_id))
    return owner


async def everything(connection: AsyncConnection) -> list[WorkspaceRow]:
    """Every workspace, the oldest first."""
    rows = await connection.execute(select(*columns_of(workspaces, WorkspaceRow)).order_by(workspaces.c.id))
    return [read(row, WorkspaceRow) for row in rows]


async def find(connection: AsyncConnection, name_or_id: str) -> WorkspaceRow | None:
    """The workspace of that shown id (``ws_…``) or, failing that, of that name."""
    workspace_id = ids.parse(ids.Kind.WORKSPACE, name_or_id)
    if workspace_id is not None and (found := await get(connection, workspace_id)) is not None:
        return found
    return await fetch_one(connection, workspaces, WorkspaceRow, [workspaces.c.name == name_or_id])
