"""A rate that all worker processes keep together, drawn on in chunks: one question for many messages."""

import time
from typing import Final

from channels.contract import Limit
from worker.limits import Grants

_KEPT_S: Final = 1.0
"""What was drawn and not used for so long is lost: saved up, it would come on top of later seconds."""

_BURST_S: Final = 0.25


def rate(name: str, per_second: float) -> Limit:
    """At most ``per_second``, and no second with more than a quarter beyond it."""
    return Limit(name, per_second, max(1.0, per_second * _BURST_S))


class Quota:
    """How many messages may begin by one limit; without a limit, as many as are asked for."""

    def __init__(self, limiter: Grants, limit: Limit | None) -> None:
        self._limiter = limiter
        self._limit = limit
        self._left = 0
        self._drawn_at = float("-inf")

    async def draw(self, most: int) -> tuple[int, float]:
        """How many of ``most`` may begin, to be told by ``spend``; where none may, in how many seconds to ask again."""
        if self._limit is None or not most:
            return most, 0.0
        if time.monotonic() - self._drawn_at > _KEPT_S:
            self._left = 0
        wait_s = 0.0
        if self._left < most:
            granted = await self._limiter.grant(self._limit, most - self._left)
            self._left += granted.number
            self._drawn_at = time.monotonic()
            wait_s = granted.wait_s
        return min(most, self._left), wait_s

    def spend(self, count: int) -> None:
        """``count`` of what was drawn have begun."""
        if self._limit is not None:
            self._left -= count
