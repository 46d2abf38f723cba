"""Which subscriptions have something to be told, and how much of it."""

from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import case, exists, func, literal, null, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.session import now_ms
from models.tables import status_events, subscriptions
from models.vocabulary import NoticeState

# As the index of what waits says: PostgreSQL sees from a parameter's value alone whether it may use that.
DUE: Final = (
    status_events.c.state == literal(NoticeState.PENDING.value, literal_execute=True),
    status_events.c.due_at <= now_ms(),
)
_OPEN: Final = (~subscriptions.c.paused, subscriptions.c.disabled_at.is_(None))
# Asked every second, as those of ``keeping``.
_ANY_DUE: Final = (
    select(subscriptions.c.id)
    .where(*_OPEN, exists().where(status_events.c.subscription_id == subscriptions.c.id, *DUE))
    .limit(1)
)


class Waiting(msgspec.Struct, frozen=True):
    """A subscription that something waits for; ``secrets`` are sealed, the newest first.

    ``due``: how many events are, counted up to what ``waiting`` was asked for.
    """

    id: UUID
    workspace_id: UUID
    url: str
    secrets: tuple[bytes, ...]
    due: int


async def waiting(connection: AsyncConnection, most: int) -> list[Waiting]:
    """The subscriptions that something is due for: up to ``most`` entries of an index are read for each."""
    both_valid = subscriptions.c.secret_previous_until > now_ms()
    due = select(literal(1)).where(status_events.c.subscription_id == subscriptions.c.id, *DUE).limit(most)
    counted = select(func.count()).select_from(due.correlate(subscriptions).subquery()).scalar_subquery()
    rows = await connection.execute(
        select(
            subscriptions.c.id,
            subscriptions.c.workspace_id,
            subscriptions.c.url,
            subscriptions.c.secret,
            case((both_valid, subscriptions.c.secret_previous), else_=null()).label("previous"),
            counted.label("due"),
        ).where(*_OPEN)
    )
    return [
        Waiting(
            row.id,
            row.workspace_id,
            row.url,
            (row.secret,) if row.previous is None else (row.secret, row.previous),
            row.due,
        )
        for row in rows
        if row.due
    ]


async def any_waits(connection: AsyncConnection) -> bool:
    """Whether something is due."""
    return (await connection.scalar(_ANY_DUE)) is not None
