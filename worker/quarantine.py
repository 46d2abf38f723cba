"""Suspects run alone: a message that was in hand when processes died runs with nothing else in flight here."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

SUSPECT_AFTER: Final = 2
"""Crashes after which a message runs alone."""


class Quarantine:
    """A shared and an exclusive side. Whoever waits for the exclusive side stops newcomers on the shared one."""

    def __init__(self) -> None:
        self._shared = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._open = asyncio.Event()
        self._open.set()
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def among_others(self) -> AsyncIterator[None]:
        """Run beside any number of others."""
        while not self._open.is_set():
            await self._open.wait()
        self._shared += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._shared -= 1
            if not self._shared:
                self._empty.set()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Run with nothing else in flight in this process."""
        async with self._turn:
            self._open.clear()
            try:
                await self._empty.wait()
                yield
            finally:
                self._open.set()
