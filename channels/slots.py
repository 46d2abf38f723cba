"""Slots of which there may be more or fewer from one moment to the next."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

_SHARE: Final = 8
"""While those in no hurry wait, every eighth slot is theirs."""


class Slots:
    """As ``asyncio.Semaphore``, with up to ``limit()`` slots in use: who came first is served first, of its kind.

    Those in no hurry go after the others, but for every eighth slot.
    """

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._used = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._patient: deque[asyncio.Future[None]] = deque()
        self._given = 0

    async def acquire(self, *, patient: bool = False) -> None:
        """Take a slot, or wait for one; ``patient``: it is in no hurry."""
        if not self._waiting and not self._patient and self._used < self._limit():
            self._used += 1
            return
        turn = asyncio.get_running_loop().create_future()
        (self._patient if patient else self._waiting).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()  # the slot came at the very moment
            raise

    def release(self) -> None:
        """Give a slot back, to the next who waits; to several where there are more slots than before."""
        self._used -= 1
        while (self._waiting or self._patient) and self._used < self._limit():
            turn = self._next().popleft()
            if not turn.done():
                self._used += 1
                self._given += 1
                turn.set_result(None)

    def _next(self) -> deque[asyncio.Future[None]]:
        theirs = self._given % _SHARE == _SHARE - 1
        first, second = (self._patient, self._waiting) if theirs else (self._waiting, self._patient)
        return first or second
