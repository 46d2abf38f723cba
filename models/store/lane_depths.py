"""What a workspace has waiting in each lane, and in workers' hands."""

from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Select, String, func, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from models.session import now_ms
from models.tables import messages, workers
from models.vocabulary import Channel, Lane, State

MOST_COUNTED: Final = 10_000
"""Messages of a lane are counted up to here."""


class Depth(msgspec.Struct, frozen=True, kw_only=True):
    """One lane of a workspace, counted up to ``MOST_COUNTED``.

    ``ready``: they wait for a worker. ``later``: they wait for a time, their own or that of their next try; those of a
    paused campaign are in neither. ``waited``: for how long (milliseconds) the next of the ready ones has been due.
    """

    channel: Channel
    lane: Lane
    ready: int
    later: int
    in_flight: int
    waited: int | None


async def depths(connection: AsyncConnection, workspace_id: UUID) -> list[Depth]:
    """Every lane, each number by an index of just these messages."""
    in_flight = await _in_flight(connection, workspace_id)
    rows = await connection.execute(
        union_all(*(_lane(workspace_id, channel, lane) for channel in Channel for lane in Lane))
    )
    return [
        Depth(
            channel=Channel(row.channel),
            lane=Lane(row.lane),
            ready=int(row.ready),
            later=int(row.later),
            in_flight=in_flight.get((row.channel, row.lane), 0),
            waited=None if row.waited is None else max(0, int(row.waited)),
        )
        for row in rows
    ]


def _lane(workspace_id: UUID, channel: Channel, lane: Lane) -> Select[Any]:
    of_lane = [
        messages.c.channel == literal(channel.value, literal_execute=True),
        messages.c.lane == literal(lane.value, literal_execute=True),
        messages.c.workspace_id == workspace_id,
    ]
    has_turn = messages.c.turn.is_not(None)
    # As the index of parked rows says it.
    parked = (
        messages.c.state == literal(State.QUEUED.value, literal_execute=True),
        messages.c.turn.is_(None),
        ~messages.c.paused,
    )
    first = (
        select(now_ms() - messages.c.due_at).where(*of_lane, has_turn).order_by(messages.c.turn).limit(1)
    ).scalar_subquery()
    return select(
        literal(channel.value, String(), literal_execute=True).label("channel"),
        literal(lane.value, String(), literal_execute=True).label("lane"),
        _count(*of_lane, has_turn).label("ready"),
        _count(*of_lane, *parked).label("later"),
        first.label("waited"),
    )


def _count(*conditions: ColumnElement[bool]) -> Any:
    rows = select(messages.c.id).where(*conditions).limit(MOST_COUNTED).subquery()
    return select(func.count()).select_from(rows).scalar_subquery()


async def _in_flight(connection: AsyncConnection, workspace_id: UUID) -> dict[tuple[str, str], int]:
    # By worker, as their index has them: there are never more than all workers have in hand.
    rows = await connection.execute(
        select(messages.c.channel, messages.c.lane, func.count())
        .where(
            messages.c.worker_id.in_(select(workers.c.id)),
            messages.c.state == literal(State.SENDING.value, literal_execute=True),
            messages.c.workspace_id == workspace_id,
        )
        .group_by(messages.c.channel, messages.c.lane)
    )
    return {(row[0], row[1]): int(row[2]) for row in rows}
