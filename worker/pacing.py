"""How many messages may begin now: free slots, buckets of tokens, whose turn it is. Pure; the caller brings time."""

from collections import Counter
from collections.abc import Collection
from typing import Final
from uuid import UUID

from models.vocabulary import Lane

_CHUNK: Final = 200
"""No claim takes more."""

_CRUMBS: Final = 16
"""So many rows are read in any case."""


class Slots:
    """A channel's slots in one process.

    Bulk never holds the last quarter, so that a person's message never waits for a campaign's. A workspace holds at
    most as many as are free ("dynamic thresholds", Choudhury and Hahne, 1998): alone half of them. Of those whose
    peers hang, each leaves half of what it found to the next.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._reserved = most // 4
        self._taken = {Lane.TRANSACTIONAL: 0, Lane.BULK: 0}
        self._expected = {Lane.TRANSACTIONAL: 0, Lane.BULK: 0}
        self._of_workspace: Counter[UUID] = Counter()
        self.given_back = 0
        """How many messages have ended."""

    @property
    def in_flight(self) -> int:
        """Slots taken by either lane."""
        return sum(self._taken.values())

    def taken(self, lane: Lane) -> int:
        """Slots taken by ``lane``."""
        return self._taken[lane]

    def free(self, lane: Lane) -> int:
        """How many more messages of ``lane`` may begin."""
        free = self.most - self.in_flight - sum(self._expected.values())
        if lane is Lane.BULK:
            free = min(free, self.most - self._reserved - self._taken[Lane.BULK] - self._expected[Lane.BULK])
        return max(free, 0)

    def expect(self, lane: Lane, count: int) -> None:
        """Keep so many slots, or fewer again, for what a claim under way may bring."""
        self._expected[lane] += count

    def chunk(self, lane: Lane, *, crumbs: bool) -> int:
        """How many to claim; unless ``crumbs`` will do, none rather than few while more is to come back soon."""
        chunk = min(_CHUNK, self.free(lane))
        few = self.in_flight and chunk < min(_CHUNK, self.most // 4)
        return 0 if few and not crumbs else chunk

    def allowed(self, workspace_id: UUID) -> int:
        """How many more messages of a workspace may begin."""
        free = self.most - self.in_flight
        return max(0, (free - self._of_workspace[workspace_id] + 1) // 2)

    @property
    def share(self) -> int:
        """How many messages any workspace may begin while nothing is in flight."""
        return (self.most + 1) // 2

    def full(self, *, crumbs: bool) -> list[UUID]:
        """Workspaces that may have no more; unless ``crumbs`` will do, those too that may have few."""
        held = self._of_workspace.items()
        return [each for each, count in held if self.allowed(each) < (1 if crumbs else max(1, count // 2))]

    def worth_reading(self, room: int) -> int:
        """How many rows a claim of ``room`` should read: no more than a few where whoever has most may have few."""
        few = [each for each in map(self.allowed, self.full(crumbs=False)) if each]
        return min(room, max(_CRUMBS, 2 * max(few))) if few else room

    def take(self, lane: Lane, workspace_id: UUID) -> None:
        """A message begins."""
        self._taken[lane] += 1
        self._of_workspace[workspace_id] += 1

    def give_back(self, lane: Lane, workspace_id: UUID) -> None:
        """A message ended."""
        self.given_back += 1
        self._taken[lane] -= 1
        if self._of_workspace[workspace_id] > 1:
            self._of_workspace[workspace_id] -= 1
        else:
            del self._of_workspace[workspace_id]


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
