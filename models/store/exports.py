"""What is held of one person, read in pages of bounded size: no answer about a person is ever whole in memory."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from models.store.letter_case import in_any_case
from models.store.message_views import ATTEMPT_COLUMNS, AttemptRow
from models.store.recordset import among
from models.store.rows import columns_of, read
from models.store.suppressions import Address, SuppressionRow, at_addresses
from models.tables import attempts, events, message_details, messages, push_subscriptions, suppressions
from models.vocabulary import BounceType, Channel, EventType


class BrowserRow(msgspec.Struct, frozen=True):
    """A browser with its keys. ``created_at`` is milliseconds (UTC)."""

    id: UUID
    endpoint: str
    p256dh: str
    auth: str
    topic: str | None
    created_at: int


class DetailRow(msgspec.Struct, frozen=True):
    """What a message holds of its recipient beside its own row. ``content_id`` is None once they were erased."""

    message_id: UUID
    channel: Channel
    address: str | None
    address_digest: bytes
    variables: dict[str, Any]
    content_id: UUID | None


class EventRow(msgspec.Struct, frozen=True):
    """An event, of a message or of none. Times are milliseconds (UTC)."""

    id: UUID
    message_id: UUID | None
    type: EventType
    provider: str
    provider_event: str
    at: int
    received_at: int
    recipient: str | None
    bounce_type: BounceType | None
    reason: str | None
    machine: bool
    raw: bytes


async def browsers(connection: AsyncConnection, workspace_id: UUID, contact_id: UUID) -> list[BrowserRow]:
    """The contact's browsers."""
    rows = await connection.execute(
        select(*columns_of(push_subscriptions, BrowserRow))
        .where(push_subscriptions.c.workspace_id == workspace_id, push_subscriptions.c.contact_id == contact_id)
        .order_by(push_subscriptions.c.id)
    )
    return [read(row, BrowserRow) for row in rows]


async def details(
    connection: AsyncConnection, workspace_id: UUID, contact_id: UUID, *, after: UUID | None, most: int
) -> list[DetailRow]:
    """The contact's messages with ids above ``after``, the oldest first."""
    query = (
        select(messages.c.channel, *(message_details.c[name] for name in _DETAILS))
        .join(message_details, message_details.c.message_id == messages.c.id)
        .where(messages.c.workspace_id == workspace_id, messages.c.contact_id == contact_id)
        .order_by(messages.c.id)
        .limit(most)
    )
    if after is not None:
        query = query.where(messages.c.id > after)
    return [read(row, DetailRow) for row in await connection.execute(query)]


_DETAILS = tuple(name for name in DetailRow.__struct_fields__ if name != "channel")


async def attempts_of(connection: AsyncConnection, message_ids: Collection[UUID]) -> dict[UUID, list[AttemptRow]]:
    """The attempts of these messages, the first one first."""
    rows = await connection.execute(
        select(attempts.c.message_id, *ATTEMPT_COLUMNS)
        .where(among(attempts.c.message_id, message_ids, is_sqlite=connection.dialect.name == "sqlite"))
        .order_by(attempts.c.message_id, attempts.c.token)
    )
    found: dict[UUID, list[AttemptRow]] = {}
    for row in rows:
        found.setdefault(row.message_id, []).append(read(row, AttemptRow))
    return found


async def events_of(
    connection: AsyncConnection,
    workspace_id: UUID,
    message_ids: Collection[UUID],
    *,
    after: tuple[UUID, UUID] | None,
    most: int,
) -> list[EventRow]:
    """The events of these messages, by message and then in the order they came, from ``after`` (both ids) on."""
    place = tuple_(events.c.message_id, events.c.id)
    query = (
        select(*columns_of(events, EventRow))
        .where(
            events.c.workspace_id == workspace_id,
            among(events.c.message_id, message_ids, is_sqlite=connection.dialect.name == "sqlite"),
        )
        .order_by(events.c.message_id, events.c.id)
        .limit(most)
    )
    if after is not None:
        query = query.where(place > tuple_(*after))
    return [read(row, EventRow) for row in await connection.execute(query)]


async def unmatched_events(
    connection: AsyncConnection, workspace_id: UUID, addresses: Collection[str], *, after: UUID | None, most: int
) -> list[EventRow]:
    """Events of no message whose recipient is one of these addresses, in the order they came."""
    query = (
        select(*columns_of(events, EventRow))
        .where(
            events.c.workspace_id == workspace_id,
            events.c.message_id.is_(None),
            in_any_case(events.c.recipient, addresses),
        )
        .order_by(events.c.id)
        .limit(most)
    )
    if after is not None:
        query = query.where(events.c.id > after)
    return [read(row, EventRow) for row in await connection.execute(query)]


async def suppressions_of(
    connection: AsyncConnection, workspace_id: UUID, addresses: Sequence[Address]
) -> list[SuppressionRow]:
    """What stands against these addresses, also what has expired."""
    rows = await connection.execute(
        select(*columns_of(suppressions, SuppressionRow))
        .where(suppressions.c.workspace_id == workspace_id, at_addresses(addresses))
        .order_by(suppressions.c.id)
    )
    return [read(row, SuppressionRow) for row in rows]
