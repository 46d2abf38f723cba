"""The tracker: raw events become facts, in chunks; what matches no message yet is parked."""

from typing import Final

import structlog

from models.errors import StorageUnavailable
from models.session import Database
from models.store import events

log = structlog.get_logger(__name__)

ACTOR: Final = "tracker"
LANE: Final = "events"
_CHUNK: Final = 500


class Tracker:
    """Applies stored events to their messages."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def pull(self) -> None:
        """Apply everything that waits; returns when nothing does, or the database is away (the keeper asks again)."""
        try:
            while await self._apply_chunk() == _CHUNK:
                pass
        except StorageUnavailable:
            log.warning("tracker.no_database")

    async def _apply_chunk(self) -> int:
        """Apply a chunk; where an event breaks that, apply each for itself and put the broken one aside."""
        try:
            return await self._apply(_CHUNK)
        except StorageUnavailable:
            raise
        except Exception:
            # One event that cannot be applied must not stop the others: each goes alone from here.
            log.exception("tracker.chunk_broke")
        taken = 0
        while taken < _CHUNK and await self._apply_one():
            taken += 1
        return taken

    async def _apply(self, most: int) -> int:
        async with self._database.write() as connection:
            raw = await events.take(connection, most)
            if raw:
                await events.apply(connection, raw, await events.match(connection, raw))
        return len(raw)

    async def _apply_one(self) -> bool:
        try:
            return bool(await self._apply(1))
        except StorageUnavailable:
            raise
        except Exception:
            # Whatever is wrong with it: it is parked below, so that those behind it have their turn.
            log.exception("tracker.event_broke")
        async with self._database.write() as connection:
            broken = await events.take(connection, 1)
            await events.park(connection, [event.id for event in broken])
        return True
