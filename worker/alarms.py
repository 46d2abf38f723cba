"""The keeper's alarms: what nobody would see until it hurts is said in the log, with ids and numbers alone."""

import time
from collections.abc import Mapping
from typing import Final
from uuid import UUID

import structlog

from models.balancing import Balancing
from models.session import Database
from models.store import keeping
from models.store.keeping import Next
from models.vocabulary import Channel, Lane

LATE_MS: Final = 60_000
"""A lane is late when its next message has been due for so long, and in bulk does not move."""

_SAID_AGAIN_S: Final = 60.0
_LOOK_S: Final = 5.0

log = structlog.get_logger(__name__)


class LateLanes:
    """Which lanes to call late: each at most once a minute. Pure.

    A long campaign is not late while it goes on: in bulk only what is next for two looks running.
    """

    def __init__(self) -> None:
        self._said: dict[tuple[Channel, Lane], float] = {}
        self._seen: dict[tuple[Channel, Lane], UUID] = {}

    def look(self, found: Mapping[tuple[Channel, Lane], Next], now: float) -> list[tuple[Channel, Lane]]:
        """``found``: the next of each lane that has any; ``now``: monotonic seconds."""
        late = [
            lane
            for lane, row in found.items()
            if row.waited > LATE_MS
            and (lane[1] is Lane.TRANSACTIONAL or self._seen.get(lane) == row.id)
            and now - self._said.get(lane, float("-inf")) >= _SAID_AGAIN_S
        ]
        self._seen = {lane: row.id for lane, row in found.items()}
        self._said.update(dict.fromkeys(late, now))
        return late


class Alarms:
    """What to look at, each at its own pace."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lanes = LateLanes()
        self._looks_at = float("-inf")
        self._balancing = Balancing(database)

    async def late_lanes(self) -> None:
        """Say which lanes are late."""
        now = time.monotonic()
        if now < self._looks_at:
            return
        self._looks_at = now + _LOOK_S
        async with self._database.look() as connection:
            found = await keeping.next_rows(connection)
        for channel, lane in self._lanes.look(found, now):
            seconds = found[channel, lane].waited // 1000
            log.warning("keeper.lane_is_late", channel=channel.value, lane=lane.value, seconds=seconds)

    async def conservation(self) -> None:
        """Say of which workspaces messages are astray."""
        async for balance in self._balancing.turn():
            if not balance.is_kept:
                log.error(
                    "keeper.conservation_broken",
                    workspace=str(balance.workspace_id),
                    accepted=balance.accepted,
                    found=balance.found,
                    astray=balance.astray,
                )
