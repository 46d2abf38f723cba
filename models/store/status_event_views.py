"""What a subscription was told, as it is read back."""

from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.store.rows import columns_of, read
from models.store.status_events import Attempt
from models.tables import status_events
from models.vocabulary import NoticeState, StatusEvent

MOST_LISTED: Final = 10_000
"""How many of a subscription's events, or of those asked for, can be read back."""


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
    """A page of what a subscription was told or is to be, the newest first, and how many of these there are to be read.

    None is read beyond the newest ``MOST_LISTED``, and none counted: a subscription may have millions.
    """
    conditions = [status_events.c.workspace_id == workspace_id, status_events.c.subscription_id == subscription_id]
    if state is not None:
        # The index of what waits is one of those rows alone, and PostgreSQL must see that it will do.
        conditions.append(status_events.c.state == literal(state.value, literal_execute=True))
    if message_id is not None:
        conditions.append(status_events.c.message_id == message_id)
    listed = select(status_events.c.id).where(*conditions).order_by(status_events.c.id.desc()).limit(MOST_LISTED)
    total = int(await connection.scalar(select(func.count()).select_from(listed.subquery())) or 0)
    if offset >= total:
        return [], total
    rows = await connection.execute(
        select(*columns_of(status_events, Notice))
        .where(*conditions)
        .order_by(status_events.c.id.desc())
        .limit(min(limit, total - offset))
        .offset(offset)
    )
    return [read(row, Notice) for row in rows], total
