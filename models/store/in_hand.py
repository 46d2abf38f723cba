"""What a worker has in its hands, between the claim and the outcome."""

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Uuid, case, literal, null, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.session import now_ms
from models.store.claims import Claim
from models.store.recordset import Columns, parameters, recordset
from models.tables import messages
from models.vocabulary import State

_BEGINNING: Columns = {"id": Uuid(), "token": BigInteger()}


async def give_back_strays(
    connection: AsyncConnection, worker_id: UUID, in_hand: Collection[UUID], older_than_ms: int
) -> int:
    """Give back what is long claimed for a worker and not in its hands: it was never begun. Returns how many.

    Such are the messages of a claim whose answer got lost although it was committed.
    """
    claimed = await connection.scalars(
        select(messages.c.id).where(
            messages.c.worker_id == worker_id,
            messages.c.state == literal(State.SENDING.value, literal_execute=True),
            messages.c.claimed_at < now_ms() - older_than_ms,
        )
    )
    strays = [each for each in claimed if each not in in_hand]
    sent = messages.c.sent_at.is_not(None)
    if strays:
        await connection.execute(
            update(messages)
            .where(
                messages.c.id.in_(strays),
                messages.c.worker_id == worker_id,
                messages.c.state == State.SENDING.value,
            )
            .values(
                # What an event has proved to be accepted meanwhile is not sent again.
                state=case((sent, literal(State.DONE.value)), else_=literal(State.QUEUED.value)),
                ended_at=case((sent, now_ms()), else_=null()),
                token=messages.c.token + 1,
                worker_id=null(),
            )
        )
    return len(strays)


async def mark_begun(connection: AsyncConnection, claimed: Sequence[Claim]) -> set[UUID]:
    """Write down that these sends begin; returns those that are still this worker's to send."""
    is_sqlite = connection.dialect.name == "sqlite"
    rows = [(claim.id, claim.token) for claim in sorted(claimed, key=lambda claim: claim.id)]
    result = await connection.execute(
        _beginning(is_sqlite), parameters("beginning", _BEGINNING, rows, is_sqlite=is_sqlite)
    )
    return set(result.scalars())


@cache
def _beginning(is_sqlite: bool) -> Any:
    beginning = recordset("beginning", _BEGINNING, is_sqlite=is_sqlite)
    return (
        update(messages)
        .where(
            messages.c.id == beginning.c.id,
            messages.c.token == beginning.c.token,
            messages.c.state == State.SENDING.value,
        )
        .values(begun=true())
        .returning(messages.c.id)
    )
