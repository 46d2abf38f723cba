"""What there is to do, as the database says it: what wake-ups repeat, and what is looked for where none can come."""

from models.session import Database
from models.store import due_subscriptions, keeping
from models.vocabulary import Channel
from worker import queues
from worker.wakeups import SUSPECTS


async def waiting(database: Database) -> list[tuple[str, str]]:
    """Each actor and lane that has work. Raises StorageUnavailable."""
    async with database.look() as connection:
        lanes = await keeping.lanes_with_work(connection)
        suspects = await keeping.channels_with_suspects(connection)
        events_wait = await keeping.waiting_events(connection)
        subscriptions_wait = await due_subscriptions.any_waits(connection)
    found = [(channel.value.lower(), lane.value) for channel, lane in sorted(lanes)]
    found += [(channel.value.lower(), SUSPECTS) for channel in sorted(suspects)]
    if events_wait:
        found.append((queues.TRACKER, queues.EVENTS))
    if subscriptions_wait:
        found.append((Channel.WEBHOOK.value.lower(), queues.STATUS_EVENTS))
    return found
