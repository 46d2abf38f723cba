"""E6: whoever writes to SQLite is killed, alone or all at once: every 200 survives, and the file is whole.

What it would catch: a journal that a dead writer spoils, an answer before the commit, a lock that outlives its
owner, a repeated request that stores its message twice. A power cut is something else: no process can make one.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import psutil
from sqlalchemy import select

from models import ids
from models.tables import messages
from models.vocabulary import Channel
from tests.faults import rig, sqlite_file, traffic
from tests.faults.experiment import Found, Place, Size
from tests.faults.rig import Rig
from tests.support.waiting import wait_until
from wireroom.up import API, KEEPER, worker_service

_CHANNELS: Final = (Channel.WEBHOOK, Channel.ONSITE)
_PAUSE_S: Final = 0.5
_REST_S: Final = 120.0
_PATIENCE_S: Final = 60.0
_ALL_EVERY: Final = 16


@dataclass(frozen=True)
class _Amount:
    """``kills``: of one service, or of all in one moment. ``victims``: whom, where it is one, and how old at least."""

    kills: int
    victims: Sequence[str]
    lived_s: float


# In short no worker dies: what it has in hand would wait a lease for its rescue. Else each has lived for so long that
# its supervisor starts it again at once.
_SIZES: Final = {
    Size.SHORT: _Amount(3, ("api", "keeper"), lived_s=1.0),
    Size.MINUTES: _Amount(40, ("api", "worker", "keeper"), lived_s=10.0),
    Size.FULL: _Amount(200, ("api", "worker", "keeper"), lived_s=10.0),
}


async def run(place: Place, size: Size) -> Found:
    """Kill writers under load, and look at the file after each; last all of them, with messages on their way in."""
    amount = _SIZES[size]
    path = place.folder / "killed.db"
    faults: list[str] = []
    together = 0
    async with rig.opened(place.folder, f"sqlite:///{path}", seed=place.seed, workers=1, contacts=10) as house:
        async with traffic.flowing(house, _CHANNELS, clients=2):
            for number in range(1, amount.kills):
                place.say(f"{number} of {amount.kills} kills")
                await _some_written(house)
                if number % _ALL_EVERY:
                    await _kill_one(house, amount)
                    faults += await asyncio.to_thread(sqlite_file.damage, path)
                else:
                    await _kill_all(house)
                    together += 1
                    faults += await asyncio.to_thread(sqlite_file.damage, path)
                    _start_again(house)
        faults += await traffic.settled(house, _REST_S)
        await _kill_last(house)
        together += 1
        faults += await asyncio.to_thread(sqlite_file.damage, path)
        missing = await _missing(house)
        faults += [f"{len(missing)} that were promised are missing, as {missing[0]}"] if missing else []
        promises = house.promises
    if len(house.kills) + together != amount.kills:
        faults.append(f"{len(house.kills) + together} were killed, not {amount.kills}")
    figures = {
        "messages": traffic.accepted(house),
        "kills": len(house.kills) + together,
        "of_all_at_once": together,
        "answers": dict(sorted(promises.answers.items())),
        "missing": len(missing),
    }
    return Found(figures, faults)


async def _some_written(house: Rig) -> None:
    """Wait until those who are to die have written, and then for any moment."""
    await traffic.more_accepted(house, _PATIENCE_S)
    await asyncio.sleep(house.random.uniform(0.0, _PAUSE_S))


async def _kill_one(house: Rig, amount: _Amount) -> None:
    """SIGKILL for one of them that is old enough, until one was hit; its supervisor starts it again."""

    def old_enough() -> list[str]:
        running = house.stack.supervisor.pids().items()
        return [
            name for name, pid in running if name.startswith(tuple(amount.victims)) and _age_s(pid) > amount.lived_s
        ]

    hit = None
    while hit is None:  # the chosen one may have died by itself
        victims = await wait_until(old_enough, timeout=_PATIENCE_S)
        hit = house.kill(house.random.choice(victims))


def _age_s(pid: int) -> float:
    try:
        return time.time() - psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return 0.0


async def _kill_all(house: Rig) -> None:
    """SIGKILL for all of them. Once all are gone, and we have hung up too, who opens the file next must mend it."""
    family = [process for each in house.families("").values() for process in each]
    house.stack.supervisor.kill()
    await house.database.close()
    await wait_until(lambda: all(map(_is_gone, family)), timeout=_PATIENCE_S)


async def _kill_last(house: Rig) -> None:
    """The same, with messages on their way in, which nobody will take."""
    sending = asyncio.create_task(house.post(Channel.ONSITE, 10_000, clients=4))
    await _some_written(house)
    await _kill_all(house)
    sending.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await sending


def _start_again(house: Rig) -> None:
    for service in (rig.embedded_broker(house.stack), API, worker_service(1), KEEPER, rig.SECOND_KEEPER):
        house.stack.supervisor.start(service)


def _is_gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def _missing(house: Rig) -> list[str]:
    """What was promised and is not in the file."""
    async with house.database.read() as connection:
        stored = {ids.show(ids.Kind.MESSAGE, each) for each in await connection.scalars(select(messages.c.id))}
    promised = {message_id for of_channel in house.promises.accepted.values() for message_id in of_channel.values()}
    return sorted(promised - stored)
