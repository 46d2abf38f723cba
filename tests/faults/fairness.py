"""A workspace with a million messages in bulk delays nobody: not another's one message, nor another's bulk.

Judged by the sinks' ledger alone. A build without turns lets the million go first; one whose people wait behind bulk,
for a claim or for a connection, is caught by what goes in between and by the clock; one that forgets bulk while people
write, by the last part.
"""

import asyncio
import contextlib
import gc
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final, NamedTuple

from models.vocabulary import Channel, Lane
from tests.faults import invariants, rig
from tests.faults.experiment import Found, Place, Size
from tests.faults.rig import Rig
from tests.faults.tenants import Tenant, moved_in
from tests.support.waiting import wait_until
from wireroom.up import worker_service
from worker import queues

_DELAYED_MS: Final = 100.0
_PROBE_EVERY_S: Final = 0.02
_ARRIVE_S: Final = 120.0
_QUIET_S: Final = 240.0
_RESTOCK_S: Final = 0.2
_STOCKED_AT_ONCE: Final = 5_000
_BULK: Final = worker_service(1, queues.BULK, name="bulk")
_CHUNK: Final = 200
"""What one claim takes: so much of bulk may be on its way out as a person's message comes.

Judged at p99, as its time is: a worker of bulk sends some 400 in a tenth of a second, and a machine that has no
processor free for so long keeps one message in hundreds.
"""


class _Sizes(NamedTuple):
    """``million``: of the big workspace, waiting on one channel. ``judged``: by the clock, too, as said below.

    ``hands``: what a worker may have in hand of a channel; None for as many as it is made for.
    """

    million: int
    probes: int
    other: int
    judged: bool
    hands: int | None


# In short the machine is shared with other tests: what goes in between is the same there, but no time is.
_SIZES: Final = {
    Size.SHORT: _Sizes(3_000, 20, 900, judged=False, hands=80),
    Size.MINUTES: _Sizes(50_000, 300, 3_000, judged=True, hands=None),
    Size.FULL: _Sizes(1_000_000, 1_000, 5_000, judged=True, hands=None),
}
_HANDS: Final = {Channel.WEBHOOK: 400, Channel.EMAIL: 800}


async def run(place: Place, size: Size) -> Found:
    """Channel by channel, in one house as `wireroom up` starts it: a worker for people, one for bulk."""
    sizes = _SIZES[size]
    url = place.server.url(place.server.create())
    hands = {f"WIREROOM_MAX_INFLIGHT_{channel}": str(sizes.hands or most) for channel, most in _HANDS.items()}
    async with (
        rig.opened(place.folder, url, seed=place.seed, workers=1, bulk_workers=1, contacts=1, settings=hands) as house,
        moved_in(house, url, "a", "b", "c") as tenants,
    ):
        figures: dict[str, Any] = {}
        faults: list[str] = []
        for channel, most in _HANDS.items():
            trial = _Trial(house, tenants, channel, sizes, sizes.hands or most, place.say)
            figures[channel.value] = await trial.run()
            faults += [f"{channel}: {each}" for each in trial.faults]
    return Found(figures, faults)


