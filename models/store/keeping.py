"""What the keeper does to many rows at once, in bounded batches, by the database's clock alone."""

from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Integer,
    Uuid,
    and_,
    bindparam,
    delete,
    exists,
    literal,
    null,
    select,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from models.session import now_ms
from models.store import turns
from models.store.claim_rows import SUSPECT_AFTER
from models.store.ending import without_a_send
from models.store.recordset import Columns, parameters, recordset
from models.tables import events, idempotency_keys, lanes, messages
from models.vocabulary import Channel, FailureReason, Lane, State

_READIED: Columns = {"id": Uuid(), "turn": BigInteger()}


_PARKED = (
    messages.c.state == literal(State.QUEUED.value, literal_execute=True),
    messages.c.turn.is_(None),
    ~messages.c.paused,
    messages.c.due_at <= now_ms(),
)


# These are asked every second whatever happens, and to make a statement takes longer than to ask it.
_GROUPS_DUE = select(lanes.c.channel, lanes.c.lane, lanes.c.workspace_id).where(
    exists().where(
        messages.c.channel == lanes.c.channel,
        messages.c.lane == lanes.c.lane,
        messages.c.workspace_id == lanes.c.workspace_id,
        *_PARKED,
    )
)
_LANES_WITH_WORK = union_all(
    *(
        select(literal(channel.value).label("channel"), literal(lane.value).label("lane")).where(
            select(messages.c.id)
            .where(messages.c.channel == channel.value, messages.c.lane == lane.value, messages.c.turn.is_not(None))
            .order_by(messages.c.turn)
            .limit(1)
            .exists()
        )
        for channel in Channel
        for lane in Lane
    )
)


# Each channel alone: all at once, a plan made while the table was empty would read the whole table ever after.
_WITH_SUSPECTS = union_all(
    *(
        select(literal(channel.value).label("channel")).where(
            exists().where(
                messages.c.channel == channel.value,
                messages.c.turn.is_not(None),
                messages.c.crashes >= literal(SUSPECT_AFTER, literal_execute=True),
            )
        )
        for channel in Channel
    )
)
_WAITING_EVENT = select(events.c.id).where(events.c.applied_at.is_(None), events.c.retry_at.is_(None)).limit(1)
_NEXT_ROWS = union_all(
    *(
        select(
            select(messages.c.channel, messages.c.lane, messages.c.id, now_ms() - messages.c.due_at)
            .where(messages.c.channel == channel.value, messages.c.lane == lane.value, messages.c.turn.is_not(None))
            .order_by(messages.c.turn, messages.c.id)
            .limit(1)
            .subquery()  # SQLite takes ORDER BY and LIMIT in a part of a UNION in no other way
        )
        for channel in Channel
        for lane in Lane
    )
)


async def groups_due(connection: AsyncConnection) -> list[turns.Group]:
    """Each workspace's lane that has parked rows which are due: one index probe each."""
    rows = await connection.execute(_GROUPS_DUE)
    return [(Channel(row.channel), Lane(row.lane), row.workspace_id) for row in rows]


