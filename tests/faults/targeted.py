"""Small experiments, each for one way to be wrong: what must not depend on luck is brought about on purpose."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import permutations
from typing import Final

import redis
from sqlalchemy import func, select
from standardwebhooks import Webhook

from models import ids, timestamps
from models.settings import broker_socket
from models.tables import events, messages
from models.vocabulary import Channel, Status
from tests.faults import families, invariants, rig, traffic
from tests.faults.experiment import Found, Place, Size
from tests.faults.rig import Rig
from tests.support.waiting import wait_until
from wireroom.up import worker_service

_SIZES: Final = {Size.SHORT: 20, Size.MINUTES: 40, Size.FULL: 100}
_HELD_UP_S: Final = 10.0
"""Shorter than a lease: a suspended worker's peers have answered when it wakes."""
_CONNECTIONS: Final = 10
"""How many mails a worker sends at once; the others it has in hand wait for those."""
_ARRIVE_S: Final = 45.0
_FLUSHED_S: Final = 20.0
_QUIET_S: Final = 60.0
_EVENTS: Final = ("delivered", "opened", "clicked")


async def killed_and_woken(place: Place, size: Size) -> Found:
    """Two workers have messages in hand of which no byte that counts was sent; neither sends them, others do, once.

    One is killed. The other is suspended for longer than its lease, and wakes when all have arrived.
    """
    async with _opened(place) as house:
        return await _killed_and_woken(house, size)


async def _killed_and_woken(house: Rig, size: Size) -> Found:
    count = _SIZES[size]
    await _fill_hands(house, count, _HELD_UP_S)
    with families.suspended(house.family("worker-1")[0]):
        house.stack.supervisor.start(worker_service(2))
        await _fill_hands(house, count, _ARRIVE_S)
        families.kill(house.family("worker-2"))
        arrived, took_s = await _arrived(house, 2 * count)
    # It hears that it was declared dead, and ends, with what it had in hand recorded.
    await wait_until(lambda: house.stack.supervisor.restarts("worker-1") > 0, timeout=_ARRIVE_S)
    quiet = await house.quiesce(_QUIET_S)
    findings = (await invariants.check(house))[Channel.EMAIL]
    faults = [] if findings.is_clean else [str(findings.broken())]
    if not quiet:
        faults.append("it never came to rest")
    if arrived < 2 * count:
        faults.append(f"{arrived} of {2 * count} arrived in {took_s:.0f} s")
    if findings.twice:
        faults.append(f"{findings.twice} came twice, though none was under way")
    return Found({"messages": 2 * count, "arrived": arrived, "twice": findings.twice}, faults)


async def flushed(place: Place, size: Size) -> Found:
    """Messages come while no worker listens, and the broker forgets everything: the keeper asks again."""
    async with _opened(place) as house:
        return await _flushed(house, size)


async def _flushed(house: Rig, size: Size) -> Found:
    count = _SIZES[size]
    before = len(house.ledger.copies(Channel.WEBHOOK))
    socket = str(broker_socket(house.stack.storage.data_dir))
    with (
        families.suspended(house.family("worker-1")[0]),
        contextlib.closing(redis.Redis(unix_socket_path=socket)) as client,
    ):
        # What the worker asked for before it was suspended would be answered with the first job, out of reach.
        await wait_until(lambda: not any("b" in each["flags"] for each in client.client_list()), timeout=_QUIET_S)
        await house.post(Channel.WEBHOOK, count)
        await wait_until(lambda: bool(client.dbsize()), timeout=_QUIET_S)
        for _ in range(3):  # a wake-up may still be on its way
            await asyncio.sleep(0.1)
            client.flushall()
    began = time.monotonic()
    with contextlib.suppress(AssertionError):
        await wait_until(lambda: len(house.ledger.copies(Channel.WEBHOOK)) == before + count, timeout=_FLUSHED_S)
    took_s = time.monotonic() - began
    arrived = len(house.ledger.copies(Channel.WEBHOOK)) - before
    if arrived == count:
        faults = await traffic.settled(house, _QUIET_S)
    else:
        faults = [f"{arrived} of {count} arrived in {took_s:.0f} s"]
    return Found({"messages": count, "arrived": arrived, "seconds": round(took_s, 1)}, faults)


