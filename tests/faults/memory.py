"""E15: what a house needs in memory does not grow with what it has sent.

Most of it by ONSITE, the fastest channel, and a part by mail and by webhook: what holds connections, prepares texts and
signs is at work, too. A build that keeps as little as the id of every message it has sent (a UUID in a set: 90 bytes)
grows by 80 MB over the million of the full size.
"""

import asyncio
import itertools
import time
from typing import Final

from sqlalchemy import func, select

from models.tables import inbox_items, messages
from models.vocabulary import Channel, Lane
from tests.faults import families, rig
from tests.faults.experiment import KEEPERS, Found, Place, Size
from tests.faults.rig import Rig
from tests.faults.tenants import Tenant, moved_in

_SIZES: Final = {Size.SHORT: 1_000, Size.MINUTES: 100_000, Size.FULL: 1_000_000}
_BATCH: Final = 5_000
_IN_TURN: Final = (*[Channel.ONSITE] * 8, Channel.EMAIL, Channel.WEBHOOK)
_WAITING_AT_MOST: Final = 20_000
_SAMPLES_AT: Final = (0.1, 0.5, 1.0)
_TAKES_S: Final = {Size.SHORT: 180.0, Size.MINUTES: 300.0, Size.FULL: 1_500.0}
_MEGABYTE: Final = 1 << 20
_MOST_MB: Final = 24
"""What the allocator may add between the first sample and the last: it never gives all back, and grows in arenas."""

_POLL_S: Final = 0.1


async def run(place: Place, size: Size) -> Found:
    """Batch after batch, each once the one before is nearly done; the memory at a tenth, half and the whole."""
    count = _SIZES[size]
    url = place.server.url(place.server.create())
    began = time.monotonic()
    give_up_at = began + _TAKES_S[size]
    samples: list[dict[str, float]] = []
    async with (
        rig.opened(place.folder, url, seed=place.seed, workers=1, contacts=1, keepers=KEEPERS[size]) as house,
        moved_in(house, url, "a") as (tenant,),
    ):
        load = _Load(house, tenant)
        for share in _SAMPLES_AT:
            wanted = round(count * share)
            place.say(f"{wanted:,} messages")
            await load.send_until(wanted, give_up_at)
            samples.append(_megabytes(house))
        arrived = await load.arrived()
        faults = [f"{name} died" for name in house.stack.supervisor.pids() if house.stack.supervisor.restarts(name)]
    if arrived != count:
        faults.append(f"{arrived:,} of {count:,} arrived after {time.monotonic() - began:.0f} s")
    grown = {name: round(samples[-1][name] - samples[0][name], 1) for name in samples[0]}
    faults += [f"{name} grew by {more} MB" for name, more in grown.items() if more > _MOST_MB]
    shown = {name: [round(sample[name], 1) for sample in samples] for name in samples[0]}
    rate = round(arrived / (time.monotonic() - began))
    return Found({"messages": arrived, "per_second": rate, "megabytes": shown, "grown_mb": grown}, faults)


class _Load:
    """What is sent, in batches of one channel each."""

    def __init__(self, house: Rig, tenant: Tenant) -> None:
        self._house = house
        self._tenant = tenant
        self._channels = itertools.cycle(_IN_TURN)

    async def send_until(self, wanted: int, give_up_at: float) -> None:
        """Send until ``wanted`` have arrived, all in all; few wait at a time, so that only the number grows."""
        left = wanted - await self.arrived()
        while left and time.monotonic() < give_up_at:
            if await self._waiting() < _WAITING_AT_MOST:
                more = min(_BATCH, left)
                await self._tenant.bulk(next(self._channels), more)
                left -= more
            else:
                await asyncio.sleep(_POLL_S)
        await self._house.quiesce(max(0.0, give_up_at - time.monotonic()))

    async def arrived(self) -> int:
        """How many are in inboxes, and have come to the peers."""
        async with self._house.database.read() as connection:
            shown = await connection.scalar(select(func.count()).select_from(inbox_items)) or 0
        return shown + sum(len(self._tenant.arrivals(channel)) for channel in (Channel.EMAIL, Channel.WEBHOOK))

    async def _waiting(self) -> int:
        ready = messages.c.lane == Lane.BULK.value, messages.c.turn.is_not(None)
        async with self._house.database.read() as connection:
            return await connection.scalar(select(func.count()).where(*ready)) or 0


def _megabytes(house: Rig) -> dict[str, float]:
    """By service, what it and its children hold of memory."""
    names = [name for name in house.stack.supervisor.pids() if name.startswith(("api", "worker", "keeper"))]
    return {name: families.resident(house.family(name)) / _MEGABYTE for name in names}
