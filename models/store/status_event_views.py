"""What a subscription was told, as it is read back."""

from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from models.store.rows import fetch_page
from models.store.status_events import Attempt
from models.tables import status_events
from models.vocabulary import NoticeState, StatusEvent


class Notice(msgspec.Struct, frozen=True):
    """One event of a subscription, as stored. Times are milliseconds (UTC)."""

    message_id: UUID
    type: StatusEvent
    at: int
    created_at: int
    state: NoticeState
    due_at: int
    ended_at: int | None
    attempts: tuple[Attempt, ...] | None


async def page(
    connection: AsyncConnection,
    workspace_id: UUID,
    subscription_id: UUID,
    *,
    state: NoticeState | None,
    message_id: UUID | None,
    limit: int,
    offset: int,
) -> tuple[list[Notice], int]:
    """A page of what a subscription was told or is to be, the newest first, and how many there are."""
    conditions = [status_events.c.workspace_id == workspace_id, status_events.c.subscription_id == subscription_id]
    if state is not None:
        conditions.append(status_events.c.state == state.value)
    if message_id is not None:
        conditions.append(status_events.c.message_id == message_id)
    return await fetch_page(connection, status_events, Notice, conditions, limit=limit, offset=offset)
