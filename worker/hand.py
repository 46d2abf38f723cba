"""What this process has in its hands, over all its channels, and the door through which it takes more."""

import asyncio
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

_COOL_DOWN_S: Final = 60.0


class Hand:
    """Message ids in hand. ``open`` is False while a suspect has, or waits to have, the process to itself."""

    def __init__(self) -> None:
        self.ids: set[UUID] = set()
        self.open = True
        self._reaching = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._closable_at = float("-inf")

    @contextmanager
    def reaching(self) -> Iterator[None]:
        """While a claim is under way, the hand is not empty."""
        self._reaching += 1
        self._note()
        try:
            yield
        finally:
            self._reaching -= 1
            self._note()

    def take(self, ids: Iterable[UUID]) -> None:
        """These were claimed."""
        self.ids.update(ids)
        self._note()

    def drop(self, message_id: UUID) -> None:
        """What became of this one is recorded."""
        self.ids.discard(message_id)
        self._note()

    async def close_when_empty(self, patience_s: float) -> bool:
        """Close the door and wait until nothing is in hand; False, with the door open again, where it takes longer.

        A process that is never done with what it has must not stand still again and again: it cools down first.
        """
        if not self.open or time.monotonic() < self._closable_at:
            return False
        self.open = False
        if await self.emptied(patience_s):
            return True
        self.open = True
        self._closable_at = time.monotonic() + _COOL_DOWN_S
        return False

    async def emptied(self, patience_s: float) -> bool:
        """Wait until nothing is in hand; False where it takes longer."""
        try:
            await asyncio.wait_for(self._empty.wait(), patience_s)
        except TimeoutError:
            return False
        return True

    def _note(self) -> None:
        if self.ids or self._reaching:
            self._empty.clear()
        else:
            self._empty.set()
