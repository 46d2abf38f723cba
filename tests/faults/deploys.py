"""E13: every process is stopped by SIGTERM and started anew, one after the other, while messages come and go.

Nothing is lost, nothing comes twice, and no end of an attempt is in doubt: a worker that is asked to go finishes what
is past the byte that cannot be taken back, and gives the rest back before it goes. It catches a build whose workers
leave at once: what they had in hand lies until their lease has lapsed, and is marked ambiguous then.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from sqlalchemy import func, select

from models.tables import messages, workers
from models.vocabulary import Channel, State
from tests.faults import families, invariants, rig
from tests.faults.experiment import Found, Place, Size
from tests.faults.rig import Rig
from tests.support.waiting import wait_until
from wireroom.supervisor import Service
from wireroom.up import API, KEEPER, CannotStart, Stack, worker_service

_CONTACTS: Final = {Size.SHORT: 5, Size.MINUTES: 100, Size.FULL: 200}
"""A chat gets one message a second."""
_CLIENTS: Final = 4
_START_S: Final = 60.0
_HELD_UP_S: Final = 0.25
"""How long the mail server thinks about each mail, so that workers are seen with some in hand."""
_LONG_S: Final = 5.0
"""How long about one in the hands of a worker that is asked to go: longer than it takes to end its threads."""
# (workers, messages on each channel at least, seconds between a client's messages)
_SIZES: Final = {Size.SHORT: (1, 40, 1.0), Size.MINUTES: (2, 1_000, 0.2), Size.FULL: (3, 10_000, 0.02)}
_EVERY_S: Final = 20.0


@dataclass
class Swaps:
    """What came of replacing services. ``in_hand``: what workers had in hand when they were asked to go."""

    done: int = 0
    in_hand: int = 0
    slowest_s: float = 0.0
    intake_away_s: float = 0.0
    faults: list[str] = field(default_factory=list)


async def run(place: Place, size: Size) -> Found:
    """Send on every channel, while round after round of restarts goes through the house."""
    many, count, pause_s = _SIZES[size]
    url = place.server.url(place.server.create())
    async with rig.opened(place.folder, url, seed=place.seed, workers=many, contacts=_CONTACTS[size]) as house:
        swaps = Swaps()
        over = asyncio.Event()
        sending = begin_load(house, count, pause_s, over)
        rounds = 0
        while not rounds or not sending.done():
            began = time.monotonic()
            for service in _everyone(many):
                await swap(house, service, service, swaps)
                place.say(f"{swaps.done} restarts, {house.ledger.count()} arrivals")
            rounds += 1
            over.set()
            # On a machine on which a round takes long the house has a while to itself all the same.
            await asyncio.wait({sending}, timeout=max(_EVERY_S / 2, _EVERY_S - (time.monotonic() - began)))
        await sending
        return await accounts_for(house, swaps, {"rounds": rounds})


def _everyone(many: int) -> Iterable[Service]:
    workers_ = (worker_service(number) for number in range(1, many + 1))
    return (API, *workers_, KEEPER)


def begin_load(house: Rig, count: int, pause_s: float, over: asyncio.Event) -> "asyncio.Future[list[None]]":
    """Clients on every channel; ``count`` messages on each, and more until it is ``over``."""

    async def on(channel: Channel) -> None:
        portion, sent = max(_CLIENTS, count // 10), 0
        while sent < count or not over.is_set():
            await house.post(channel, portion, clients=_CLIENTS, pause_s=pause_s)
            sent += portion

    _answer_soon(house)
    return asyncio.gather(*(on(channel) for channel in Channel))


async def swap(house: Rig, old: Service, new: Service, swaps: Swaps) -> None:
    """SIGTERM for the ``old`` service; when it is gone ``new`` starts, and serves when this returns."""
    supervisor = house.stack.supervisor
    if supervisor.restarts(old.name):
        swaps.faults.append(f"{old.name} died by itself")
    its = await workers_of(house, supervisor.pids()[old.name])
    if its:
        swaps.in_hand += await _fill_hands(house, its)
    began = time.monotonic()
    await supervisor.stop(old.name)
    took_s = time.monotonic() - began
    swaps.slowest_s = max(swaps.slowest_s, took_s)
    if took_s >= old.drain_s:
        swaps.faults.append(f"{old.name} did not go within its {old.drain_s:.0f} s")
    _answer_soon(house)
    left = await _in_hand(house, its)
    if left:
        swaps.faults.append(f"{old.name} went with {left} messages in hand")
    supervisor.start(new)
    await _until_it_serves(house, new)
    if new.name == API.name:
        swaps.intake_away_s = max(swaps.intake_away_s, time.monotonic() - began)
    swaps.done += 1


async def workers_of(house: Rig, leader: int) -> list[UUID]:
    """The leases of a service's processes; none where it is not a worker."""
    pids = [process.pid for process in families.of(leader)]
    async with house.database.read() as connection:
        found = select(workers.c.id).where(workers.c.pid.in_(pids), workers.c.dead_at.is_(None))
        return list(await connection.scalars(found))


