"""Slots of which there may be more or fewer from one moment to the next."""

import asyncio
from collections import deque
from collections.abc import Callable


class Slots:
    """As ``asyncio.Semaphore``, with up to ``limit()`` slots in use: who came first is served first."""

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._used = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def acquire(self) -> None:
        """Take a slot, or wait for one."""
        if not self._waiting and self._used < self._limit():
            self._used += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()  # the slot came at the very moment
            raise

    def release(self) -> None:
        """Give a slot back, to the next who waits; to several where there are more slots than before."""
        self._used -= 1
        while self._waiting and self._used < self._limit():
            turn = self._waiting.popleft()
            if not turn.done():
                self._used += 1
                turn.set_result(None)
