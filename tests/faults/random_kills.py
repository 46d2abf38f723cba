"""E1: random processes die all the time, workers most of all. Nothing accepted is lost, nothing doubled in silence."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Final

from models.vocabulary import Channel
from tests.faults import invariants, rig
from tests.faults.experiment import Found, Place, Size
from tests.faults.rig import Rig

_VICTIMS: Final = (("worker",), ("worker",), ("worker",), ("api",), ("keeper",), ("broker",))
_PAUSE_S: Final = (0.5, 3.0)
_PAUSES_S: Final = {Channel.TELEGRAM: 0.2}
"""Of each of four clients. A bot writes 25 a second: what came faster would wait for that, and not for a rescue."""
_QUIET_S: Final = 480.0
"""A bot writes 25 a second, whatever waits."""
_AGAIN_S: Final = 25.0
# (messages on each channel, kills at least)
_SIZES: Final = {Size.SHORT: (60, 5), Size.MINUTES: (1_000, 40), Size.FULL: (10_000, 100)}


async def run(place: Place, size: Size) -> Found:
    """Send on every channel, while processes die."""
    messages, kills = _SIZES[size]
    url = place.server.url(place.server.create())
    async with rig.opened(place.folder, url, seed=place.seed) as house:
        hits: list[tuple[float, str]] = []

        async def kill() -> None:
            # Not for ever: where starting takes longer than the pause to the next kill, nothing would be sent.
            while len(house.kills) < kills or (not sending.done() and len(house.kills) < 3 * kills):
                await asyncio.sleep(house.random.uniform(*_PAUSE_S))
                killed = house.kill_one(house.random.choice(_VICTIMS))
                if killed is not None:
                    # Asked afterwards, so that nothing was taken or recorded since: nobody rescues it so soon.
                    hits.extend((killed.at, message_id) for message_id in await house.held_by(killed.pids))
                place.say(f"{len(house.kills)} kills, {house.ledger.count()} arrivals")

        sending = asyncio.gather(
            *(house.post(channel, messages, clients=4, pause_s=_PAUSES_S.get(channel, 0.0)) for channel in Channel)
        )
        await asyncio.gather(sending, kill())
        await house.quiesce(_QUIET_S)
        findings = await invariants.check(house)
        delays_s = await invariants.delays_s(house, hits)
        again_s = invariants.percentile(sorted(each for some in delays_s.values() for each in some), 0.99)
        faults = [f"{channel}: {each.broken()}" for channel, each in findings.items() if not each.is_clean]
        faults += await _unhit(house, (message_id for _, message_id in hits))
        if again_s > _AGAIN_S:
            faults.append(f"tried again only {again_s:.1f} s after the kill")
        figures = {
            "messages": sum(each.sent for each in findings.values()),
            "kills": len(house.kills),
            "in_hand_at_kills": len(hits),
            "twice": {channel.value: each.twice for channel, each in findings.items()},
            "marked": {channel.value: each.marked for channel, each in findings.items()},
            "again_p99_s": round(again_s, 1),
            "again_longest_s": {channel.value: round(max(some), 1) for channel, some in delays_s.items()},
            "answers": dict(sorted(house.promises.answers.items())),
        }
        return Found(figures, faults)


async def _unhit(house: Rig, hits: Iterable[str]) -> list[str]:
    """What came again more often than it was in a worker's hands when that died."""
    hit = Counter(hits)
    found = [
        message_id
        for channel, promised in house.promises.accepted.items()
        for token, message_id in promised.items()
        if len(house.ledger.arrivals[channel].get(token, ())) - 1 > hit[message_id]
    ]
    if not found:
        return []
    tried = await invariants.attempts_of(house, found[0])
    return [f"{len(found)} came again though no kill hit them, as {found[0]}: {tried}"]
