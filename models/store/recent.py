"""What became of a workspace's latest messages, counted along the indexes of the lists."""

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import String, func, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from models.lifecycle import File
from models.store.status_sql import filed_under, undelivered
from models.tables import messages
from models.vocabulary import Channel, FailureReason, Lane, Status

MOST_COUNTED = 100_000
"""The latest of each channel and what they are filed under, and of those that did not arrive, are counted: so many."""


class Undelivered(NamedTuple):
    """What messages that did not arrive have in common."""

    status: Status
    reason: FailureReason | None


async def by_status(connection: AsyncConnection, workspace_id: UUID, since: UUID) -> dict[tuple[Channel, Status], int]:
    """The messages from that id on, by channel and status; only those that there are."""
    # One by one, since only with a channel and what they are filed under does an index hold the messages by their ids.
    parts = [
        select(
            literal(channel.value, String(), literal_execute=True).label("channel"),
            select(messages.c.status)
            .where(
                messages.c.workspace_id == workspace_id,
                messages.c.channel == literal(channel.value, literal_execute=True),
                filed_under(file),
                messages.c.id >= since,
            )
            .order_by(messages.c.id.desc())
            .limit(MOST_COUNTED)
            .subquery()
            .c.status,
        )
        for channel in Channel
        for file in File
    ]
    latest = union_all(*parts).subquery()
    group = (latest.c.channel, latest.c.status)
    rows = await connection.execute(select(*group, func.count()).group_by(*group))
    return {(Channel(channel), Status(status)): int(number) for channel, status, number in rows}


async def undelivered_by_reason(
    connection: AsyncConnection, workspace_id: UUID, since: UUID
) -> Mapping[Undelivered, int]:
    """Those of the messages from that id on that did not arrive, by what is known of it."""
    latest = (
        select(messages.c.status, messages.c.failure_reason)
        .where(messages.c.workspace_id == workspace_id, undelivered(), messages.c.id >= since)
        .order_by(messages.c.id.desc())
        .limit(MOST_COUNTED)
        .subquery()
    )
    rows = await connection.execute(
        select(latest.c.status, latest.c.failure_reason, func.count()).group_by(
            latest.c.status, latest.c.failure_reason
        )
    )
    return {
        Undelivered(Status(status), None if reason is None else FailureReason(reason)): int(number)
        for status, reason, number in rows
    }


async def newest(connection: AsyncConnection, workspace_id: UUID) -> UUID | None:
    """The newest message's id."""
    found: UUID | None = await connection.scalar(
        select(messages.c.id).where(messages.c.workspace_id == workspace_id).order_by(messages.c.id.desc()).limit(1)
    )
    return found


async def accepted(
    connection: AsyncConnection, workspace_id: UUID, after: UUID, last: UUID
) -> dict[tuple[Channel, Lane], int]:
    """The messages behind ``after`` up to ``last``, by the lanes that any has, counted up to ``MOST_COUNTED``."""
    came = (
        select(messages.c.channel, messages.c.lane)
        .where(messages.c.workspace_id == workspace_id, messages.c.id > after, messages.c.id <= last)
        .order_by(messages.c.id)
        .limit(MOST_COUNTED)
        .subquery()
    )
    lane = (came.c.channel, came.c.lane)
    rows = await connection.execute(select(*lane, func.count()).group_by(*lane))
    return {(Channel(channel), Lane(lane)): int(number) for channel, lane, number in rows}
