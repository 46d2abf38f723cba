"""The keeper's folding of message counts, so that there are few changes to add up when a list is asked for."""

import time
from typing import Final

from models.session import Database
from models.store import counts

_BATCH: Final = 1000
_ROUNDS: Final = 20
_IDLE_S: Final = 5.0
"""Where nothing has changed: what changes meanwhile is added up by whoever asks."""


class Folder:
    """Folds what there is each time, and looks less often while there is nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._looks_at = float("-inf")

    async def count(self) -> None:
        """Fold the changes."""
        if time.monotonic() < self._looks_at:
            return
        for turn in range(_ROUNDS):
            async with self._database.write() as connection:
                moved = await counts.fold(connection, _BATCH)
            if not moved:
                if not turn:
                    self._looks_at = time.monotonic() + _IDLE_S
                return
