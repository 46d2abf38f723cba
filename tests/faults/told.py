"""What subscriptions are told of, while whoever writes it down and whoever sends it are killed.

Each first fact reaches the receiver, by one id alone; what comes twice comes under the same id, with the same body.
It catches a build whose courier records before it sends.
"""

import asyncio
import contextlib
import json
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import func, select, update
from standardwebhooks import Webhook

from models import ids
from models.ids import Kind, event_id
from models.store.status_events import HIDDEN_MS
from models.tables import messages, status_events
from models.vocabulary import Channel, NoticeState, StatusEvent
from tests.faults import rig
from tests.faults.experiment import Found, Place, Size
from tests.faults.rig import Rig
from tests.support import http_sink
from tests.support.http_sink import HttpSink, Request
from tests.support.waiting import wait_until

# (workers, messages, rounds of kills)
_SIZES: Final = {Size.SHORT: (1, 40, 1), Size.MINUTES: (2, 1_000, 6), Size.FULL: (3, 10_000, 20)}
_ROUND: Final = ("worker", "keeper", "worker", "api")
_PAUSE_S: Final = 1.5
_THINKS_S: Final = 0.2
"""How long the receiver takes for an answer, so that a kill meets some that wait for one."""
_PATIENCE_S: Final = 120.0
"""So long nothing may be told, once nobody dies any more."""
_MOST_S: Final = 900.0
"""So long all that is left may take: a machine may have others to serve."""
_SHOWN: Final = {
    StatusEvent.SENT: func.coalesce(messages.c.sent_at, messages.c.delivered_at, messages.c.opened_at),
    StatusEvent.DELIVERED: func.coalesce(messages.c.delivered_at, messages.c.opened_at),
    StatusEvent.OPENED: messages.c.opened_at,
}
"""What is known of a message; who opened it has it, although nobody reported the delivery."""


async def run(place: Place, size: Size) -> Found:
    """Messages go out and are reported as opened, to the house and through it to the receiver, while processes die."""
    many, count, rounds = _SIZES[size]
    url = place.server.url(place.server.create())
    opened = rig.opened(place.folder, url, seed=place.seed, workers=many, contacts=10)
    async with http_sink.running() as receiver, opened as house:
        receiver.script(delay_s=_THINKS_S)
        subscription = (await house.ask("/subscriptions", {"url": receiver.url()})).body
        hook = (await house.ask("/hooks", {"provider": "generic"})).body
        sending = asyncio.create_task(_send_and_report(house, hook, count))
        killed = 0
        while killed < rounds * len(_ROUND) or not sending.done():
            await asyncio.sleep(_PAUSE_S)
            killed += house.kill_one((_ROUND[killed % len(_ROUND)],)) is not None
            place.say(f"{killed} kills, {len(receiver.requests)} arrivals")
            if killed >= 3 * rounds * len(_ROUND):
                break
        await sending
        if size is Size.SHORT:
            await house.let_victims_lapse()
        left = await _still_to_tell(house)
        return await _accounts(house, receiver, subscription["secret"], {"kills": killed}, left=left)


async def _send_and_report(house: Rig, hook: Mapping[str, Any], count: int) -> None:
    """Two halves: the second is sent while the first is reported."""
    await house.post(Channel.WEBHOOK, count // 2, pause_s=0.05)
    sent = list(house.promises.accepted[Channel.WEBHOOK].values())
    await asyncio.gather(
        house.post(Channel.WEBHOOK, count - count // 2, pause_s=0.05), *(_report(house, hook, each) for each in sent)
    )


async def _report(house: Rig, hook: Mapping[str, Any], message_id: str) -> None:
    """As a provider does: again, until it is taken."""
    body = {"events": [{"id": f"{message_id}-opened", "type": "opened", "messageId": message_id}]}
    while True:
        now = int(time.time())
        signature = Webhook(hook["signingKey"]).sign(message_id, datetime.fromtimestamp(now, UTC), json.dumps(body))
        headers = {"webhook_id": message_id, "webhook_timestamp": str(now), "webhook_signature": signature}
        with contextlib.suppress(OSError, EOFError):
            answer = await house.ask(f"/hooks/generic/{hook['hookKey']}", body, absolute=True, **headers)
            if answer.status == 200:
                return
            assert answer.status == 503, answer
        await asyncio.sleep(_THINKS_S)


async def _still_to_tell(house: Rig) -> int:
    """Wait as long as something is told; what the dead had in hand comes back now, not in two minutes."""
    await house.quiesce(_PATIENCE_S)
    async with house.database.write() as connection:
        await connection.execute(update(status_events).values(due_at=status_events.c.due_at - HIDDEN_MS))

    async def to_tell() -> int:
        async with house.database.read() as connection:
            waits = select(func.count()).where(status_events.c.state == NoticeState.PENDING.value)
            return await connection.scalar(waits) or 0

    left = await to_tell()
    give_up_at = time.monotonic() + _MOST_S
    while left and time.monotonic() < give_up_at:

        async def fewer(than: int = left) -> bool:
            return await to_tell() < than

        try:
            await wait_until(fewer, timeout=_PATIENCE_S, interval=0.5)
        except AssertionError:
            break  # nothing is told any more
        left = await to_tell()
    return left


async def _accounts(house: Rig, receiver: HttpSink, secret: str, figures: dict[str, Any], *, left: int) -> Found:
    async with house.database.read() as connection:
        rows = (
            await connection.execute(select(messages.c.id, *(at.label(event.value) for event, at in _SHOWN.items())))
        ).all()
    wanted = {
        event_id(row.id, event): (ids.show(Kind.MESSAGE, row.id), event.value)
        for row in rows
        for event in _SHOWN
        if row._mapping[event.value] is not None
    }
    arrived = Counter(each.headers["webhook-id"] for each in receiver.requests)
    faults = [f"{left} are still to be told"] if left else []
    untold = sorted(wanted.keys() - arrived.keys())
    faults += [f"{each} was never told, one of {len(untold)}" for each in untold[:3]]
    faults += [f"{each} was told, and never happened" for each in sorted(arrived.keys() - wanted.keys())[:3]]
    faults += _unlike(receiver.requests, secret, wanted)[:3]
    if len(wanted) < len(rows):
        faults.append(f"{len(wanted)} facts of {len(rows)} messages: nothing was tried out")
    shown = {"messages": len(rows), "facts": len(wanted), "twice": arrived.total() - len(arrived)}
    return Found(figures | shown, faults)


def _unlike(requests: Sequence[Request], secret: str, wanted: Mapping[str, tuple[str, str]]) -> list[str]:
    """What of all that came under one id is not the same, or not what the id says."""
    said: dict[str, set[bytes]] = defaultdict(set)
    unproved = []
    for request in requests:
        event = request.headers["webhook-id"]
        # Not by `verify`, which would find what came at the beginning of a long experiment too old by its end.
        at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
        if Webhook(secret).sign(event, at, request.body.decode()) not in request.headers["webhook-signature"].split():
            unproved.append(event)
        said[event].add(request.body)
    faults = [f"{each} came without our signature" for each in unproved]
    faults += [f"{each} came with other words" for each, bodies in said.items() if len(bodies) > 1]
    for each, bodies in said.items():
        body = json.loads(next(iter(bodies)))
        if each in wanted and (body["data"]["messageId"], body["type"]) != wanted[each]:
            faults.append(f"{each} tells of {body['type']}")
    return faults
