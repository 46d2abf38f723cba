"""What the metrics show of the database: read for whoever asks, however many ask, a few seconds old at most."""

import asyncio
import time
from typing import Final, NamedTuple

import structlog

from models.balancing import Balancing
from models.errors import StorageUnavailable
from models.session import Database
from models.store import levels
from models.store.levels import Levels
from worker.wakeups import Wakeups

_FRESH_S: Final = 5.0
_SHARE: Final = 20  # reading takes at most a twentieth of the time, however much there is
_PATIENCE_S: Final = 3.0
_AFTER_FAILURE_S: Final = 1.0

log = structlog.get_logger(__name__)


class Seen(NamedTuple):
    """``levels``: None where the database did not answer, or not in time. ``broker_up``: None before it was asked.

    ``astray``: how many messages the last comparison of all found too many or too few; None where that is not known.
    """

    levels: Levels | None
    astray: int | None
    broker_up: bool | None


class HouseLevels:
    """Remembers what was read last. What has gone stale is never shown."""

    def __init__(
        self, database: Database, wakeups: Wakeups, *, fresh_s: float = _FRESH_S, patience_s: float = _PATIENCE_S
    ) -> None:
        """``fresh_s``: for how long an answer is given again. ``patience_s``: how long an answer is waited for."""
        self._database = database
        self._wakeups = wakeups
        self._fresh_s = fresh_s
        self._patience_s = patience_s
        self._balancing = Balancing(database)
        self._broker_up: bool | None = None
        self._levels: Levels | None = None
        self._good_until = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        self._comparing: asyncio.Task[None] | None = None

    async def read(self) -> Seen:
        """What was read a moment ago; else it is read now, and who asks meanwhile waits for the same answer."""
        if time.monotonic() >= self._good_until:
            if self._reading is None:
                self._reading = asyncio.create_task(self._read())
            await asyncio.wait({self._reading}, timeout=self._patience_s)
        levels = self._levels if time.monotonic() < self._good_until else None
        return Seen(levels, None if levels is None else self._balancing.astray, self._broker_up)

    async def drain(self) -> None:
        """Return once nothing is being read."""
        while under_way := [task for task in (self._reading, self._comparing) if task is not None]:
            await asyncio.wait(under_way)

    async def _read(self) -> None:
        began = time.monotonic()
        try:
            _, self._levels = await asyncio.gather(self._look_for_broker(), self._read_levels())
            took = time.monotonic() - began
            fresh_s = _AFTER_FAILURE_S if self._levels is None else max(self._fresh_s, _SHARE * took)
            self._good_until = time.monotonic() + fresh_s
        finally:
            self._reading = None
        if self._levels is not None and self._comparing is None:
            self._comparing = asyncio.create_task(self._compare())

    async def _look_for_broker(self) -> None:
        self._broker_up = await self._wakeups.reachable()

    async def _read_levels(self) -> Levels | None:
        try:
            async with self._database.read() as connection:
                return await levels.read(connection)
        except StorageUnavailable:
            return None
        except Exception:
            # A statement that takes too long, an older schema: what the process itself knows is shown all the same.
            log.exception("metrics.levels_not_read")
            return None

    async def _compare(self) -> None:
        try:
            async for _ in self._balancing.turn():
                pass
        except Exception as error:  # noqa: BLE001 - the keeper says so too, and nobody waits for it here
            log.warning("metrics.not_compared", error=type(error).__name__)
        finally:
            self._comparing = None
