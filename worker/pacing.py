"""How many messages may begin now: free slots per lane, and a rate per second. Pure; the caller brings the time."""

from collections.abc import Collection

from models.vocabulary import Lane


class Slots:
    """A channel's slots in one process.

    Bulk never holds the last quarter, so that a person's message never waits for a campaign's.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._reserved = most // 4
        self._taken = {Lane.TRANSACTIONAL: 0, Lane.BULK: 0}

    @property
    def in_flight(self) -> int:
        """Slots taken by either lane."""
        return sum(self._taken.values())

    def free(self, lane: Lane) -> int:
        """How many more messages of ``lane`` may begin."""
        free = self.most - self.in_flight
        if lane is Lane.BULK:
            free = min(free, self.most - self._reserved - self._taken[Lane.BULK])
        return max(free, 0)

    def take(self, lane: Lane, count: int) -> None:
        """``count`` messages begin."""
        self._taken[lane] += count

    def give_back(self, lane: Lane) -> None:
        """One message ended."""
        self._taken[lane] -= 1


class Rate:
    """A token bucket: ``per_second`` tokens a second, at most one second's worth saved."""

    def __init__(self, per_second: float | None, now: float) -> None:
        self._per_second = per_second
        self._tokens = per_second or 0.0
        self._filled_at = now

    def available(self, now: float) -> int | None:
        """Whole tokens there are at ``now`` (seconds, any monotonic clock); None where there is no limit."""
        if self._per_second is None:
            return None
        self._tokens = min(self._per_second, self._tokens + (now - self._filled_at) * self._per_second)
        self._filled_at = now
        return int(self._tokens)

    def spend(self, count: int) -> None:
        """Take ``count`` tokens."""
        self._tokens -= count

    def wait_s(self, now: float) -> float:
        """How long from ``now`` until there is a whole token; 0 where there is one, or no limit."""
        if self._per_second is None or self.available(now):
            return 0.0
        return (1 - self._tokens) / self._per_second


class Bucket:
    """A token bucket of ``burst`` tokens, full at ``now``, refilled with ``per_second``."""

    def __init__(self, per_second: float, burst: float, now: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._tokens = burst
        self._filled_at = now

    def wait_s(self, now: float) -> float:
        """How long until there is a whole token."""
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._per_second)
        self._filled_at = now
        return max(0.0, (1 - self._tokens) / self._per_second)

    def is_full(self, now: float) -> bool:
        """Whether it is as a new one would be."""
        self.wait_s(now)
        return self._tokens >= self._burst

    def take(self) -> None:
        """Take a token."""
        self._tokens -= 1


BULK_SHARE = 8
"""While bulk waits, every eighth claim is its."""


def claim_order(waiting: Collection[Lane], claims_so_far: int) -> list[Lane]:
    """The lanes to claim from, of those that may have work: people first, but every eighth claim is bulk's."""
    order = [Lane.TRANSACTIONAL, Lane.BULK]
    if claims_so_far % BULK_SHARE == BULK_SHARE - 1:
        order.reverse()
    return [lane for lane in order if lane in waiting]