async def _fill_hands(house: Rig, its: list[UUID]) -> int:
    """Wait until mails lie at the server between their last byte and its answer; how many messages the worker has."""
    mail = house.sinks.mail
    before = len(mail.commands)
    mail.script("DOT", delay_s=_LONG_S)

    async def past_return() -> int:
        return await _in_hand(house, its) if "DOT" in mail.commands[before:] else 0

    with contextlib.suppress(AssertionError):
        return await wait_until(past_return, timeout=_START_S, interval=0.05)
    return 0


def _answer_soon(house: Rig) -> None:
    """What comes from now on; who waits for the server's answer already waits on."""
    house.sinks.mail.clear_script()
    house.sinks.mail.script("DOT", delay_s=_HELD_UP_S)


async def _in_hand(house: Rig, its: list[UUID]) -> int:
    async with house.database.read() as connection:
        mine = messages.c.worker_id.in_(its), messages.c.state == State.SENDING.value
        return int(await connection.scalar(select(func.count()).where(*mine)) or 0)


async def _until_it_serves(house: Rig, service: Service) -> None:
    supervisor = house.stack.supervisor
    await wait_until(lambda: service.name in supervisor.pids(), timeout=_START_S)
    if service.name == API.name:
        await until_ready(house.stack)
    elif service.name.startswith("worker"):
        await wait_until(lambda: workers_of(house, supervisor.pids()[service.name]), timeout=_START_S, interval=0.1)


async def until_ready(stack: Stack) -> None:
    """Its own patience is that of a person; on a machine that others use too it takes longer."""
    try:
        await stack.wait_ready()
    except CannotStart:
        await stack.wait_ready()


async def accounts_for(house: Rig, swaps: Swaps, figures: dict[str, object]) -> Found:
    """Wait until all is quiet; nothing was lost, doubled, doubted or refused."""
    await house.quiesce(rig.quiet_s(house))
    findings = await invariants.check(house)
    twice = sum(each.twice for each in findings.values())
    marked = sum(each.marked for each in findings.values())
    answers = dict(sorted(house.promises.answers.items()))
    faults = swaps.faults + [f"{channel}: {each.broken()}" for channel, each in findings.items() if not each.is_clean]
    if twice or marked:
        faults.append(f"{twice} came twice and {marked} are in doubt, though nothing was killed")
    if set(answers) != {200}:
        faults.append(f"intake answered {answers}")
    if swaps.done and not swaps.in_hand:
        faults.append("no worker had anything in hand when it was asked to go: this shows nothing")
    shown = {
        "messages": sum(each.sent for each in findings.values()),
        "restarts": swaps.done,
        "in_hand_at_sigterm": swaps.in_hand,
        "twice": twice,
        "marked": marked,
        "slowest_stop_s": round(swaps.slowest_s, 1),
        "intake_away_s": round(swaps.intake_away_s, 1),
        "answers": answers,
    }
    return Found(shown | figures, faults)
