"""Who asks for the links of a message, and the time that has to go by before it is known who they were."""

from typing import Final

from sqlalchemy import func, select, update

from models.hits import SETTLES_MS
from models.session import Database
from models.store import keeping
from models.tables import attempts, events
from worker.tracker import Tracker

BROWSER: Final = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-GB,en;q=0.5",
}
MAIL_PROGRAM: Final = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.0",
    "Accept": "image/avif,image/webp,*/*",
}
GOOGLES_PROXY: Final = {
    "User-Agent": "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
}


async def sent_ago(database: Database, seconds: float) -> None:
    """Let everything have been sent so long before it was."""
    async with database.write() as connection:
        ago = int(seconds * 1000)
        await connection.execute(
            update(attempts).values(started_at=attempts.c.started_at - ago, ended_at=attempts.c.ended_at - ago)
        )


async def came_at_once(database: Database) -> None:
    """Let all that was asked for have been asked for at one moment, however long this machine took over it."""
    async with database.write() as connection:
        first = await connection.scalar(select(func.min(events.c.received_at)))
        await connection.execute(update(events).values(at=first, received_at=first))


async def sent_at_that_moment(database: Database) -> None:
    """Let everything have been sent just before the first who asked for it."""
    async with database.write() as connection:
        first = await connection.scalar(select(func.min(events.c.received_at)))
        await connection.execute(update(attempts).values(started_at=first - 1, ended_at=first - 1))


async def settle(database: Database) -> None:
    """Let the time go by that hits take to settle; then the keeper and the tracker do their work."""
    async with database.write() as connection:
        waiting = events.c.retry_at.is_not(None)
        await connection.execute(update(events).where(waiting).values(retry_at=events.c.retry_at - SETTLES_MS))
        await keeping.retry_parked_events(connection, 1000)
    await Tracker(database).pull()
