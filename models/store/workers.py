"""Leases: a worker process is alive as long as it renews its row; the keeper alone declares it dead."""

from functools import cache
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, Text, Uuid, and_, case, exists, literal, null, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.session import now_ms
from models.store import attempt_rows, turns
from models.store.ending import one_has_it
from models.store.recordset import Columns, parameters, recordset
from models.store.rows import upsert
from models.tables import message_details, messages, workers
from models.vocabulary import FailureReason, OnUnknown, Outcome, State

LEASE_MS = 15_000
"""How long a lease lasts that is not renewed."""

MOST_CRASHES = 5
"""A message whose sending ended its process this often is poison."""


class Heartbeat(msgspec.Struct, frozen=True):
    """A worker that is not known to be dead. ``stale``: not renewed for a lease's time, or renewed in the future."""

    id: UUID
    renewed_at: int
    stale: bool


async def register(connection: AsyncConnection, worker_id: UUID, host: str, pid: int) -> None:
    """A new worker; its lease begins now. Repeating it changes nothing."""
    row = {"id": worker_id, "host": host, "pid": pid}
    statement = upsert(workers, is_sqlite=connection.dialect.name == "sqlite").on_conflict_do_nothing()
    await connection.execute(statement.values(**row, started_at=now_ms(), renewed_at=now_ms()))


async def renew(connection: AsyncConnection, worker_id: UUID) -> bool:
    """Renew the lease, however late; False where the worker was declared dead."""
    result = await connection.execute(
        update(workers)
        .where(workers.c.id == worker_id, workers.c.dead_at.is_(None))
        .values(renewed_at=now_ms())
        .returning(workers.c.id)
    )
    return result.first() is not None


async def retire(connection: AsyncConnection, worker_id: UUID) -> None:
    """The worker ends of its own will; where it left something in its hands, its lease must lapse first."""
    left = exists().where(messages.c.worker_id == worker_id, messages.c.state == State.SENDING.value)
    await connection.execute(update(workers).where(workers.c.id == worker_id, ~left).values(dead_at=now_ms()))


async def heartbeats(connection: AsyncConnection, lease_ms: int) -> list[Heartbeat]:
    """Every worker that is not known to be dead."""
    rows = await connection.execute(_beating(lease_ms))
    return [Heartbeat(row[0], row[1], bool(row[2])) for row in rows]


@cache
def _beating(lease_ms: int) -> Any:
    age = now_ms() - workers.c.renewed_at
    return select(workers.c.id, workers.c.renewed_at, or_(age > lease_ms, age < 0)).where(workers.c.dead_at.is_(None))


async def touch(connection: AsyncConnection, worker_id: UUID) -> None:
    """Write a worker's row as it is: whether that can be done at all, as a renewal must be."""
    await connection.execute(update(workers).where(workers.c.id == worker_id).values(renewed_at=workers.c.renewed_at))


async def declare_dead(connection: AsyncConnection, worker_id: UUID, renewed_at: int) -> bool:
    """Declare a worker dead, unless it renewed since ``renewed_at`` or somebody else did so."""
    result = await connection.execute(
        update(workers)
        .where(workers.c.id == worker_id, workers.c.renewed_at == renewed_at, workers.c.dead_at.is_(None))
        .values(dead_at=now_ms())
        .returning(workers.c.id)
    )
    return result.first() is not None


_RESCUED: Columns = {"id": Uuid(), "token": BigInteger(), "state": Text()}


async def rescue(connection: AsyncConnection, worker_id: UUID) -> int:
    """Take every message out of a dead worker's hands; returns how many.

    The claim stands for the attempt, which is marked ambiguous: the message goes back to its lane, or is given
    up as poison. What goes back comes before all that waits: it has had its turn. Where its sender wants it held
    when in doubt, the beginning of a send was written down: what was not begun goes back, what was is held.
    """
    rows = (
        await connection.execute(
            select(
                messages.c.id,
                messages.c.token,
                messages.c.run,
                messages.c.crashes,
                messages.c.claimed_at,
                messages.c.begun,
                message_details.c.on_unknown,
            )
            .join(message_details, message_details.c.message_id == messages.c.id)
            .where(messages.c.worker_id == worker_id, messages.c.state == State.SENDING.value)
            .order_by(messages.c.id)
            .with_for_update(of=messages)
        )
    ).all()
    if not rows:
        return 0
    await attempt_rows.write(
        connection,
        [
            {
                "message_id": row.id,
                "token": row.token,
                "run": row.run,
                "started_at": row.claimed_at,
                "outcome": Outcome.AMBIGUOUS.value,
                "code": None,
                "detail": "the worker was lost while it sent this",
                "provider_id": None,
                "parts": None,
            }
            for row in rows
            if row.on_unknown != OnUnknown.HOLD.value or row.begun
        ],
    )
    is_sqlite = connection.dialect.name == "sqlite"
    verdicts = [(row.id, row.token, _after_crash(row).value) for row in rows]
    await connection.execute(_retoken(is_sqlite), parameters("rescued", _RESCUED, verdicts, is_sqlite=is_sqlite))
    return len(rows)


def _after_crash(row: Any) -> State:
    if row.crashes + 1 >= MOST_CRASHES:
        return State.FAILED
    return State.HELD if row.on_unknown == OnUnknown.HOLD.value and row.begun else State.QUEUED


@cache
def _retoken(is_sqlite: bool) -> Any:
    rescued = recordset("rescued", _RESCUED, is_sqlite=is_sqlite)
    poison = rescued.c.state == State.FAILED.value
    taken = and_(poison, one_has_it())
    sent = or_(messages.c.sent_at.is_not(None), taken)
    return (
        update(messages)
        .where(messages.c.id == rescued.c.id, messages.c.token == rescued.c.token)
        .values(
            state=case((sent, literal(State.DONE.value)), else_=rescued.c.state),
            turn=case((and_(~sent, rescued.c.state == State.QUEUED.value), turns.last_claimed()), else_=null()),
            token=messages.c.token + 1,
            crashes=messages.c.crashes + 1,
            worker_id=null(),
            ended_at=case((or_(sent, poison), now_ms()), else_=null()),
            failure_reason=case((sent, null()), (poison, literal(FailureReason.POISON.value)), else_=null()),
            sent_at=case((taken, now_ms()), else_=messages.c.sent_at),
        )
    )


async def abandoned(connection: AsyncConnection) -> list[UUID]:
    """Workers that are dead or unknown and still have messages in their hands."""
    return list(await connection.scalars(_abandoned()))


@cache
def _abandoned() -> Any:
    holders = (
        select(messages.c.worker_id)
        .where(messages.c.state == literal(State.SENDING.value, literal_execute=True))
        .distinct()
        .subquery()
    )
    return (
        select(holders.c.worker_id)
        .outerjoin(workers, workers.c.id == holders.c.worker_id)
        .where(or_(workers.c.id.is_(None), workers.c.dead_at.is_not(None)))
    )


async def forget(connection: AsyncConnection, older_than_ms: int) -> None:
    """Remove the rows of workers that have been dead for that long."""
    await connection.execute(workers.delete().where(workers.c.dead_at < now_ms() - older_than_ms))
