"""E5, E6: PostgreSQL is stopped at once, cut off, read-only and full. Every 200 survives, a 503 says the rest.

What it would catch: an answer before the commit, a repeated commit that stores a message twice, a 500 where the
database is away, a process that ends or hangs there, a send whose outcome is dropped when it cannot be recorded.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from models.vocabulary import Channel
from tests.faults import harmed_postgres, rig, small_disk, traffic
from tests.faults.experiment import Found, Place, Size
from tests.faults.harmed_postgres import HarmedPostgres
from tests.support.waiting import wait_until

_CHANNELS: Final = (Channel.WEBHOOK, Channel.EMAIL, Channel.ONSITE)
_REFUSES_S: Final = 60.0
_ARRIVE_S: Final = 60.0
_CUT_EVERY_S: Final = 1.0


@dataclass(frozen=True)
class _Amount:
    """How often it is stopped, for how many seconds cut off, how often read-only and full."""

    stops: int
    cuts: int
    read_only: int
    full: int


_SIZES: Final = {
    Size.SHORT: _Amount(stops=1, cuts=1, read_only=1, full=0),
    Size.MINUTES: _Amount(stops=4, cuts=10, read_only=2, full=1),
    Size.FULL: _Amount(stops=20, cuts=60, read_only=5, full=5),
}


@dataclass
class _Scene(traffic.Harmed):
    """A house and its ``server``."""

    server: HarmedPostgres = field(kw_only=True)


async def run(place: Place, size: Size) -> Found:
    """Harm the database in each way, while messages come."""
    amount = _SIZES[size]
    async with (
        harmed_postgres.running() as server,
        rig.opened(place.folder, server.url, seed=place.seed, workers=1, contacts=10) as house,
    ):
        scene = _Scene(house, 1.0 if size is Size.SHORT else traffic.LONGEST_AWAY_S, server=server)
        async with traffic.flowing(house, _CHANNELS, clients=1 if size is Size.SHORT else 4):
            for number in range(amount.stops):
                place.say(f"stopped, {number + 1} of {amount.stops}")
                await _stopped(scene)
            place.say("cut off")
            for _ in range(amount.cuts):
                await server.cut_off()
                await asyncio.sleep(_CUT_EVERY_S)
            await scene.resumes()
            for number in range(amount.read_only):
                place.say(f"read-only, {number + 1} of {amount.read_only}")
                await _read_only(scene)
            for number in range(amount.full if server.disk else 0):
                place.say(f"full, {number + 1} of {amount.full}")
                await _full(scene)
        if not await traffic.all_arrived(house, _CHANNELS, _ARRIVE_S):
            scene.faults.append("something promised never arrived")
        scene.faults += await traffic.settled(house, _ARRIVE_S)
        scene.faults += await server.damage()
        return _found(scene, amount)


async def _stopped(scene: _Scene) -> None:
    """It ends where it stands, stays away for a while, and starts again."""
    await scene.server.stop_at_once()
    await scene.refuses("stopped")
    await scene.server.start()
    await scene.resumes()


async def _read_only(scene: _Scene) -> None:
    """It answers, and takes nothing."""
    await scene.server.set_read_only(True)
    await scene.refuses("read-only")
    await scene.server.set_read_only(False)
    await scene.resumes()


async def _full(scene: _Scene) -> None:
    """Its disk is full, and has room again; a server that ended meanwhile is started by whoever made room."""
    server, disk = scene.server, scene.server.disk
    assert disk is not None
    before = scene.house.promises.answers.get(503, 0)
    disk.fill()

    def refused() -> bool:
        disk.fill()  # what became free meanwhile, too
        return scene.house.promises.answers.get(503, 0) > before

    await wait_until(refused, timeout=_REFUSES_S, interval=0.2)
    disk.free()
    if not server.runs:
        await server.start()
    await scene.resumes()


def _found(scene: _Scene, amount: _Amount) -> Found:
    promises = scene.house.promises
    filled = amount.full if scene.server.disk else 0
    figures = {
        "messages": traffic.accepted(scene.house),
        "stopped": amount.stops,
        "cut_off": amount.cuts,
        "read_only": amount.read_only,
        "full": filled,
        "answers": dict(sorted(promises.answers.items())),
        "resumed_s_at_most": round(max(scene.resumed_s), 1),
        "restarts": {name: scene.house.stack.supervisor.restarts(name) for name in ("api", "worker-1", "keeper")},
    }
    left_out = [] if filled == amount.full else [small_disk.LEFT_OUT]
    return Found(figures, scene.faults, left_out)
