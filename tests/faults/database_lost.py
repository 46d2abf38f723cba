"""E5, E6: PostgreSQL is stopped at once, cut off, read-only and full. Every 200 survives, a 503 says the rest.

What it would catch: an answer before the commit, a repeated commit that stores a message twice, a 500 where the
database is away, a process that ends or hangs there, a send whose outcome is dropped when it cannot be recorded.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Final

from models.vocabulary import Channel
from tests.faults import harmed_postgres, rig, traffic
from tests.faults.experiment import Found, Place, Size
from tests.faults.harmed_postgres import HarmedPostgres
from tests.faults.rig import Rig
from tests.support.waiting import wait_until

_CHANNELS: Final = (Channel.WEBHOOK, Channel.EMAIL, Channel.ONSITE)
_REFUSES_S: Final = 60.0
_RESUMES_S: Final = 30.0
_ARRIVE_S: Final = 60.0
_CUT_EVERY_S: Final = 1.0
_LONGEST_AWAY_S: Final = 7.0
"""Longer than intake is patient: of some outages the clients hear a 503, of others only that it takes a while."""


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
class _Scene:
    """A house and its database; ``resumed_s``: how long after each harm something was written again."""

    house: Rig
    server: HarmedPostgres
    longest_s: float
    resumed_s: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    async def refuses(self, what: str) -> None:
        """Nothing can be written now: it is said as it should be."""
        said = await traffic.refused(self.house, _REFUSES_S)
        if said is not None:
            self.faults.append(f"{what}: {said}")

    async def resumes(self) -> None:
        """What was harmed is well again: the house goes on by itself, and refuses no more."""
        self.resumed_s.append(await traffic.resumed_s(self.house, _RESUMES_S))
        answer = await traffic.write_once(self.house)
        if answer.status != 201:
            self.faults.append(f"answered {answer.status} though it had resumed")


async def run(place: Place, size: Size) -> Found:
    """Harm the database in each way, while messages come."""
    amount = _SIZES[size]
    async with (
        harmed_postgres.running() as server,
        rig.opened(place.folder, server.url, seed=place.seed, workers=1, contacts=10) as house,
    ):
        scene = _Scene(house, server, longest_s=1.0 if size is Size.SHORT else _LONGEST_AWAY_S)
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
        if not await traffic.all_arrived(house, [Channel.WEBHOOK, Channel.EMAIL], _ARRIVE_S):
            scene.faults.append("something promised never arrived")
        scene.faults += await traffic.settled(house, _ARRIVE_S)
        scene.faults += await server.damage()
        return _found(scene, amount)


async def _stopped(scene: _Scene) -> None:
    """It ends where it stands, stays away for a while, and starts again."""
    started_at = time.monotonic() + scene.house.random.uniform(0.2, scene.longest_s)
    await scene.server.stop_at_once()
    await scene.refuses("stopped")
    await asyncio.sleep(max(0.0, started_at - time.monotonic()))
    await scene.server.start()
    await scene.resumes()


async def _read_only(scene: _Scene) -> None:
    """It answers, and takes nothing."""
    await scene.server.set_read_only(True)
    await scene.refuses("read-only")
    await asyncio.sleep(scene.house.random.uniform(0.2, scene.longest_s))
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
        "left_out": [] if filled == amount.full else ["disk full: no file system may be mounted here"],
        "answers": dict(sorted(promises.answers.items())),
        "resumed_s_at_most": round(max(scene.resumed_s), 1),
        "restarts": {name: scene.house.stack.supervisor.restarts(name) for name in ("api", "worker-1", "keeper")},
    }
    return Found(figures, scene.faults)
