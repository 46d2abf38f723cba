"""Events as they are read back: what came in, matched to a message or parked."""

from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from models.store.rows import fetch_page
from models.tables import events
from models.vocabulary import BounceType, EventType


class EventRow(msgspec.Struct, frozen=True):
    """A stored event. ``source_id`` is a hook, or the workspace for our own links. Times are milliseconds (UTC)."""

    id: UUID
    source_id: UUID
    provider: str
    type: EventType
    provider_event: str
    message_ref: UUID | None
    message_id: UUID | None
    recipient: str | None
    at: int
    received_at: int
    bounce_type: BounceType | None
    reason: str | None
    machine: bool
    raw: bytes


class EventFilter(msgspec.Struct, frozen=True):
    """Which events of a workspace; every condition that is given must hold."""

    source_id: UUID | None = None
    provider: str | None = None
    type: EventType | None = None
    message_id: UUID | None = None
    matched: bool | None = None


async def page(
    connection: AsyncConnection, workspace_id: UUID, wanted: EventFilter, *, limit: int, offset: int
) -> tuple[list[EventRow], int]:
    """A page of events, the newest first, and their number."""
    conditions = [events.c.workspace_id == workspace_id]
    for column, value in (
        (events.c.source_id, wanted.source_id),
        (events.c.provider, wanted.provider),
        (events.c.type, wanted.type),
        (events.c.message_id, wanted.message_id),
    ):
        if value is not None:
            conditions.append(column == value)
    if wanted.matched is not None:
        is_matched = events.c.message_id.is_not(None)
        conditions.append(is_matched if wanted.matched else ~is_matched)
    return await fetch_page(connection, events, EventRow, conditions, limit=limit, offset=offset)
