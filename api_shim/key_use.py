"""When a key was last used: noted now and then, beside the requests and never before one is answered."""

import asyncio
import time
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from models.errors import StorageUnavailable
from models.session import Database
from models.store import keys

EVERY_MS: Final = 5 * 60 * 1000
"""How coarse the note is."""

log = structlog.get_logger(__name__)


class KeyUse:
    """Writes ``last_used_at`` of keys that are in use, each at most every five minutes, by one task at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: set[UUID] = set()
        self._task: asyncio.Task[None] | None = None

    def note(self, key_id: UUID, last_used_at: int | None) -> None:
        """A key is in use; ``last_used_at`` is what stands in its row (milliseconds)."""
        if last_used_at is not None and last_used_at > time.time() * 1000 - EVERY_MS:
            return
        self._waiting.add(key_id)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write())

    async def drain(self) -> None:
        """Return once nothing is left to write."""
        if self._task is not None:
            await self._task

    async def _write(self) -> None:
        while self._waiting:
            in_use, self._waiting = self._waiting, set()
            try:
                async with self._database.write() as connection:
                    await keys.note_use(connection, sorted(in_use), EVERY_MS)
            except (StorageUnavailable, SQLAlchemyError) as error:
                # No request fails for it, and the next one tells it again.
                log.warning("keys.use_not_noted", error=type(error).__name__)
