"""Turns: the order in which ready messages of a lane are claimed.

Start-time fair queueing: a message's turn comes right behind its workspace's last turn, but never behind the
lane's last claimed one. So a workspace with a million messages and one with three take alternate turns, and
an idle workspace saves up nothing. Two messages may share a turn; their ids then decide.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    String,
    Update,
    Uuid,
    bindparam,
    func,
    literal,
    select,
    true,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from models.store.rows import upsert
from models.tables import lanes, messages
from models.vocabulary import Channel, Lane

NOBODY = UUID(int=0)
"""The workspace under which a lane's last claimed turn is kept; the migrations make these rows."""

Group = tuple[Channel, Lane, UUID]

HOW_MANY = bindparam("how_many", type_=BigInteger)
"""How many turns ``allotting`` gives."""


@cache
def _allotting(is_sqlite: bool) -> Any:
    return _reserving(is_sqlite=is_sqlite)


def allotting(only_with: FromClause) -> Any:
    """The statement that reserves turns of one group, ``given``, and returns the last; none without a row of that.

    For PostgreSQL.
    """
    return _reserving(only_with, is_sqlite=False)


def _reserving(only_with: FromClause | None = None, *, is_sqlite: bool) -> Any:
    greatest = func.max if is_sqlite else func.greatest
    channel, lane = bindparam("for_channel", type_=String), bindparam("for_lane", type_=String)
    last_claimed = (
        select(lanes.c.last_turn)
        .where(lanes.c.channel == channel, lanes.c.lane == lane, lanes.c.workspace_id == NOBODY)
        .scalar_subquery()
    )
    row = select(
        channel, lane, bindparam("for_workspace", type_=Uuid), func.coalesce(last_claimed, literal(0)) + HOW_MANY
    ).where(true())  # SQLite would read ON after a bare SELECT as a join's
    insert = upsert(lanes, is_sqlite=is_sqlite)
    statement = insert.from_select(
        ["channel", "lane", "workspace_id", "last_turn"], row if only_with is None else row.select_from(only_with)
    )
    return statement.on_conflict_do_update(
        index_elements=[lanes.c.channel, lanes.c.lane, lanes.c.workspace_id],
        set_={"last_turn": greatest(lanes.c.last_turn + HOW_MANY, statement.excluded.last_turn)},
    ).returning(lanes.c.last_turn)


def given(channel: Channel, lane: Lane, workspace_id: UUID, count: int) -> dict[str, Any]:
    """The parameters by which ``count`` turns of a group are reserved."""
    return {
        "for_channel": channel.value,
        "for_lane": lane.value,
        "for_workspace": workspace_id,
        "how_many": count,
    }


async def allot(connection: AsyncConnection, counts: Mapping[Group, int]) -> dict[Group, int]:
    """Reserve so many turns for each group, none for 0 (which makes it known); returns each group's first."""
    statement = _allotting(connection.dialect.name == "sqlite")
    first: dict[Group, int] = {}
    # In one order everywhere, so that two transactions never wait for each other in a circle.
    for group, count in sorted(counts.items()):
        channel, lane, workspace_id = group
        last_turn = await connection.scalar(statement, given(channel, lane, workspace_id, count))
        first[group] = int(last_turn or 0) - count + 1
    return first


def last_claimed() -> ColumnElement[int]:
    """The last claimed turn of a row's lane: whoever has this one comes before all that wait (in an update's SET)."""
    last = select(lanes.c.last_turn).where(
        lanes.c.channel == messages.c.channel, lanes.c.lane == messages.c.lane, lanes.c.workspace_id == NOBODY
    )
    return func.coalesce(last.correlate(messages).scalar_subquery(), literal(0))


def advancing(channel: Any, lane: Any, turn: Any) -> Update:
    """The statement that notes ``turn`` as the lane's last claimed one, unless a later one is noted already.

    Where another claim is about to note its own, that one will do: claims never wait for each other.
    """
    clock = [lanes.c.channel == channel, lanes.c.lane == lane, lanes.c.workspace_id == NOBODY]
    free = select(lanes.c.channel).where(*clock).with_for_update(skip_locked=True)
    return update(lanes).where(lanes.c.channel.in_(free), *clock, lanes.c.last_turn < turn).values(last_turn=turn)


async def advance(connection: AsyncConnection, channel: Channel, lane: Lane, turn: int) -> None:
    """Do as ``advancing`` says."""
    await connection.execute(advancing(channel.value, lane.value, turn))
