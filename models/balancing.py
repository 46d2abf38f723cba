"""Whether the conservation law is kept, looked at in passing: all workspaces in turn, for a share of the time."""

import time
from collections.abc import AsyncIterator
from typing import Final
from uuid import UUID

from models.session import Database
from models.store import conservation
from models.store.conservation import Balance

_CHECK_S: Final = 60.0
_SHARE: Final = 100  # checking takes at most a hundredth of the time, however many messages there are
_AT_ONCE_S: Final = 1.0


class Balancing:
    """Compares what was accepted with what is there, some workspaces a turn, all of them once a minute."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._unchecked: list[UUID] = []
        self._checks_at = float("-inf")
        self._spent_s = 0.0
        self._astray = 0
        self.astray: int | None = None
        """How many messages the last round found too many or too few, of all workspaces; None before its end."""

    async def turn(self) -> AsyncIterator[Balance]:
        """Those that are compared now: none until it is time for the next round. Raises StorageUnavailable."""
        began = time.monotonic()
        if not self._unchecked:
            if began < self._checks_at:
                return
            self._spent_s = 0.0
            self._astray = 0
            async with self._database.read() as connection:
                self._unchecked = await conservation.workspace_ids(connection)
        while self._unchecked and time.monotonic() - began < _AT_ONCE_S:
            async with self._database.read() as connection:
                balance = await conservation.balance(connection, self._unchecked.pop())
            self._astray += balance.astray
            yield balance
        self._spent_s += time.monotonic() - began
        if not self._unchecked:
            self.astray = self._astray
            self._checks_at = time.monotonic() + max(_CHECK_S, _SHARE * self._spent_s)
