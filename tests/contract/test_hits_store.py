"""Requests for links of ours, on both databases: kept at once, judged once they have settled, whatever their order."""

import hashlib
import random
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from sqlalchemy import select, update

from models import hits
from models.events import ParsedEvent
from models.evidence import HitSignal, Provider
from models.hits import Seen
from models.store import events, message_views
from models.store.message_views import MessageRow
from models.tables import attempts
from models.tables import events as events_table
from models.vocabulary import EventType, Fact, Status
from tests.support.readers import settle
from tests.support.scene import Scene
from tests.support.taken import take
from worker.keeper import Keeper
from worker.tracker import Tracker

TYPES = {hits.OPEN: EventType.OPENED, hits.CLICK: EventType.CLICKED}


class Asked(NamedTuple):
    """A request for a link; ``after``: milliseconds since the message was sent."""

    after: int
    link: int | None = 0
    signals: tuple[HitSignal, ...] = ()


async def sent(scene: Scene) -> MessageRow:
    """A message that a peer accepted when it was made."""
    message = await scene.send(await scene.contact())
    await take(scene)
    async with scene.database.write() as connection:
        ours = attempts.c.message_id == message.id
        await connection.execute(update(attempts).where(ours).values(ended_at=message.queued_at))
    return message


def event(message: MessageRow, asked: Asked) -> ParsedEvent:
    what = hits.OPEN if asked.link is None else hits.CLICK
    seen = Seen(asked.link, asked.signals)
    verdict = hits.verdict_of(seen)
    return ParsedEvent(
        type=TYPES[what],
        provider_event=what,
        dedupe=hashlib.sha256(f"{message.id}{asked}".encode()).digest(),
        raw=hits.keep(seen),
        at=message.queued_at + asked.after,
        message_ref=message.id,
        run=1,
        reason=verdict.reason,
        machine=verdict.machine,
        settles=True,
    )


async def ask(scene: Scene, message: MessageRow, asked: Sequence[Asked]) -> None:
    async with scene.database.write() as connection:
        await events.insert(
            connection,
            workspace_id=scene.workspace_id,
            source_id=scene.workspace_id,
            provider=Provider.WIREROOM.value,
            events_=[event(message, each) for each in asked],
        )


async def shown(scene: Scene, message: MessageRow) -> list[tuple[str, int, bool, str | None]]:
    async with scene.database.read() as connection:
        found = await message_views.events_of(connection, scene.workspace_id, message.id)
    return sorted((each.type.value, each.at - message.queued_at, each.machine, each.reason) for each in found)


async def facts(scene: Scene, message: MessageRow) -> dict[str, int]:
    row = await scene.row(message.id)
    wanted = (Fact.OPENED, Fact.CLICKED, Fact.MACHINE_OPENED, Fact.MACHINE_CLICKED)
    found = {fact.value: row.facts[fact] for fact in wanted}
    return {name: at - message.queued_at for name, at in found.items() if at is not None}


async def test_nothing_is_said_before_it_has_settled(scene: Scene) -> None:
    message = await sent(scene)
    await ask(scene, message, [Asked(60_000)])
    await Tracker(scene.database).pull()
    assert (await scene.row(message.id)).status is Status.SENT
    assert await shown(scene, message) == []
    await settle(scene.database)
    assert (await scene.row(message.id)).status is Status.CLICKED
    assert await shown(scene, message) == [("clicked", 60_000, False, None)]


async def test_it_settles_by_the_databases_clock_ten_seconds_after_it_came(scene: Scene) -> None:
    message = await sent(scene)
    await ask(scene, message, [Asked(60_000)])
    async with scene.database.read() as connection:
        row = (await connection.execute(select(events_table.c.received_at, events_table.c.retry_at))).one()
    assert row.retry_at - row.received_at == 10_000


async def test_the_keeper_offers_what_has_settled_and_no_more(scene: Scene) -> None:
    message = await sent(scene)
    await ask(scene, message, [Asked(60_000 + number, number) for number in range(4)])
    async with scene.database.write() as connection:
        late = events_table.c.at >= message.queued_at + 60_003
        await connection.execute(
            update(events_table).where(~late).values(retry_at=events_table.c.retry_at - hits.SETTLES_MS)
        )
    await Keeper(scene.database, scene.wakeups).offer()
    await Tracker(scene.database).pull()
    assert [after for _, after, *_ in await shown(scene, message)] == [60_000, 60_001, 60_002]


