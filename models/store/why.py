"""What may hold a message, read at once; ``models.why`` says what it means."""

from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.session import now_ms
from models.store.claim_rows import SUSPECT_AFTER
from models.store.settling import settled_at
from models.tables import attempts, campaigns, channel_pauses, messages, senders, workers
from models.vocabulary import State
from models.why import FARTHEST_PLACE, Attempt, Situation

_OWN: Final = (
    "channel",
    "state",
    "status",
    "due_at",
    "expires_at",
    "sending_at",
    "ended_at",
    "sent_at",
    "failure_reason",
    "paused",
    "crashes",
    "worker_id",
    "claimed_at",
)


_ATTEMPT: Final = (
    *(attempts.c[name] for name in Attempt.__struct_fields__ if name != "settled_at"),
    settled_at().label("settled_at"),
)


async def situation(connection: AsyncConnection, workspace_id: UUID, message_id: UUID) -> Situation | None:
    """Everything that may hold the message; None where the workspace has no such message."""
    row = (
        await connection.execute(_rows().where(messages.c.workspace_id == workspace_id, messages.c.id == message_id))
    ).first()
    if row is None:
        return None
    ended = (
        await connection.execute(
            select(*_ATTEMPT)
            .where(attempts.c.message_id == message_id, attempts.c.run == row.run)
            .order_by(attempts.c.token)
        )
    ).all()
    return msgspec.convert(
        {
            **{str(name): value for name, value in row._mapping.items()},
            "suspect": row.crashes >= SUSPECT_AFTER,
            "place": None if row.turn is None else await _place(connection, message_id, row),
            "attempts": len(ended),
            "last_attempt": ended[-1]._mapping if ended else None,
        },
        Situation,
    )


def _rows() -> Select[Any]:
    of_its_own = and_(
        senders.c.workspace_id == messages.c.workspace_id,
        senders.c.channel == messages.c.channel,
        ~senders.c.paused,
    )
    # One that does not rest has come back at the beginning of time; none at all is NULL.
    awake = func.min(func.coalesce(senders.c.resting_until, 0))
    own = select(awake).where(of_its_own).correlate(messages).scalar_subquery()
    senders_used = select(func.count()).select_from(senders).where(of_its_own).correlate(messages).scalar_subquery()
    lost = or_(workers.c.id.is_(None), workers.c.dead_at.is_not(None))
    return (
        select(
            *(messages.c[name] for name in _OWN),
            messages.c.run,
            messages.c.lane,
            messages.c.turn,
            now_ms().label("now"),
            campaigns.c.state.label("campaign"),
            case((own.is_not(None), own), else_=channel_pauses.c.until).label("rests_until"),
            senders_used.label("own_senders"),
            and_(messages.c.state == State.SENDING.value, lost).label("worker_lost"),
        )
        .outerjoin(
            campaigns,
            and_(campaigns.c.id == messages.c.campaign_id, campaigns.c.workspace_id == messages.c.workspace_id),
        )
        .outerjoin(channel_pauses, channel_pauses.c.channel == messages.c.channel)
        .outerjoin(workers, workers.c.id == messages.c.worker_id)
    )


async def _place(connection: AsyncConnection, message_id: UUID, row: Any) -> int:
    """How many ready messages of its lane, of its own kind, come first; counted up to a limit."""
    suspects: ColumnElement[bool] = messages.c.crashes >= SUSPECT_AFTER
    first = (
        select(messages.c.id)
        .where(
            messages.c.channel == row.channel,
            messages.c.lane == row.lane,
            messages.c.turn.is_not(None),
            messages.c.turn <= row.turn,
            or_(messages.c.turn < row.turn, messages.c.id < message_id),
            suspects if row.crashes >= SUSPECT_AFTER else ~suspects,
        )
        .limit(FARTHEST_PLACE)
        .subquery()
    )
    return int(await connection.scalar(select(func.count()).select_from(first)) or 0)