async def any_order(place: Place, size: Size) -> Found:
    """Reports come in every order, each applied before the next: all messages end with one status, and its times."""
    async with _opened(place) as house:
        return await _any_order(house, size)


async def _any_order(house: Rig, size: Size) -> Found:
    orders = list(permutations(range(len(_EVENTS)))) * (1 if size is Size.SHORT else 5)
    before = set(house.promises.accepted[Channel.WEBHOOK].values())
    await house.post(Channel.WEBHOOK, len(orders))
    await house.quiesce(_QUIET_S)
    shown = [each for each in house.promises.accepted[Channel.WEBHOOK].values() if each not in before]
    base = (int(time.time()) + 60) * 1000
    await _report_in_order(house, dict(zip(shown, orders, strict=True)), base)
    expected = tuple(base + which * 1000 for which in range(len(_EVENTS)))
    # Delivery of a webhook is the answer itself, which came before any report.
    columns = (messages.c.opened_at, messages.c.clicked_at)
    theirs = messages.c.id.in_([ids.parse(ids.Kind.MESSAGE, each) for each in shown])
    async with house.database.read() as connection:
        rows = (await connection.execute(select(messages.c.id, messages.c.status, *columns).where(theirs))).all()
    faults = [
        f"{ids.show(ids.Kind.MESSAGE, row.id)} is {row.status} with {row.opened_at} and {row.clicked_at}"
        for row in rows
        if row.status != Status.CLICKED.value or (row.opened_at, row.clicked_at) != expected[1:]
    ]
    return Found({"messages": len(rows), "reports": len(rows) * len(_EVENTS), "other": len(faults)}, faults[:3])


async def all_three(place: Place, size: Size) -> Found:
    """One after the other, in one house: each leaves it at rest."""
    async with _opened(place) as house:
        found = [await each(house, size) for each in (_flushed, _killed_and_woken, _any_order)]
    figures = dict(zip(("flushed", "killed-and-woken", "any-order"), (each.figures for each in found), strict=True))
    return Found(figures, [fault for each in found for fault in each.faults])


async def _report_in_order(house: Rig, orders: dict[str, tuple[int, ...]], base: int) -> None:
    hook = (await house.ask("/hooks", {"provider": "generic"})).body
    for turn in range(len(_EVENTS)):
        told = []
        for message_id, order in orders.items():
            which = order[turn]
            at = timestamps.show(base + which * 1000)
            told.append({"id": f"{message_id}-{which}", "type": _EVENTS[which], "messageId": message_id, "at": at})
        body = {"events": told}
        now = int(time.time())
        signature = Webhook(hook["signingKey"]).sign(str(turn), datetime.fromtimestamp(now, UTC), json.dumps(body))
        headers = {"webhook_id": str(turn), "webhook_timestamp": str(now), "webhook_signature": signature}
        answer = await house.ask(f"/hooks/generic/{hook['hookKey']}", body, absolute=True, **headers)
        assert answer.status == 200, answer

        async def applied() -> bool:
            async with house.database.read() as connection:
                waiting = select(func.count()).where(events.c.applied_at.is_(None))
                return not await connection.scalar(waiting)

        await wait_until(applied, timeout=_QUIET_S)


@contextlib.asynccontextmanager
async def _opened(place: Place) -> AsyncIterator[Rig]:
    """An installation with one worker."""
    url = place.server.url(place.server.create())
    async with rig.opened(place.folder, url, seed=place.seed, workers=1, contacts=10) as house:
        yield house


async def _fill_hands(house: Rig, count: int, held_up_s: float) -> None:
    """Mails come, and each waits so long at the server for the word to go on: none was sent."""
    mail = house.sinks.mail
    enough = mail.commands.count("DATA") + _CONNECTIONS
    mail.script("DATA", delay_s=held_up_s)
    await house.post(Channel.EMAIL, count)
    await wait_until(lambda: mail.commands.count("DATA") >= enough, timeout=_ARRIVE_S)
    mail.clear_script()


async def _arrived(house: Rig, count: int) -> tuple[int, float]:
    """Wait until ``count`` mails have come; how many did, and how long that took (seconds)."""
    began = time.monotonic()
    with contextlib.suppress(AssertionError):
        await wait_until(lambda: len(house.ledger.copies(Channel.EMAIL)) == count, timeout=_ARRIVE_S)
    return len(house.ledger.copies(Channel.EMAIL)), time.monotonic() - began
