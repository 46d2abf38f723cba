"""How many requests a second an API key may make: counted in this process, without asking anybody.

A limit over all processes would cost every request a question to Redis, and could not be kept while that is away.
"""

import time
from collections.abc import Callable
from math import ceil
from typing import Final
from uuid import UUID

from api_shim.paced import Pace, Paced

_AT_ONCE_S: Final = 10.0
_MOST_KNOWN: Final = 10_000


class KeyLimits:
    """``per_second``: None for no limit. After a rest ten seconds' requests may come at once."""

    def __init__(self, per_second: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._pace = None if per_second is None else Pace(ceil(per_second * _AT_ONCE_S), 1 / per_second)
        self._paced = Paced(clock, _MOST_KNOWN)

    def count(self, key_id: UUID | None) -> None:
        """One more request of the key; raises Problem (429)."""
        if self._pace is not None:
            self._paced.count(key_id, self._pace)
