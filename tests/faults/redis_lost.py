"""E3, E4: the broker forgets, dies, freezes and is full. Intake does not notice; all flows within 5 s of its return.

What it would catch: an intake that waits for the broker (its answers take the broker's time-out), a keeper that does
not top wake-ups up (what was asked for in vain is never sent), a worker that ends or hangs where no broker answers.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import redis
from sqlalchemy import func, select

from models.tables import workers
from models.vocabulary import Channel
from tests.faults import families, invariants, rig, traffic
from tests.faults.experiment import Found, Place, Size
from tests.faults.rig import Rig
from tests.support import processes
from tests.support.broker import ValkeyServer
from tests.support.waiting import wait_until

_CHANNELS: Final = tuple(Channel)
_CONTACTS: Final = 50
"""A chat gets one message a second: with so many, what it puts off is not what is measured."""
_ARRIVE_S: Final = 60.0
_STARTS_S: Final = 60.0
_TIMES_SLOWER: Final = 3.0
_FILLER_BYTES: Final = 65_536
_ROOM_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class _Amount:
    """``rounds``: of each harm. ``share``: of the answers, those that are judged by their slowest.

    ``flows_s``: how long after the broker's return all has to flow again.
    ``least_normal_s``: a normal that is faster counts as this. Below it the machine is measured, and not the house.
    """

    normal_s: float
    rounds: int
    frozen_s: float
    away_s: float
    share: float
    least_normal_s: float
    flows_s: float


# In short there are too few answers for a p99, on a machine that does other things beside: what is judged is whether
# every tenth waited for the broker, half a second each. What came last may be accepted seconds after its return there.
_SIZES: Final = {
    Size.SHORT: _Amount(normal_s=1.5, rounds=1, frozen_s=1.5, away_s=1.0, share=0.9, least_normal_s=0.15, flows_s=15),
    Size.MINUTES: _Amount(normal_s=15, rounds=2, frozen_s=12, away_s=2, share=0.99, least_normal_s=0.01, flows_s=5),
    Size.FULL: _Amount(normal_s=30, rounds=10, frozen_s=30, away_s=3, share=0.99, least_normal_s=0.01, flows_s=5),
}


@dataclass
class _Scene:
    """A house and its broker; ``answers_s``: by harm, how long the answers took meanwhile."""

    house: Rig
    broker: ValkeyServer
    thread: ThreadPoolExecutor
    amount: _Amount
    answers_s: dict[str, list[float]] = field(default_factory=dict)
    flows_s: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    late: list[str] = field(default_factory=list)

    async def returns_empty(self) -> None:
        """Start the broker afresh. Not on the loop, whose clients and sinks would wait for it."""
        await asyncio.get_running_loop().run_in_executor(self.thread, self.broker.start_empty)


async def run(place: Place, size: Size) -> Found:
    """Harm the broker in each way, while few messages a second come."""
    amount = _SIZES[size]
    url = place.server.url(place.server.create())
    # Of one thread that stays: the server ends with the thread that started it.
    with processes.short_folder() as folder, ThreadPoolExecutor(1) as thread:
        broker = ValkeyServer(folder)
        await asyncio.get_running_loop().run_in_executor(thread, broker.start)
        try:
            settings = {"WIREROOM_REDIS_URL": broker.url}
            async with rig.opened(
                place.folder, url, seed=place.seed, workers=1, contacts=_CONTACTS, settings=settings
            ) as house:
                return await _harm(place, _Scene(house, broker, thread, amount))
        finally:
            broker.stop()


async def _harm(place: Place, scene: _Scene) -> Found:
    async with _measured(scene, "normal"):
        await asyncio.sleep(scene.amount.normal_s)
    harms = {"flushed": _flushed, "killed": _killed, "frozen": _frozen, "full": _full}
    for number in range(scene.amount.rounds):
        for name, harm in harms.items():
            place.say(f"{name}, {number + 1} of {scene.amount.rounds}")
            async with _measured(scene, name):
                await harm(scene)
                returned_at = time.monotonic()
            await _flows(scene, name, returned_at)
    place.say("no broker where processes start")
    await _absent_at_start(scene)
    faults = await traffic.settled(scene.house, _ARRIVE_S)
    return await _found(scene, faults)


@contextlib.asynccontextmanager
async def _measured(scene: _Scene, name: str) -> AsyncIterator[None]:
    """Messages come; how long the answers took."""
    took_s = scene.house.promises.answered_s
    before = len(took_s)
    async with traffic.flowing(scene.house, _CHANNELS):
        yield
    scene.answers_s.setdefault(name, []).extend(took_s[before:])


async def _flows(scene: _Scene, name: str, returned_at: float) -> None:
    """On each channel all that was promised arrives, by the ledger's clock, so soon after the broker's return.

    What came last was accepted within half a second of it, or about: the time holds for that too. An inbox has no
    ledger: it is the database that says when something came into it.
    """
    house = scene.house
    if not await traffic.all_arrived(house, _CHANNELS, _ARRIVE_S):
        scene.late.append(f"{name}: something never arrived")
        return
    inboxes = await invariants.inboxed(house)
    for channel in _CHANNELS:
        came = {token: times[0] for token, times in house.ledger.arrivals[channel].items() if times}
        came = inboxes if channel is Channel.ONSITE else came
        last = max((came[token] for token in house.promises.accepted[channel]), default=0.0)
        took_s = max(0.0, last - returned_at)
        scene.flows_s[name][channel.value] = max(scene.flows_s[name].get(channel.value, 0.0), round(took_s, 1))
        if took_s > scene.amount.flows_s:
            scene.late.append(f"{name}: {channel} flowed {took_s:.1f} s after the return")


async def _flushed(scene: _Scene) -> None:
    """It forgets everything, again and again."""
    give_up_at = time.monotonic() + scene.amount.away_s
    while time.monotonic() < give_up_at:
        scene.broker.flush()
        await asyncio.sleep(0.05)


async def _killed(scene: _Scene) -> None:
    """It dies, is away for a while, and comes back with nothing of what it knew."""
    scene.broker.kill()
    await asyncio.sleep(scene.amount.away_s)
    await scene.returns_empty()


async def _frozen(scene: _Scene) -> None:
    """It is there, takes connections, and answers nothing."""
    pid = scene.broker.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(scene.amount.frozen_s)
    finally:
        os.kill(pid, signal.SIGCONT)


async def _full(scene: _Scene) -> None:
    """It has no memory left, and refuses whatever needs some."""
    with redis.Redis.from_url(scene.broker.url) as client:
        used = int(client.info("memory")["used_memory"])
        client.config_set("maxmemory", used + _ROOM_BYTES)
        keys = _fill(client)
        await asyncio.sleep(scene.amount.away_s)
        client.config_set("maxmemory", 0)
        client.delete(*keys)


def _fill(client: redis.Redis) -> list[str]:
    keys: list[str] = []
    while True:
        keys.append(f"filler:{len(keys)}")
        try:
            client.set(keys[-1], b"x" * _FILLER_BYTES)
        except redis.exceptions.OutOfMemoryError:
            return keys


async def _absent_at_start(scene: _Scene) -> None:
    """The broker is away while worker and server start afresh: they wait for it, and do the rest of their work."""
    house = scene.house
    await house.quiesce(_ARRIVE_S)  # or the keeper would first have to rescue what a killed worker had in hand
    before = await _workers(house)
    scene.broker.kill()
    for name in ("api", "worker-1"):
        families.kill(house.family(name))

    async def started() -> bool:
        return await _workers(house) > before

    async with traffic.flowing(house, _CHANNELS):
        await wait_until(started, timeout=_STARTS_S)
        await asyncio.sleep(scene.amount.away_s)
    await scene.returns_empty()
    await _flows(scene, "absent at start", time.monotonic())


async def _workers(house: Rig) -> int:
    """How many workers have ever begun."""
    async with house.database.read() as connection:
        return int(await connection.scalar(select(func.count()).select_from(workers)) or 0)


async def _found(scene: _Scene, faults: list[str]) -> Found:
    share = scene.amount.share
    slow_ms = {
        name: round(invariants.percentile(sorted(took_s), share) * 1000, 1) for name, took_s in scene.answers_s.items()
    }
    limit_ms = _TIMES_SLOWER * max(slow_ms["normal"], scene.amount.least_normal_s * 1000)
    faults = faults + scene.late
    faults += [f"{name}: answered in {took} ms" for name, took in slow_ms.items() if took > limit_ms]
    answers: Mapping[int, int] = scene.house.promises.answers
    if set(answers) != {200}:
        faults.append(f"not all were accepted at once: {dict(answers)}")
    figures = {
        "messages": traffic.accepted(scene.house),
        "rounds_of_each": scene.amount.rounds,
        f"answered_p{share * 100:.0f}_ms": slow_ms,
        "limit_ms": limit_ms,
        "flows_s": dict(scene.flows_s),
        "answers": dict(answers),
    }
    return Found(figures, faults)
