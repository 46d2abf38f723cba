"""Subscriptions: the endpoints of a workspace that want our own status events. Secrets are stored sealed."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.store.rows import change_one, fetch_one, fetch_page, insert_one
from models.tables import subscriptions, workspaces
from models.vocabulary import StatusEvent


class SubscriptionRow(msgspec.Struct, frozen=True):
    """A subscription; the secrets are sealed. Times are milliseconds (UTC)."""

    id: UUID
    url: str
    events: list[StatusEvent]
    secret: bytes
    secret_previous_until: int | None
    paused: bool
    disabled_at: int | None
    disabled_reason: str | None
    created_at: int


async def create(
    connection: AsyncConnection, workspace_id: UUID, *, url: str, events: list[StatusEvent], secret: bytes, paused: bool
) -> SubscriptionRow:
    """Store a subscription."""
    return await insert_one(
        connection,
        subscriptions,
        SubscriptionRow,
        workspace_id=workspace_id,
        url=url,
        events=[event.value for event in events],
        secret=secret,
        paused=paused,
    )


async def lock(connection: AsyncConnection, workspace_id: UUID) -> int:
    """How many a workspace has; nobody adds one before this transaction ends."""
    await connection.execute(
        select(workspaces.c.id).where(workspaces.c.id == workspace_id).with_for_update(key_share=True)
    )
    number = select(func.count()).select_from(subscriptions).where(subscriptions.c.workspace_id == workspace_id)
    return int(await connection.scalar(number) or 0)


async def get(connection: AsyncConnection, workspace_id: UUID, subscription_id: UUID) -> SubscriptionRow | None:
    """The subscription, where it exists in this workspace."""
    conditions = [subscriptions.c.workspace_id == workspace_id, subscriptions.c.id == subscription_id]
    return await fetch_one(connection, subscriptions, SubscriptionRow, conditions)


async def page(
    connection: AsyncConnection, workspace_id: UUID, *, limit: int, offset: int
) -> tuple[list[SubscriptionRow], int]:
    """A page of subscriptions and their number."""
    conditions = [subscriptions.c.workspace_id == workspace_id]
    return await fetch_page(connection, subscriptions, SubscriptionRow, conditions, limit=limit, offset=offset)


async def change(
    connection: AsyncConnection,
    workspace_id: UUID,
    subscription_id: UUID,
    values: Callable[[SubscriptionRow], Mapping[str, Any]],
) -> SubscriptionRow | None:
    """Write the columns that ``values`` gives for the row as it stands; None where there is none."""
    wanted = [subscriptions.c.workspace_id == workspace_id, subscriptions.c.id == subscription_id]
    return await change_one(connection, subscriptions, SubscriptionRow, wanted, values)


def switched_on() -> dict[str, Any]:
    """The columns to write so that a subscription which was switched off is told of messages again."""
    return {"disabled_at": None, "disabled_reason": None}


async def remove(connection: AsyncConnection, workspace_id: UUID, subscription_id: UUID) -> bool:
    """Remove a subscription; False where there is none. What it was to be told goes by ``pruning``."""
    result = await connection.execute(
        delete(subscriptions)
        .where(subscriptions.c.workspace_id == workspace_id, subscriptions.c.id == subscription_id)
        .returning(subscriptions.c.id)
    )
    return result.first() is not None
