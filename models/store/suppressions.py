"""Suppressions: addresses that are not written to. What counts is the keyed digest; the address is for people."""

from uuid import UUID

import msgspec
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncConnection

from models.session import now_ms
from models.store.rows import columns_of, fetch_one, fetch_page, insert_if_free, read
from models.tables import suppressions
from models.vocabulary import Channel, SuppressionKind


class SuppressionRow(msgspec.Struct, frozen=True):
    """A suppression. ``topic`` '' covers the whole channel. Times are milliseconds (UTC)."""

    id: UUID
    channel: Channel
    kind: SuppressionKind
    topic: str
    address: str | None
    reason: str
    message_id: UUID | None
    created_at: int
    expires_at: int | None


class NewSuppression(msgspec.Struct, frozen=True):
    """What a suppression is made of; ``address_digest`` is the keyring's (16 bytes)."""

    channel: Channel
    address_digest: bytes
    kind: SuppressionKind
    topic: str
    address: str | None
    reason: str
    expires_at: int | None


async def create(connection: AsyncConnection, workspace_id: UUID, new: NewSuppression) -> tuple[SuppressionRow, bool]:
    """Store a suppression; returns the one that stands, and whether it is new. An expired one is replaced."""
    key = [
        suppressions.c.workspace_id == workspace_id,
        suppressions.c.channel == new.channel,
        suppressions.c.address_digest == new.address_digest,
        suppressions.c.kind == new.kind,
        suppressions.c.topic == new.topic,
    ]
    await connection.execute(delete(suppressions).where(*key, suppressions.c.expires_at <= now_ms()))
    made = await insert_if_free(
        connection, suppressions, SuppressionRow, workspace_id=workspace_id, **msgspec.structs.asdict(new)
    )
    if made is None:
        standing = await connection.execute(
            suppressions.select().with_only_columns(*columns_of(suppressions, SuppressionRow)).where(*key)
        )
        return read(standing.one(), SuppressionRow), False
    return made, True


async def get(connection: AsyncConnection, workspace_id: UUID, suppression_id: UUID) -> SuppressionRow | None:
    """The suppression, where it exists in this workspace."""
    conditions = [suppressions.c.workspace_id == workspace_id, suppressions.c.id == suppression_id]
    return await fetch_one(connection, suppressions, SuppressionRow, conditions)


async def page(
    connection: AsyncConnection,
    workspace_id: UUID,
    *,
    channel: Channel | None,
    address_digests: list[bytes] | None,
    limit: int,
    offset: int,
) -> tuple[list[SuppressionRow], int]:
    """A page of suppressions and their number; of one channel, or of one address, where asked."""
    conditions = [suppressions.c.workspace_id == workspace_id]
    if channel is not None:
        conditions.append(suppressions.c.channel == channel)
    if address_digests is not None:
        conditions.append(suppressions.c.address_digest.in_(address_digests))
    return await fetch_page(connection, suppressions, SuppressionRow, conditions, limit=limit, offset=offset)


async def remove(connection: AsyncConnection, workspace_id: UUID, suppression_id: UUID) -> bool:
    """Remove a suppression: its address may be written to again. False where there is none."""
    result = await connection.execute(
        delete(suppressions)
        .where(suppressions.c.workspace_id == workspace_id, suppressions.c.id == suppression_id)
        .returning(suppressions.c.id)
    )
    return result.first() is not None
