"""The sites whose pages may know what we answer."""

import asyncio
import time
from typing import Final

from yarl import URL

from models.session import Database
from models.store import settings

_REMEMBERED_S: Final = 5.0


class Origins:
    """The sites that any workspace allows, asked for at most every 5 seconds, and our own."""

    def __init__(self, database: Database, public_url: str) -> None:
        self.own = str(URL(public_url).origin())
        self._database = database
        self._asking = asyncio.Lock()
        self._known: frozenset[str] = frozenset()
        self._until = float("-inf")

    async def holds(self, origin: str) -> bool:
        """Whether the page of that origin may know what we answer."""
        if origin == self.own:
            return True
        async with self._asking:
            if self._until < time.monotonic():
                async with self._database.read() as connection:
                    self._known = await settings.every_origin(connection)
                self._until = time.monotonic() + _REMEMBERED_S
        return origin in self._known
