"""E1: random processes die all the time, workers most of all. Nothing accepted is lost, nothing doubled in silence.

Repeats are counted against the sends that were begun and not recorded at each kill, message by message: as ``hits``
says, those that a peer had of a dead worker, and the database did not know of.
"""

import asyncio
from typing import Final

from sqlalchemy import select

from models.tables import workers
from models.vocabulary import Channel, Lane
from tests.faults import hits, invariants, rig
from tests.faults.experiment import Found, Place, Size
from tests.faults.hits import Hit
from tests.faults.rig import Rig
from worker.leases import LEASE_S

_VICTIMS: Final = (("worker",), ("worker",), ("worker",), ("api",), ("keeper",), ("broker",))
_PAUSE_S: Final = (0.5, 3.0)
_PAUSES_S: Final = {Channel.TELEGRAM: 0.2}
"""Of each of four clients, two for each lane. A bot writes 25 a second: what came faster would wait for that alone."""
# In short the machine is shared with other tests: a worker that starts again takes its time there.
_AGAIN_S: Final = {Size.SHORT: 60.0, Size.MINUTES: 25.0, Size.FULL: 25.0}
# (messages on each channel, kills at least)
_SIZES: Final = {Size.SHORT: (60, 5), Size.MINUTES: (1_000, 40), Size.FULL: (10_000, 100)}


async def run(place: Place, size: Size) -> Found:
    """Send on every channel, people's messages and bulk, while processes die."""
    messages, kills = _SIZES[size]
    url = place.server.url(place.server.create())
    async with rig.opened(place.folder, url, seed=place.seed) as house:
        hit: list[Hit] = []

        async def kill() -> None:
            # Not for ever: where starting takes longer than the pause to the next kill, nothing would be sent.
            while len(house.kills) < kills or (not sending.done() and len(house.kills) < 3 * kills):
                await asyncio.sleep(house.random.uniform(*_PAUSE_S))
                killed = house.kill_one(house.random.choice(_VICTIMS))
                if killed is not None:
                    hit.extend(await hits.of_kill(house, killed))
                place.say(f"{len(house.kills)} kills, {house.ledger.count()} arrivals")

        sending = asyncio.gather(
            *(
                house.post(channel, messages // len(Lane), clients=2, pause_s=_PAUSES_S.get(channel, 0.0), lane=lane)
                for channel in Channel
                for lane in Lane
            )
        )
        await asyncio.gather(sending, kill())
        if size is Size.SHORT:
            await house.let_victims_lapse()
        # What is not quiet in time is found to be stuck.
        await house.quiesce(rig.quiet_s(house))
        findings = await invariants.check(house)
        after = await hits.aftermath(house, hit)
        faults = [f"{channel}: {each.broken()}" for channel, each in findings.items() if not each.is_clean]
        faults += after.faults(_AGAIN_S[size])
        if size is not Size.SHORT and not after.in_hand:
            faults.append("no kill met anything in hand: nothing was tried out")
        figures = {
            "messages": sum(each.sent for each in findings.values()),
            "kills": len(house.kills),
            "in_hand_at_kills": after.in_hand,
            "declared_dead": await _declared_dead(house),
            "taken_at_kills": {channel.value: after.taken[channel] for channel in findings},
            "twice": {channel.value: each.twice for channel, each in findings.items()},
            "marked": {channel.value: each.marked for channel, each in findings.items()},
            "again_p99_s": {
                "all": after.p99_s(),
                **{each.value: hits.p99(some) for each, some in after.again_s.items()},
            },
            "answers": dict(sorted(house.promises.answers.items())),
        }
        return Found(figures, faults)


async def _declared_dead(house: Rig) -> dict[str, int]:
    """How many workers the keepers took for dead, and of how many of these nobody had killed the process.

    One that ends of its own will, as after its master, is written down as dead, too, while its lease still holds.
    """
    lapsed = workers.c.dead_at - workers.c.renewed_at > LEASE_S * 1000
    async with house.database.read() as connection:
        pids = list(await connection.scalars(select(workers.c.pid).where(lapsed)))
    killed = {pid for kill in house.kills for pid in kill.pids}
    return {"all": len(pids), "not_killed": sum(pid not in killed for pid in pids)}
