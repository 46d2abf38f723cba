"""How many bulk messages of a channel are on their way out at once beside people's: fewer, where many slow us.

A worker that sends as much of a campaign as it can keeps the processors and its own event loop busy, and each of the
dozen steps of a person's message then waits its turn. How long one turn of the loop takes tells, and no peer has a part
in that: where it takes long the gate narrows by a quarter, where it is short it opens by as much, since then bulk waits
for its peers and not for us (multiplicative both ways, as no gate competes with another for a fair share).
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from channels.slots import Slots

_ABOUT_S: Final = 1.0
"""So long after a person's message the gate minds people."""

_LONG_S: Final = 0.0012
_SHORT_S: Final = 0.0006
_WEIGHT: Final = 0.1
_EVERY_S: Final = 0.05
_LEAST: Final = 2
_FIRST: Final = 4
_STEP: Final = 0.75


class BulkGate:
    """``async with`` it around the sending of one bulk message; ``most`` at once while no person writes.

    ``clock`` tells seconds, from any moment on.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._slots = Slots(self.width)
        self._narrow = float(min(_FIRST, most))
        self._people_until = self._steps_at = float("-inf")
        self._turn_s = _LONG_S

    def width(self) -> int:
        """How many may be on their way out now."""
        return int(self._narrow) if self._clock() < self._people_until else self._most

    def people_write(self) -> None:
        """A person's message is here."""
        now = self._clock()
        if now >= self._people_until:  # nobody looked at the loop meanwhile
            self._turn_s = _LONG_S
        self._people_until = now + _ABOUT_S

    def turned(self, took_s: float) -> None:
        """A turn of the event loop took so long."""
        self._turn_s += (took_s - self._turn_s) * _WEIGHT
        now = self._clock()
        if now < self._steps_at:
            return
        self._steps_at = now + _EVERY_S
        if self._turn_s > _LONG_S:
            self._narrow = max(self._narrow * _STEP, min(_LEAST, self._most))
        elif self._turn_s < _SHORT_S:
            self._narrow = min(self._narrow / _STEP, self._most)

    async def __aenter__(self) -> None:
        await self._slots.acquire()
        began_at = self._clock()
        if began_at < self._people_until:
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                self._slots.release()
                raise
            self.turned(self._clock() - began_at)

    async def __aexit__(self, *_: object) -> None:
        self._slots.release()
