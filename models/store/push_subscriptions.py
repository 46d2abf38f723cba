"""Browsers: the push subscriptions that a contact is reached by."""

from uuid import UUID

import msgspec
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.store.contacts import living
from models.store.rows import columns_of, fetch_one, fetch_page, insert_if_free, read
from models.tables import contacts, push_subscriptions


class PushSubscriptionRow(msgspec.Struct, frozen=True):
    """One browser of a contact (RFC 8030). ``created_at`` is milliseconds (UTC)."""

    id: UUID
    contact_id: UUID
    endpoint: str
    topic: str | None
    created_at: int


class Browser(msgspec.Struct, frozen=True):
    """What a browser's subscription is made of; ``endpoint_digest`` is the endpoint's SHA-256."""

    endpoint: str
    endpoint_digest: bytes
    p256dh: str
    auth: str
    topic: str | None


async def put(
    connection: AsyncConnection, workspace_id: UUID, contact_id: UUID, browser: Browser
) -> tuple[PushSubscriptionRow, bool] | None:
    """Store a browser of the contact, by its endpoint; whether it is new; None where there is no such contact.

    An endpoint that was another contact's becomes this one's: whoever uses the browser now.
    """
    held = await connection.execute(
        select(contacts.c.id).where(*living(workspace_id, contacts.c.id == contact_id)).with_for_update()
    )
    if held.first() is None:
        return None
    values = {"contact_id": contact_id, **msgspec.structs.asdict(browser)}
    made = await insert_if_free(
        connection, push_subscriptions, PushSubscriptionRow, workspace_id=workspace_id, **values
    )
    if made is not None:
        return made, True
    result = await connection.execute(
        update(push_subscriptions)
        .where(
            push_subscriptions.c.workspace_id == workspace_id,
            push_subscriptions.c.endpoint_digest == browser.endpoint_digest,
        )
        .values(**values)
        .returning(*columns_of(push_subscriptions, PushSubscriptionRow))
    )
    return read(result.one(), PushSubscriptionRow), False


async def get(connection: AsyncConnection, workspace_id: UUID, subscription_id: UUID) -> PushSubscriptionRow | None:
    """The browser, where it exists in this workspace."""
    conditions = [push_subscriptions.c.workspace_id == workspace_id, push_subscriptions.c.id == subscription_id]
    return await fetch_one(connection, push_subscriptions, PushSubscriptionRow, conditions)


async def page(
    connection: AsyncConnection, workspace_id: UUID, *, contact_id: UUID | None, limit: int, offset: int
) -> tuple[list[PushSubscriptionRow], int]:
    """A page of browsers and their number; of one contact where asked."""
    conditions = [push_subscriptions.c.workspace_id == workspace_id]
    if contact_id is not None:
        conditions.append(push_subscriptions.c.contact_id == contact_id)
    return await fetch_page(connection, push_subscriptions, PushSubscriptionRow, conditions, limit=limit, offset=offset)


async def change(
    connection: AsyncConnection, workspace_id: UUID, subscription_id: UUID, *, topic: str | None
) -> PushSubscriptionRow | None:
    """Give a browser another topic; None where there is no such browser."""
    result = await connection.execute(
        update(push_subscriptions)
        .where(push_subscriptions.c.workspace_id == workspace_id, push_subscriptions.c.id == subscription_id)
        .values(topic=topic)
        .returning(*columns_of(push_subscriptions, PushSubscriptionRow))
    )
    row = result.first()
    return None if row is None else read(row, PushSubscriptionRow)


async def remove(connection: AsyncConnection, workspace_id: UUID, subscription_id: UUID) -> bool:
    """Forget a browser; False where there is none."""
    result = await connection.execute(
        delete(push_subscriptions)
        .where(push_subscriptions.c.workspace_id == workspace_id, push_subscriptions.c.id == subscription_id)
        .returning(push_subscriptions.c.id)
    )
    return result.first() is not None
