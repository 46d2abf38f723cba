"""How one process claims: with empty hands in one statement, since somebody may wait for it; else step by step."""

from collections.abc import Collection
from uuid import UUID

from models.store import claim_at_once, claims
from models.vocabulary import Channel, Lane
from worker.pacing import Slots
from worker.services import Services
from worker.traces import Claimed


async def take(
    services: Services,
    channel: Channel,
    lane: Lane,
    most: int,
    slots: Slots,
    *,
    suspects: bool = False,
    without: Collection[UUID] = (),
) -> Claimed:
    """As ``claims.claim``, committed; raises StorageUnavailable where nobody knows whether it is."""
    if not suspects and not slots.in_flight and claim_at_once.can_serve(channel, services.database.is_sqlite):
        # One statement does not count by workspace: all that it takes may be one's.
        claimed, left = await _at_once(services, channel, lane, min(most, slots.share))
        if claimed or not left:
            return claimed, left
    return await _by_steps(services, channel, lane, most, slots, suspects=suspects, without=without)


async def _at_once(services: Services, channel: Channel, lane: Lane, most: int) -> Claimed:
    async with services.database.write_at_once() as connection:
        taking = claim_at_once.claim(connection, channel, lane, services.lease.worker_id, most)
        return await services.traces.claiming(connection, channel, taking)


async def _by_steps(
    services: Services,
    channel: Channel,
    lane: Lane,
    most: int,
    slots: Slots,
    *,
    suspects: bool,
    without: Collection[UUID],
) -> Claimed:
    async with services.database.write() as connection:
        taking = claims.claim(
            connection,
            channel,
            lane,
            services.lease.worker_id,
            most,
            suspects=suspects,
            without=without,
            allowed=slots.allowed,
        )
        return await services.traces.claiming(connection, channel, taking)
