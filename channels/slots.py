"""Slots of which there may be more or fewer from one moment to the next."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

_SHARE: Final = 8
"""While those in no hurry wait, every eighth slot is theirs."""


class Waiter(NamedTuple):
    """One who waits for a slot, and what it said of itself."""

    turn: "asyncio.Future[None]"
    who: Any


class Slots:
    """As ``asyncio.Semaphore``, with up to ``limit()`` slots in use: who came first is served first, of its kind.

    Those in no hurry go after the others, but for every eighth slot.
    """

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._used = 0
        self._waiting: deque[Waiter] = deque()
        self._patient: deque[Waiter] = deque()
        self._given = 0

    async def acquire(self, *, patient: bool = False, who: Any = None) -> None:
        """Take a slot, or wait for one; ``patient``: it is in no hurry. ``who``: what ``next_in_line`` is to see."""
        if not self._waiting and not self._patient and self._used < self._limit():
            self._used += 1
            return
        turn = asyncio.get_running_loop().create_future()
        (self._patient if patient else self._waiting).append(Waiter(turn, who))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()  # the slot came at the very moment
            raise

    def release(self) -> None:
        """Give a slot back, to the next who waits; to several where there are more slots than before."""
        self._used -= 1
        self._fill()

    def next_in_line(self, fits: Callable[[Any], bool]) -> Waiter | None:
        """Promise the caller's slot to whoever is next: it calls ``hand_over`` instead of ``release``.

        None where nobody waits, the next one does not fit, or there are fewer slots than are in use.
        """
        while (self._waiting or self._patient) and self._used <= self._limit():
            line = self._next()
            if not line[0].turn.done():
                if not fits(line[0].who):
                    return None
                self._given += 1
                return line.popleft()
            line.popleft()
        return None

    def hand_over(self, waiter: Waiter) -> bool:
        """Let the one who was promised the slot have it; False where it gave up meanwhile, and the slot is free."""
        if waiter.turn.done():
            self.release()
            return False
        waiter.turn.set_result(None)
        return True

    def put_back(self, waiter: Waiter, *, patient: bool) -> None:
        """Promise the slot no more: who was to have it is the first of its kind again."""
        (self._patient if patient else self._waiting).appendleft(waiter)
        self._fill()

    def _fill(self) -> None:
        while (self._waiting or self._patient) and self._used < self._limit():
            waiter = self._next().popleft()
            if not waiter.turn.done():
                self._used += 1
                self._given += 1
                waiter.turn.set_result(None)

    def _next(self) -> deque[Waiter]:
        theirs = self._given % _SHARE == _SHARE - 1
        first, second = (self._patient, self._waiting) if theirs else (self._waiting, self._patient)
        return first or second