async def test_programs_are_counted_apart_and_move_no_status(scene: Scene) -> None:
    message = await sent(scene)
    await ask(scene, message, [Asked(60_000, 0, (HitSignal.SCANNER,)), Asked(61_000, None, (HitSignal.PREFETCH,))])
    await settle(scene.database)
    assert (await scene.row(message.id)).status is Status.SENT
    assert await facts(scene, message) == {"machine_clicked": 60_000, "machine_opened": 61_000}
    await ask(scene, message, [Asked(120_000)])
    await settle(scene.database)
    assert (await scene.row(message.id)).status is Status.CLICKED


async def test_what_was_judged_before_is_seen_beside_what_comes_later(scene: Scene) -> None:
    """Two links that settled alone, and a third that came within the two seconds but was taken up later."""
    message = await sent(scene)
    await ask(scene, message, [Asked(60_000, 0), Asked(60_900, 1), Asked(61_500, 2)])
    tracker = Tracker(scene.database)
    async with scene.database.write() as connection:
        third = events_table.c.at == message.queued_at + 61_500
        await connection.execute(update(events_table).where(~third).values(retry_at=None))
    await tracker.pull()
    await settle(scene.database)
    assert await facts(scene, message) == {"machine_clicked": 60_000}
    assert {reason for *_, reason in await shown(scene, message)} == {"burst"}


HISTORIES = [
    [Asked(500, None), Asked(600, 0), Asked(60_000, None), Asked(61_000, 1)],
    [Asked(3_000, 0), Asked(3_100, 1), Asked(3_200, 2), Asked(3_300, None), Asked(30_000, 0)],
    [Asked(5_000, 0, (HitSignal.NO_LANGUAGE,)), Asked(5_100, None, (HitSignal.PROXY,)), Asked(70_000, 0)],
    [Asked(1_900 * number, number % 4) for number in range(12)],
]


@pytest.mark.parametrize("asked", HISTORIES)
async def test_any_order_and_repetition_gives_one_result(scene: Scene, asked: list[Asked]) -> None:
    results: list[Any] = []
    for seed in range(5):
        chance = random.Random(seed)
        message = await sent(scene)
        rest = chance.sample(asked * 2, 2 * len(asked))
        while rest:
            few = chance.randint(1, 4)
            await ask(scene, message, rest[:few])
            rest = rest[few:]
        # Applied a few at a time, and in an order of their own.
        async with scene.database.read() as connection:
            ids = list(
                await connection.scalars(select(events_table.c.id).where(events_table.c.message_id == message.id))
            )
        for event_id in chance.sample(ids, len(ids)):
            async with scene.database.write() as connection:
                await connection.execute(
                    update(events_table).where(events_table.c.id == event_id).values(retry_at=None)
                )
            if chance.random() < 0.7:
                await Tracker(scene.database).pull()
        await Tracker(scene.database).pull()
        results.append((await facts(scene, message), await shown(scene, message), (await scene.row(message.id)).status))
    assert results[1:] == results[:-1]
    assert len(results[0][1]) == len(asked)


async def test_another_messages_links_are_not_counted_together(scene: Scene) -> None:
    one, other = await sent(scene), await sent(scene)
    await ask(scene, one, [Asked(60_000, 0), Asked(60_100, 1)])
    await ask(scene, other, [Asked(60_000, 2), Asked(60_100, 3)])
    await settle(scene.database)
    assert [(await scene.row(each.id)).status for each in (one, other)] == [Status.CLICKED] * 2


@pytest.mark.parametrize("machine", [False, True])
async def test_of_one_who_was_erased_meanwhile_it_is_what_it_was_taken_for(scene: Scene, machine: bool) -> None:
    message = await sent(scene)
    await ask(scene, message, [Asked(60_000, 0, (HitSignal.SCANNER,) * machine)])
    async with scene.database.write() as connection:
        await connection.execute(update(events_table).values(raw=b"", reason=None))
    await settle(scene.database)
    assert (await scene.row(message.id)).status is (Status.SENT if machine else Status.CLICKED)


async def test_a_hit_on_what_is_gone_belongs_to_nothing(scene: Scene) -> None:
    message = await sent(scene)
    gone = MessageRow(**{name: getattr(message, name) for name in message.__struct_fields__} | {"id": UUID(int=5)})
    await ask(scene, gone, [Asked(60_000)])
    await settle(scene.database)
    async with scene.database.read() as connection:
        row = (await connection.execute(select(events_table.c.message_id, events_table.c.applied_at))).one()
    assert tuple(row) == (None, None)
