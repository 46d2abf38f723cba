"""ONSITE messages on their way into inboxes, by the worker's own parts, without a worker."""

from collections.abc import Sequence
from uuid import UUID

from channels.onsite import OnsiteChannel
from models.content import decode
from models.session import Database
from models.store import claims, contents, outcomes
from models.store.claims import Claim
from models.store.outcomes import Ended
from models.vocabulary import Channel, Lane
from tests.support.envelopes import envelope
from worker import verdicts

WORKER = UUID(int=1)


async def claim(database: Database, most: int = 200) -> list[Claim]:
    """Claim what is ready, of both lanes."""
    found: list[Claim] = []
    for lane in Lane:
        async with database.write() as connection:
            found += (await claims.claim(connection, Channel.ONSITE, lane, WORKER, most))[0]
    return found


async def send(database: Database, claimed: Sequence[Claim]) -> list[Ended]:
    """Send the claimed messages; how each ended is not recorded yet."""
    channel = OnsiteChannel()
    async with database.read() as connection:
        loaded = await contents.load(connection, list({each.content_id for each in claimed}))
    prepared = {content_id: channel.prepare(decode(source)) for content_id, source in loaded.items()}
    return [
        verdicts.accepted(
            each,
            await channel.send(
                envelope(each.address or "", uuid=each.id, run=each.run, variables=each.variables),
                prepared[each.content_id],
            ),
        )
        for each in claimed
    ]


async def record(database: Database, *ended: Ended) -> None:
    """Record a chunk."""
    async with database.write() as connection:
        await outcomes.record(connection, ended)


async def deliver(database: Database, most: int = 200) -> list[Ended]:
    """Claim, send and record everything that is ready, in chunks."""
    done: list[Ended] = []
    while claimed := await claim(database, most):
        ended = await send(database, claimed)
        await record(database, *ended)
        done += ended
    return done
