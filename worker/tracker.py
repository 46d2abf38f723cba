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
        async with self._database.write() as connection:
            raw = await events.take(connection, _CHUNK)
            if raw:
                await events.apply(connection, raw, await events.match(connection, raw))
        return len(raw)
