"""E1: random processes die all the time, workers most of all. Nothing accepted is lost, nothing doubled in silence."""

import asyncio
from typing import Final

from models.vocabulary import Channel
from tests.faults import invariants, rig
from tests.faults.experiment import Found, Place, Size

_VICTIMS: Final = (("worker",), ("worker",), ("worker",), ("api",), ("keeper",), ("broker",))
_PAUSE_S: Final = (0.5, 3.0)
_QUIET_S: Final = 120.0
_AGAIN_S: Final = 25.0
# (messages on each channel, kills at least)
_SIZES: Final = {Size.SHORT: (60, 5), Size.MINUTES: (1_000, 40), Size.FULL: (10_000, 100)}


async def run(place: Place, size: Size) -> Found:
    """Send on every channel, while processes die."""
    messages, kills = _SIZES[size]
    url = place.server.url(place.server.create())
    async with rig.opened(place.folder, url, seed=place.seed) as house:
        in_flight = 0

        async def kill() -> None:
            nonlocal in_flight
            while len(house.kills) < kills or not sending.done():
                await asyncio.sleep(house.random.uniform(*_PAUSE_S))
                held = await house.in_flight()
                name = house.kill_one(house.random.choice(_VICTIMS))
                if name is not None and name.startswith("worker"):
                    in_flight += held
                place.say(f"{len(house.kills)} kills, {house.ledger.count()} arrivals")

        sending = asyncio.gather(*(house.post(channel, messages, clients=4) for channel in Channel))
        await asyncio.gather(sending, kill())
        await house.quiesce(_QUIET_S)
        findings = await invariants.check(house)
        again_s = invariants.percentile(await invariants.delays_s(house), 0.99)
        twice = sum(each.twice for each in findings.values())
        faults = [f"{channel}: {each.broken()}" for channel, each in findings.items() if not each.is_clean]
        if twice > in_flight:
            faults.append(f"{twice} came twice, of {in_flight} in hand at the kills")
        if again_s > _AGAIN_S:
            faults.append(f"tried again only {again_s:.1f} s after the kill")
        figures = {
            "messages": sum(each.sent for each in findings.values()),
            "kills": len(house.kills),
            "in_hand_at_kills": in_flight,
            "twice": {channel.value: each.twice for channel, each in findings.items()},
            "marked": {channel.value: each.marked for channel, each in findings.items()},
            "again_p99_s": round(again_s, 1),
            "answers": dict(sorted(house.promises.answers.items())),
        }
        return Found(figures, faults)
