"""The tracker: raw events become facts, in chunks; what matches no message yet is parked."""

import time
from typing import Final
from uuid import UUID

import structlog

from models.errors import StorageUnavailable
from models.session import Database
from models.store import applying, events, hits, look_ups
from worker.traces import NoTraces, Traces

log = structlog.get_logger(__name__)

_CHUNK: Final = 500


class Tracker:
    """Applies stored events to their messages."""

    def __init__(self, database: Database, traces: Traces | None = None) -> None:
        self._database = database
        self._traces = traces or NoTraces()

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
            taken: list[UUID] = []
            await self._apply(_CHUNK, taken)
            return len(taken)
        except StorageUnavailable:
            raise
        except Exception:
            # One event that cannot be applied must not stop the others: each goes alone from here.
            log.exception("tracker.chunk_broke")
        alone = 0
        while alone < _CHUNK and await self._apply_one():
            alone += 1
        return alone

    async def _apply(self, most: int, taken: list[UUID]) -> None:
        """Apply up to ``most`` events; their ids are in ``taken`` however it ends."""
        began_ns = time.time_ns()
        async with self._database.write() as connection:
            await look_ups.begin(connection)
            raw = await events.take(connection, most)
            taken.extend(event.id for event in raw)
            if raw:
                judged = await hits.judge(connection, raw)
                await applying.apply(connection, judged, await events.match(connection, judged))
        await self._traces.applied(self._database, taken, began_ns)

    async def _apply_one(self) -> bool:
        taken: list[UUID] = []
        try:
            await self._apply(1, taken)
            return bool(taken)
        except StorageUnavailable:
            raise
        except Exception:
            # Whatever is wrong with it: it is parked below, so that those behind it have their turn.
            log.exception("tracker.event_broke")
        if taken:
            async with self._database.write() as connection:
                await events.park(connection, taken)
        return bool(taken)
