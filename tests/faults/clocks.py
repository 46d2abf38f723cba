"""E11: every clock is wrong, the database goes away, a worker sleeps: nothing is lost, too early, or doubled unmarked.

Workers and keepers are ten minutes ahead or behind. A build that asks its own clock whether a lease has lapsed, or
whether a message is due, is caught by the first part; one that takes an outage or a step of the database's clock for
the death of its workers by the second and the third; one whose short pauses become an hour by that step by the second;
one that sends without looking at its lease by the last.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple

import psutil
from sqlalchemy import and_, exists, func, select

from models import timestamps
from models.store import clock
from models.tables import attempts, messages, workers
from models.vocabulary import Channel, Outcome, State
from tests.faults import families, invariants, rig, shifted_clocks
from tests.faults.experiment import Found, Place, Size
from tests.faults.rig import Rig
from tests.faults.shifted_clocks import ShiftedPostgres
from tests.support.waiting import wait_until
from wireroom.supervisor import Service
from wireroom.up import KEEPER, worker_service

_CHANNELS: Final = (Channel.EMAIL, Channel.WEBHOOK, Channel.ONSITE)
_TEN_MINUTES_S: Final = 600
_HOUR_S: Final = 3600
_AHEAD_S: Final = 15.0
"""Longer than a keeper and a worker take to come to them on a machine that does other things, too."""
_MOMENT_S: Final = 3.0
"""Longer than intake takes: what is due by then needs no keeper."""
_QUIET_S: Final = 90.0
_HELD_UP_S: Final = 10.0
_READY_S: Final = 60.0
_CUT: Final = 5
"""So many lines are cut before the request is kept: these are put off for a few seconds."""


class _Sizes(NamedTuple):
    """``messages``: of each channel in each part; ``woken``: whether a worker is suspended, too."""

    messages: int
    outage_s: float
    woken: bool


_SIZES: Final = {
    Size.SHORT: _Sizes(15, 3.0, woken=False),
    Size.MINUTES: _Sizes(150, 60.0, woken=True),
    Size.FULL: _Sizes(1_000, 60.0, woken=True),
}


async def run(place: Place, size: Size) -> Found:
    """Part by part, in one house."""
    with shifted_clocks.postgres() as server:
        async with _opened(place, server) as house:
            trial = _Trial(house, server, _SIZES[size])
            for part in (trial.wrong_clocks, trial.an_hour_back, trial.outage):
                place.say(part.__name__)
                await part()
                await trial.come_to_rest(part.__name__)
            await trial.nobody_was_given_up()
            if _SIZES[size].woken:
                place.say("sleeper")
                await trial.sleeper()
                await trial.come_to_rest("sleeper")
            findings = await invariants.check(house)
            faults = [f"{channel}: {each.broken()}" for channel, each in findings.items() if not each.is_clean]
            earliest_s = trial.earliest_s()
            figures = {
                "messages": sum(each.sent for each in findings.values()),
                "outage_s": _SIZES[size].outage_s,
                "earliest_s": earliest_s,
                "twice": {channel.value: each.twice for channel, each in findings.items()},
                "marked": {channel.value: each.marked for channel, each in findings.items()},
                "answers": dict(sorted(house.promises.answers.items())),
            }
    if earliest_s < 0:
        faults.append("something came before its time")
    return Found(figures, trial.faults + faults)


@contextlib.asynccontextmanager
async def _opened(place: Place, server: ShiftedPostgres) -> AsyncIterator[Rig]:
    """A house whose workers and keepers are ten minutes ahead or behind; the database's clock is true at first."""
    async with rig.opened(place.folder, server.url, seed=place.seed, workers=0, contacts=10, keepers=1) as house:
        await house.stack.supervisor.stop(KEEPER.name)
        for number, seconds in enumerate((_TEN_MINUTES_S, -_TEN_MINUTES_S), 1):
            keeper = Service(f"keeper-{number}", KEEPER.command, KEEPER.drain_s)
            for service in (keeper, worker_service(number)):
                house.stack.supervisor.start(server.elsewhere(service, seconds))
            # The fast one keeps before anything is due in a moment: one that came later would find all of it due.
            await _is_kept(house)
        await wait_until(lambda: _alive(house, 2), timeout=_READY_S)
        yield house


async def _is_kept(house: Rig) -> None:
    """Wait until a message for a moment later has come, which takes a keeper."""
    (token,) = await _post_later(house, _MOMENT_S, 1)
    await wait_until(lambda: token in house.ledger.arrivals[Channel.WEBHOOK], timeout=_READY_S)


