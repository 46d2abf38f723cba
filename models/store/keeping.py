"""What the keeper does to many rows at once, in bounded batches, by the database's clock alone."""

from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Integer, Uuid, bindparam, delete, literal, null, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.session import now_ms
from models.store import turns
from models.store.recordset import Columns, parameters, recordset
from models.tables import campaigns, events, idempotency_keys, messages
from models.vocabulary import CampaignState, Channel, FailureReason, Lane, State

_READIED: Columns = {"id": Uuid(), "turn": BigInteger()}


async def ready_due(connection: AsyncConnection, most: int) -> set[tuple[Channel, Lane]]:
    """Give turns to parked rows that are due; returns the lanes that got work."""
    rows = (
        await connection.execute(
            select(messages.c.id, messages.c.channel, messages.c.lane, messages.c.workspace_id)
            .where(
                messages.c.state == literal(State.QUEUED.value, literal_execute=True),
                messages.c.turn.is_(None),
                ~messages.c.paused,
                messages.c.due_at <= now_ms(),
            )
            .order_by(messages.c.due_at)
            .limit(most)
            .with_for_update(skip_locked=True)
        )
    ).all()
    if not rows:
        return set()
    groups = [(Channel(row.channel), Lane(row.lane), row.workspace_id) for row in rows]
    next_turn = await turns.allot(connection, groups)
    readied = []
    for row, group in zip(rows, groups, strict=True):
        readied.append((row.id, next_turn[group]))
        next_turn[group] += 1
    is_sqlite = connection.dialect.name == "sqlite"
    await connection.execute(_readying(is_sqlite), parameters("readied", _READIED, readied, is_sqlite=is_sqlite))
    return {(channel, lane) for channel, lane, _ in groups}


@cache
def _readying(is_sqlite: bool) -> Any:
    readied = recordset("readied", _READIED, is_sqlite=is_sqlite)
    return update(messages).where(messages.c.id == readied.c.id).values(turn=readied.c.turn)


async def lanes_with_work(connection: AsyncConnection) -> set[tuple[Channel, Lane]]:
    """Every lane that has a ready row: one index probe each."""
    probes = [
        select(literal(channel.value).label("channel"), literal(lane.value).label("lane")).where(
            select(messages.c.id)
            .where(messages.c.channel == channel.value, messages.c.lane == lane.value, messages.c.turn.is_not(None))
            .exists()
        )
        for channel in Channel
        for lane in Lane
    ]
    rows = await connection.execute(probes[0].union_all(*probes[1:]))
    return {(Channel(row.channel), Lane(row.lane)) for row in rows}


def _batch(condition: Any, most: int) -> Any:
    return select(messages.c.id).where(*condition).limit(most).with_for_update(skip_locked=True)


async def expire(connection: AsyncConnection, most: int) -> int:
    """Fail queued messages whose ``expiresAt`` has passed; returns how many."""
    late = _batch(
        [
            messages.c.state == literal(State.QUEUED.value, literal_execute=True),
            messages.c.expires_at <= now_ms(),
        ],
        most,
    )
    result = await connection.execute(
        update(messages)
        .where(messages.c.id.in_(late), messages.c.state == State.QUEUED.value)
        .values(
            state=State.FAILED.value,
            failure_reason=FailureReason.EXPIRED.value,
            turn=null(),
            token=messages.c.token + 1,
            ended_at=now_ms(),
        )
    )
    return result.rowcount


async def resume(connection: AsyncConnection, most: int) -> int:
    """Unpark messages whose campaign runs again (or was cancelled: the claim ends them); returns how many."""
    waiting = (
        select(messages.c.id)
        .join(campaigns, campaigns.c.id == messages.c.campaign_id)
        .where(messages.c.paused, campaigns.c.state != CampaignState.PAUSED.value)
        .limit(most)
    )
    result = await connection.execute(update(messages).where(messages.c.id.in_(waiting)).values(paused=False))
    return result.rowcount


async def park_paused(connection: AsyncConnection, most: int) -> int:
    """Take the ready messages of paused campaigns off their lanes; returns how many."""
    ready = (
        select(messages.c.id)
        .join(campaigns, campaigns.c.id == messages.c.campaign_id)
        .where(campaigns.c.state == CampaignState.PAUSED.value, messages.c.turn.is_not(None))
        .limit(most)
    )
    result = await connection.execute(
        update(messages)
        .where(messages.c.id.in_(ready), messages.c.state == State.QUEUED.value)
        .values(paused=True, turn=null())
    )
    return result.rowcount


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
    found = await connection.scalar(
        select(events.c.id).where(events.c.applied_at.is_(None), events.c.parked_at.is_(None)).limit(1)
    )
    return found is not None


async def retry_parked_events(connection: AsyncConnection, kept_ms: int, most: int) -> None:
    """Offer parked events to the tracker again whose message is known by now; give up those older than ``kept_ms``."""
    known = select(messages.c.id).where(
        messages.c.id == events.c.message_ref, messages.c.workspace_id == events.c.workspace_id
    )
    parked = (
        select(events.c.id)
        .where(events.c.applied_at.is_(None), events.c.parked_at.is_not(None), known.exists())
        .limit(most)
    )
    await connection.execute(update(events).where(events.c.id.in_(parked)).values(parked_at=null()))
    await connection.execute(
        update(events)
        .where(
            events.c.applied_at.is_(None),
            events.c.parked_at < now_ms() - bindparam("kept", kept_ms, BigInteger()),
        )
        .values(applied_at=now_ms())
    )
