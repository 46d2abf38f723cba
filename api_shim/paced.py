"""How often somebody may come: bounded in this process, and in the memory that takes."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from math import ceil
from typing import NamedTuple

from api_shim import problems
from api_shim.problems import Problem


class Pace(NamedTuple):
    """So many at once, and then one every ``seconds``."""

    at_once: int
    seconds: float


class Paced:
    """Remembers whoever came lately; of too many, whoever has been away for the longest is forgotten."""

    def __init__(self, clock: Callable[[], float], most_known: int) -> None:
        """``clock`` counts seconds."""
        self._clock = clock
        self._most_known = most_known
        # Until when what has come would have lasted at the pace alone (GCRA: ITU-T I.371, annex A).
        self._lasts: OrderedDict[Hashable, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._lasts)

    def count(self, subject: Hashable, pace: Pace) -> None:
        """One more; raises Problem (429), and what is refused does not count."""
        now = self._clock()
        lasts = max(self._lasts.pop(subject, now), now) + pace.seconds
        over = lasts - now - pace.at_once * pace.seconds
        self._lasts[subject] = lasts - pace.seconds if over > 0 else lasts
        if len(self._lasts) > self._most_known:
            self._lasts.popitem(last=False)
        if over > 0:
            raise Problem(problems.TOO_MANY_REQUESTS, headers={"Retry-After": str(ceil(over))})