async def _post_later(house: Rig, seconds: float, count: int) -> Sequence[str]:
    """Messages that are due so long after now, by the database's clock; their tokens."""
    async with house.database.read() as connection:
        due = timestamps.show(await clock.read(connection) + round(seconds * 1000))
    item = {"contactId": house.contacts[Channel.WEBHOOK][0], "sendAt": due}
    return await house.post_batch(Channel.WEBHOOK, [item] * count)


async def _alive(house: Rig, count: int) -> bool:
    async with house.database.read() as connection:
        living = select(func.count()).select_from(workers).where(workers.c.dead_at.is_(None))
        return await connection.scalar(living) == count


class _Trial:
    """What is done to the house, and what should not have come of it."""

    def __init__(self, house: Rig, server: ShiftedPostgres, sizes: _Sizes) -> None:
        self.faults: list[str] = []
        self._house = house
        self._server = server
        self._sizes = sizes
        self._later: Sequence[str] = ()
        self._due_at = 0.0

    async def wrong_clocks(self) -> None:
        """Messages for now, and some for later, which no fast clock may send now."""
        self._due_at = time.monotonic() + _AHEAD_S
        self._later = await _post_later(self._house, _AHEAD_S, self._sizes.messages)
        await self._post()

    def earliest_s(self) -> float:
        """How long after its time the first of those for later came."""
        came = self._house.ledger.arrivals[Channel.WEBHOOK]
        times = [at for token in self._later for at in came.get(token, [])]
        return round(min(times, default=0.0) - self._due_at, 3)

    async def an_hour_back(self) -> None:
        """The database's clock steps back, and stays there, while messages are on their way and others put off."""
        self._house.sinks.web.script(drop="before", times=_CUT)
        sending = await self._begun()
        await wait_until(self._some_wait, timeout=_READY_S)
        self._server.shift(-_HOUR_S)
        await sending
        await self._post()

    async def _some_wait(self) -> bool:
        """A message was begun, and put off."""
        waits = and_(messages.c.state == State.QUEUED.value, messages.c.turn.is_(None), messages.c.claimed_at > 0)
        async with self._house.database.read() as connection:
            return bool(await connection.scalar(select(exists().where(waits))))

    async def outage(self) -> None:
        """All of the database's processes stand still, with messages on their way, while more are to come."""
        sending = await self._begun()
        leader = psutil.Process(self._server.process.pid)
        with families.suspended(leader):
            await asyncio.sleep(self._sizes.outage_s)
        await sending
        await self._post()

    async def sleeper(self) -> None:
        """A worker is suspended with messages in hand; others send them; then it wakes."""
        house = self._house
        seen = len(house.sinks.mail.commands)
        house.sinks.mail.script("DATA", delay_s=_HELD_UP_S)
        sending = await self._begun()
        await wait_until(lambda: "DATA" in house.sinks.mail.commands[seen:], timeout=_READY_S)
        house.sinks.mail.clear_script()
        with families.suspended(house.family("worker-1")[0]):
            began = time.monotonic()
            await sending
            await house.quiesce(self._sizes.outage_s)
            await asyncio.sleep(max(0.0, began + self._sizes.outage_s - time.monotonic()))
        # It hears that it was declared dead, and ends.
        await wait_until(lambda: house.stack.supervisor.restarts("worker-1") > 0, timeout=_READY_S)

    async def come_to_rest(self, part: str) -> None:
        """Wait until nothing is under way."""
        if not await self._house.quiesce(_QUIET_S):
            self.faults.append(f"{part}: not at rest after {_QUIET_S:.0f} s")

    async def nobody_was_given_up(self) -> None:
        """No service died, no living worker was declared dead, and no attempt was taken for lost."""
        supervisor = self._house.stack.supervisor
        self.faults += [f"{name} died" for name in supervisor.pids() if supervisor.restarts(name)]
        if not await _alive(self._house, 2):
            self.faults.append("a living worker was declared dead")
        async with self._house.database.read() as connection:
            lost = attempts.c.outcome == Outcome.AMBIGUOUS.value
            count = await connection.scalar(select(func.count()).select_from(attempts).where(lost))
        self.faults += [f"{count} attempts were taken for lost"] if count else []

    async def _post(self) -> None:
        every = [self._house.post(channel, self._sizes.messages, clients=4) for channel in _CHANNELS]
        await asyncio.gather(*every)

    async def _begun(self) -> asyncio.Task[None]:
        """Messages that are being sent: some have arrived."""
        before = self._house.ledger.count()
        sending = asyncio.create_task(self._post())
        await wait_until(lambda: self._house.ledger.count() > before, timeout=_READY_S)
        return sending