@contextlib.contextmanager
def _nothing_collected() -> Iterator[None]:
    """This process's clock is the sinks' too: it must not stand still to look through what a ledger has gathered."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


class _Trial:
    """One channel. ``most``: what its worker may have in hand."""

    def __init__(
        self, house: Rig, tenants: list[Tenant], channel: Channel, sizes: _Sizes, most: int, say: Callable[[str], None]
    ) -> None:
        self.faults: list[str] = []
        self._house = house
        self._big, self._small, self._other = tenants
        self._channel = channel
        self._sizes = sizes
        self._stock = sizes.million
        self._most = most
        self._say = say

    async def run(self) -> dict[str, Any]:
        """A person's message without and with the million, then another's bulk beside it; the figures."""
        self._say(f"{self._channel}: quiet")
        await self._warmed()
        quiet, _ = await self._delays()
        self._say(f"{self._channel}: bulk comes")
        async with self._stocked():
            self._say(f"{self._channel}: measuring")
            crowded, before = await self._delays()
            shares = await self._shares()
            eighth = await self._eighth()
        delayed_ms = (crowded - quiet) * 1000
        if self._sizes.judged and delayed_ms > _DELAYED_MS:
            self.faults.append(f"bulk delays a person's message by {delayed_ms:.0f} ms")
        went_before = invariants.percentile(before, 0.99)
        if went_before > _CHUNK:
            self.faults.append(f"{went_before:.0f} of bulk went out before a person's message")
        await self._big.call_off()
        if not await self._house.quiesce(_QUIET_S):
            self.faults.append("it never came to rest")
        return {
            "quiet_p99_ms": round(quiet * 1000),
            "crowded_p99_ms": round(crowded * 1000),
            "went_before_p99": round(went_before),
            "went_before_most": before[-1],
            "bulk_beside": shares,
            "bulk_among_people": eighth,
        }

    async def _warmed(self) -> None:
        """What a process does with its first message is not taken for what it does with any."""
        token, _ = await self._small.send(self._channel)
        await wait_until(lambda: token in self._house.ledger.arrivals[self._channel], timeout=_ARRIVE_S)

    async def _delays(self) -> tuple[float, list[int]]:
        """From the 200 to the ledger: p99 in seconds, and how many of the big one's bulk came between, ascending."""
        sent = []
        with _nothing_collected():
            for _ in range(self._sizes.probes):
                sent.append(await self._small.send(self._channel))
                await asyncio.sleep(_PROBE_EVERY_S)
        ledger = self._house.ledger.arrivals[self._channel]
        await wait_until(lambda: all(token in ledger for token, _ in sent), timeout=_ARRIVE_S)
        bulk = self._big.arrivals(self._channel)
        delays, between = [], []
        for token, answered_at in sent:
            came_at = ledger[token][0]
            delays.append(max(0.0, came_at - answered_at))
            between.append(bisect_left(bulk, came_at) - bisect_right(bulk, answered_at))
        return invariants.percentile(sorted(delays), 0.99), sorted(between)

    async def _shares(self) -> dict[str, int]:
        """Another's bulk comes: while it is sent, both get as much, but for what a worker has in hand.

        Its first quarter is left out: as it comes, it may have what slots are free, and the big one has half of them.
        """
        theirs = await self._while_it_comes(Lane.BULK)
        came = self._beside(theirs[self._sizes.other // 4 :])
        in_hand = self._most * 3 // 4
        if abs(came["others"] - came["big"]) > in_hand:
            self.faults.append(f"another's bulk got {came}, which differ by more than {in_hand} in hand")
        return came

    async def _eighth(self) -> dict[str, int]:
        """Another's people all write at once: bulk still gets its eighth, but for what a worker has in hand."""
        came = self._beside(await self._while_it_comes(Lane.TRANSACTIONAL))
        if came["big"] < (came["others"] - self._most) / 8:
            self.faults.append(f"bulk got {came['big']} beside {came['others']} of people")
        return came

    async def _while_it_comes(self, lane: Lane) -> list[float]:
        """Another sends messages: when each arrived (seconds, monotonic).

        The last quarter is left out: what its own endpoint had put off comes when that says, and has no turn before.
        """
        count, before = self._sizes.other, len(self._other.arrivals(self._channel))
        await self._other.bulk(self._channel, count, lane)
        await wait_until(lambda: len(self._other.arrivals(self._channel)) == before + count, timeout=_ARRIVE_S)
        return self._other.arrivals(self._channel)[before : before + count * 3 // 4]

    def _beside(self, theirs: list[float]) -> dict[str, int]:
        """How many of each arrived from the first to the last of theirs."""
        bulk = self._big.arrivals(self._channel)
        return {"others": len(theirs), "big": bisect_right(bulk, theirs[-1]) - bisect_left(bulk, theirs[0])}

    @contextlib.asynccontextmanager
    async def _stocked(self) -> AsyncIterator[None]:
        """Bulk waits all the time: what was sent of it is made up for."""
        enough = asyncio.Event()
        # Nothing of it is sent before all of it is there.
        await self._house.stack.supervisor.stop(_BULK.name)
        await self._big.bulk(self._channel, self._stock, at_once=_STOCKED_AT_ONCE)
        self._house.stack.supervisor.start(_BULK)
        await wait_until(lambda: self._big.arrivals(self._channel), timeout=_ARRIVE_S)
        restocking = asyncio.create_task(self._restock(enough))
        try:
            yield
        finally:
            enough.set()
            await restocking

    async def _restock(self, enough: asyncio.Event) -> None:
        given = self._stock
        while not enough.is_set():
            gone = self._stock - (given - len(self._big.arrivals(self._channel)))
            if gone > self._stock // 4:
                await self._big.bulk(self._channel, gone)
                given += gone
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(enough.wait(), _RESTOCK_S)
