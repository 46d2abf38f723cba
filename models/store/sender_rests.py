"""Senders that cannot work rest, for all workers, longer each time until they work again.

What is learnt of a sender counts for the credentials that it was learnt with: its ``version``.
"""

from typing import Any, Final
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, bindparam, case, literal, null, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.session import now_ms
from models.tables import messages, senders
from models.vocabulary import Channel, Lane, State

RESTS_MS: Final = (30_000, 60_000, 120_000, 300_000, 900_000)
"""How long a sender rests that cannot work: the first time, the second, and so on; then always the last."""

_MOST_WOKEN: Final = 10_000


async def rest(
    connection: AsyncConnection, sender_id: UUID, version: int, detail: str, *, ms: int | None = None
) -> None:
    """Let a sender rest for ``ms``, or where nobody says how long, longer than the last time.

    One that rests already is left alone: many messages may learn the same at once.
    """
    steps = len(RESTS_MS) - 1
    longer = case(
        *[(senders.c.failures == number, RESTS_MS[number]) for number in range(steps)],
        else_=RESTS_MS[steps],
    )
    values: dict[str, Any] = {"resting_until": now_ms() + longer, "failures": senders.c.failures + 1}
    if ms is not None:
        values = {"resting_until": now_ms() + bindparam("rest_ms", ms, BigInteger())}
    await connection.execute(update(senders).where(*_awake(sender_id, version)).values(**values, last_error=detail))


async def recover(connection: AsyncConnection, sender_id: UUID, version: int) -> None:
    """A sender that rested works again. One that rests meanwhile goes on resting: others know better."""
    await connection.execute(
        update(senders).where(*_awake(sender_id, version)).values(failures=0, resting_until=null(), last_error=null())
    )


def _awake(sender_id: UUID, version: int) -> list[ColumnElement[bool]]:
    return [
        senders.c.id == sender_id,
        senders.c.version == version,
        or_(senders.c.resting_until.is_(None), senders.c.resting_until <= now_ms()),
    ]


async def wake(connection: AsyncConnection, workspace_id: UUID, channel: Channel) -> None:
    """Let messages that wait for a sender of this channel try at once: one was mended, added or let loose."""
    waiting = (
        select(messages.c.id)
        .where(
            messages.c.channel == channel.value,
            messages.c.lane.in_([lane.value for lane in Lane]),
            messages.c.workspace_id == workspace_id,
            messages.c.state == literal(State.QUEUED.value, literal_execute=True),  # as the index of parked rows says
            messages.c.turn.is_(None),
            ~messages.c.paused,
            messages.c.due_at > now_ms(),
            messages.c.due_at <= now_ms() + bindparam("longest", RESTS_MS[-1], BigInteger()),
            # Given back before anything was tried: neither scheduled for later, nor waiting for its own next try.
            messages.c.sending_at.is_not(None),
            messages.c.tries == 0,
        )
        .order_by(messages.c.id)
        .limit(bindparam("most", _MOST_WOKEN))
        .with_for_update(skip_locked=True)
    )
    await connection.execute(update(messages).where(messages.c.id.in_(waiting)).values(due_at=now_ms()))
