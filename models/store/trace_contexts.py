"""Where messages stand in their traces: read only by processes that trace."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.store.recordset import among
from models.tables import events, message_details, messages
from models.vocabulary import Channel, EventType


class Report(msgspec.Struct, frozen=True):
    """An event that was applied to a message which is traced. Times are milliseconds (UTC)."""

    message_id: UUID
    channel: Channel
    traceparent: str
    type: EventType
    provider: str
    at: int
    received_at: int
    run: int | None


async def of_messages(connection: AsyncConnection, message_ids: Collection[UUID]) -> dict[UUID, str]:
    """``traceparent`` by message id, of those that are traced."""
    if not message_ids:
        return {}
    rows = await connection.execute(
        select(message_details.c.message_id, message_details.c.traceparent).where(
            among(message_details.c.message_id, message_ids, is_sqlite=connection.dialect.name == "sqlite"),
            message_details.c.traceparent.is_not(None),
        )
    )
    return {row.message_id: row.traceparent for row in rows}


async def of_events(connection: AsyncConnection, event_ids: Collection[UUID]) -> list[Report]:
    """Those of these events that were applied to messages which are traced, the oldest first."""
    return await _reports(connection, among(events.c.id, event_ids, is_sqlite=connection.dialect.name == "sqlite"))


async def of_source(
    connection: AsyncConnection, workspace_id: UUID, source_id: UUID, dedupe_keys: Collection[bytes]
) -> list[Report]:
    """The same of what was stored under these keys of a source."""
    found = among(events.c.dedupe_key, dedupe_keys, is_sqlite=connection.dialect.name == "sqlite")
    return await _reports(connection, events.c.workspace_id == workspace_id, events.c.source_id == source_id, found)


async def _reports(connection: AsyncConnection, *conditions: ColumnElement[bool]) -> list[Report]:
    columns: dict[str, Any] = {
        name: messages.c.channel if name == "channel" else events.c[name]
        for name in Report.__struct_fields__
        if name != "traceparent"
    }
    rows = await connection.execute(
        select(*columns.values(), message_details.c.traceparent)
        .join(messages, and_(messages.c.id == events.c.message_id, messages.c.workspace_id == events.c.workspace_id))
        .join(message_details, message_details.c.message_id == messages.c.id)
        .where(*conditions, events.c.applied_at.is_not(None), message_details.c.traceparent.is_not(None))
        .order_by(events.c.id)
    )
    return [msgspec.convert(row._mapping, Report) for row in rows]
