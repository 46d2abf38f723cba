"""Claiming in one statement, a transaction of its own: what a worker does that has nothing else in hand.

Only on PostgreSQL. It takes what ``claims.claim`` would send, and leaves to that what must end or wait.
"""

from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import and_, any_, exists, false, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.store import claim_rows, pauses, turns
from models.store.claim_parts import IN_PARTS
from models.store.claim_rows import Ready
from models.store.claims import TAKEN, Claim, claim_of
from models.tables import messages
from models.vocabulary import CampaignState, Channel, Lane


def can_serve(channel: Channel, is_sqlite: bool) -> bool:
    """Whether one statement reads all that the channel's sends need."""
    return channel not in IN_PARTS and not is_sqlite


async def claim(
    connection: AsyncConnection, channel: Channel, lane: Lane, worker_id: UUID, most: int
) -> tuple[list[Claim], bool]:
    """As ``claims.claim``, on a connection of ``Database.write_at_once``; what it answers is committed.

    That the lane may hold more may also mean that ``claims.claim`` alone finds it.
    """
    values = claim_rows.asked(channel, lane, most)
    rows = (await connection.execute(_claiming(), {**values, "taker": worker_id})).all()
    if not rows:  # a workspace that sends by its own sender need not wait for the operator's
        return [], channel in await pauses.standing(connection)
    claimed = [claim_of(Ready._make(row[:-1]), lane) for row in rows if row.is_taken]
    return claimed, len(rows) == most or len(claimed) < len(rows)


@cache
def _claiming() -> Any:
    """The next rows of a lane, as of ``claim_rows.of_all``, and of each whether it was taken."""
    seen = claim_rows.of_all(suspects=False).cte("seen")
    against = or_(
        func.coalesce(seen.c.expired, false()),
        seen.c.erased,
        seen.c.dead,
        and_(seen.c.opt_out, ~seen.c.essential),
        func.coalesce(seen.c.campaign_state == CampaignState.CANCELLED.value, false()),
        func.coalesce(seen.c.campaign_state == CampaignState.PAUSED.value, false()),
    )
    # By an array, whose rows are looked up one by one: of a join's the planner believes that there are many.
    ids = func.array(select(seen.c.id).where(~against).scalar_subquery())
    took = update(messages).where(messages.c.id == any_(ids)).values(TAKEN).returning(messages.c.id).cte("took")
    last = select(func.max(seen.c.turn)).where(~against).scalar_subquery()
    noted = turns.advancing(claim_rows.CHANNEL, claim_rows.LANE, last).cte("noted")
    is_taken = exists().where(took.c.id == seen.c.id).label("is_taken")
    return select(*seen.c, is_taken).order_by(seen.c.turn, seen.c.id).add_cte(noted)