async def ready_due(connection: AsyncConnection, group: turns.Group, most: int) -> int:
    """Give turns to up to ``most`` parked rows of a group that are due, the longest due first; returns how many.

    What a dead worker had in hand keeps its place before all that wait, also where a limit put it off since; not what
    was tried since and failed, which had its turn.
    """
    channel, lane, workspace_id = group
    rows = await connection.execute(
        select(messages.c.id, and_(messages.c.crashes > 0, messages.c.tries == 0).label("rescued"))
        .where(
            messages.c.channel == channel.value,
            messages.c.lane == lane.value,
            messages.c.workspace_id == workspace_id,
            *_PARKED,
        )
        .order_by(messages.c.due_at)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    due = rows.all()
    rescued = [row.id for row in due if row.rescued]
    if rescued:
        await connection.execute(update(messages).where(messages.c.id.in_(rescued)).values(turn=turns.last_claimed()))
    others = [row.id for row in due if not row.rescued]
    if others:
        first = (await turns.allot(connection, {group: len(others)}))[group]
        is_sqlite = connection.dialect.name == "sqlite"
        readied = [(each, first + place) for place, each in enumerate(others)]
        await connection.execute(_readying(is_sqlite), parameters("readied", _READIED, readied, is_sqlite=is_sqlite))
    return len(due)


@cache
def _readying(is_sqlite: bool) -> Any:
    readied = recordset("readied", _READIED, is_sqlite=is_sqlite)
    return update(messages).where(messages.c.id == readied.c.id).values(turn=readied.c.turn)


async def follow_clock(connection: AsyncConnection, most: int) -> int:
    """Bring up to ``most`` pauses after the database's clock, which was set back since they began; returns how many.

    A row that was claimed "in the future" was parked before the clock was set back: it is to wait as long as it was
    told, not for the time that the clock lost. Repeating it changes nothing. All that is parked is looked at.
    """
    parked = _batch(
        [
            messages.c.state == literal(State.QUEUED.value, literal_execute=True),
            messages.c.turn.is_(None),
            ~messages.c.paused,
            messages.c.claimed_at > now_ms(),
        ],
        most,
    )
    result = await connection.execute(
        update(messages)
        .where(messages.c.id.in_(parked))
        .values(due_at=messages.c.due_at - (messages.c.claimed_at - now_ms()), claimed_at=now_ms())
    )
    return result.rowcount


async def lanes_with_work(connection: AsyncConnection) -> set[tuple[Channel, Lane]]:
    """Every lane that has a ready row: one index probe each."""
    rows = await connection.execute(_LANES_WITH_WORK)
    return {(Channel(row.channel), Lane(row.lane)) for row in rows}


class Next(NamedTuple):
    """The next row of a lane, and how long (milliseconds) it has been due."""

    id: UUID
    waited: int


async def next_rows(connection: AsyncConnection) -> dict[tuple[Channel, Lane], Next]:
    """The next row of each lane: one index probe each, none for an empty lane."""
    rows = await connection.execute(_NEXT_ROWS)
    return {(Channel(channel), Lane(lane)): Next(row_id, int(waited)) for channel, lane, row_id, waited in rows}


async def channels_with_suspects(connection: AsyncConnection) -> set[Channel]:
    """Channels that have a ready row which is claimed only alone."""
    return {Channel(each) for each in await connection.scalars(_WITH_SUSPECTS)}


def _batch(condition: Any, most: int) -> Any:
    # Locked as they are: what changes them need not say again what it looks for, which could lead it along the table.
    return select(messages.c.id).where(*condition).limit(most).with_for_update(skip_locked=True)


async def expire(connection: AsyncConnection, most: int) -> int:
    """Fail queued messages whose ``expiresAt`` has passed; returns how many."""
    return (await connection.execute(_expiring(most))).rowcount


@cache
def _expiring(most: int) -> Any:
    late = _batch(
        [
            messages.c.state == literal(State.QUEUED.value, literal_execute=True),
            messages.c.expires_at <= now_ms(),
        ],
        most,
    )
    return update(messages).where(messages.c.id.in_(late)).values(**without_a_send(State.FAILED, FailureReason.EXPIRED))


async def forget_keys(connection: AsyncConnection, kept_ms: int, most: int) -> int:
    """Remove idempotency keys older than ``kept_ms``; returns how many."""
    identity = tuple_(idempotency_keys.c.workspace_id, idempotency_keys.c.key)
    old = (
        select(idempotency_keys.c.workspace_id, idempotency_keys.c.key)
        .where(idempotency_keys.c.created_at < now_ms() - bindparam("kept", kept_ms, BigInteger()))
        .limit(bindparam("most", most, Integer()))
    )
    result = await connection.execute(delete(idempotency_keys).where(identity.in_(old)))
    return result.rowcount


async def waiting_events(connection: AsyncConnection) -> bool:
    """Whether raw events wait to be applied."""
    return (await connection.scalar(_WAITING_EVENT)) is not None


async def retry_parked_events(connection: AsyncConnection, most: int) -> int:
    """Offer parked events whose time has come to the tracker again; returns how many."""
    return (await connection.execute(_offering(most))).rowcount


@cache
def _offering(most: int) -> Any:
    due = (
        select(events.c.id)
        .where(events.c.applied_at.is_(None), events.c.retry_at <= now_ms())
        .order_by(events.c.retry_at)
        .limit(most)
    )
    return update(events).where(events.c.id.in_(due)).values(retry_at=null())
