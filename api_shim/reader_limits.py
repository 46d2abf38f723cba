"""How often readers' links may be used to change something: bounded in this process, and in the memory that takes.

What is proved counts for its message. Mail programs' servers click once a message for millions of readers, from few
addresses, and are never to be refused for that (RFC 8058): so a client's address counts only where nothing was proved,
and, much later, where preferences are changed.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from math import ceil
from typing import Final, NamedTuple
from uuid import UUID

from api_shim import problems
from api_shim.problems import Problem

_MOST_KNOWN: Final = 20_000


class Pace(NamedTuple):
    """So many at once, and then one every ``seconds``."""

    at_once: int
    seconds: float


OF_A_MESSAGE: Final = Pace(20, 6.0)
UNPROVED: Final = Pace(100, 1.0)
OF_A_CLIENT: Final = Pace(600, 0.1)


class ReaderLimits:
    """Remembers whoever came lately; of too many, whoever has been away for the longest is forgotten."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, most_known: int = _MOST_KNOWN) -> None:
        """``clock`` counts seconds."""
        self._clock = clock
        self._most_known = most_known
        # Until when what has come would have lasted at the pace alone (GCRA: ITU-T I.371, annex A).
        self._lasts: OrderedDict[Hashable, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._lasts)

    def proved(self, message_id: UUID) -> None:
        """One more by a link of this message; raises Problem (429)."""
        self._count(message_id, OF_A_MESSAGE)

    def unproved(self, client: str) -> None:
        """One more from there with a token that is none of ours; raises Problem (429)."""
        self._count(("unproved", client), UNPROVED)

    def changed(self, client: str) -> None:
        """One more change of preferences from there; raises Problem (429)."""
        self._count(("changed", client), OF_A_CLIENT)

    def _count(self, subject: Hashable, pace: Pace) -> None:
        now = self._clock()
        lasts = max(self._lasts.pop(subject, now), now) + pace.seconds
        over = lasts - now - pace.at_once * pace.seconds
        self._lasts[subject] = lasts - pace.seconds if over > 0 else lasts  # what is refused does not count
        if len(self._lasts) > self._most_known:
            self._lasts.popitem(last=False)
        if over > 0:
            raise Problem(problems.TOO_MANY_REQUESTS, headers={"Retry-After": str(ceil(over))})
