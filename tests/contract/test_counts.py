"""The counts are what counting gives, whatever is written and however many write at once; on both databases."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, insert, select, update

from models.ids import new_id
from models.session import Database
from models.store import campaign_numbers, campaigns, counts, message_views
from models.store.campaign_numbers import CampaignNumbers
from models.store.message_views import MessageFilter
from models.tables import campaign_count_changes, campaign_counts, message_count_changes, message_counts, messages
from models.vocabulary import Channel, Fact, State, Status
from tests.support.scene import Scene

CAMPAIGN = UUID(int=7)
WRITERS = 4
ROUNDS = 12
AT_ONCE = 20


async def test_an_empty_house_has_no_messages(scene: Scene) -> None:
    async with scene.database.read() as connection:
        assert await counts.total(connection, scene.workspace_id) == 0
        assert await counts.differences(connection) == []


async def test_each_filter_counts_its_own(scene: Scene) -> None:
    contact_id = await scene.contact(webhook_url="http://127.0.0.1:9/hook", webhook_secret="whsec_" + "a" * 32)
    async with scene.database.write() as connection:
        campaign_id = (await campaigns.create_campaign(connection, scene.workspace_id, "spring")).id
    sent = await scene.send(contact_id)
    held = await scene.send(contact_id)
    await scene.send(contact_id, channel=Channel.WEBHOOK)
    await scene.send(contact_id, campaign_id=campaign_id)
    await scene.set(sent.id, state=State.DONE.value, sent_at=1)
    await scene.set(held.id, state=State.HELD.value)
    await scene.set(held.id, state=State.HELD.value)

    async def number(**wanted: Any) -> int:
        async with scene.database.read() as connection:
            filter_ = MessageFilter(**wanted)
            listed = await message_views.list_page(connection, scene.workspace_id, filter_, limit=100)
            found = await message_views.count(connection, scene.workspace_id, filter_)
        assert found == len(listed)
        return found

    assert await number() == 4
    assert await number(channel=Channel.WEBHOOK) == 1
    assert await number(status=Status.SENT) == 1
    assert await number(status=Status.SENDING) == 1
    assert await number(held=True) == 1
    assert await number(held=False) == 3
    assert await number(campaign_id=campaign_id) == 1
    assert await number(campaign_id=campaign_id, status=Status.QUEUED) == 1
    assert await number(campaign_id=campaign_id, status=Status.SENT) == 0
    assert await number(campaign_id=new_id()) == 0
    assert await number(contact_id=contact_id, channel=Channel.EMAIL) == 3
    async with scene.database.read() as connection:
        assert await counts.by_status(connection, scene.workspace_id, campaign_id) == {Status.QUEUED: 1}
        assert await counts.total(connection, new_id()) == 0


async def test_writers_at_once_never_make_them_wrong(scene: Scene) -> None:
    """Every check reads counts, changes and rows in one snapshot, while others write and fold."""
    writing = asyncio.Event()

    async def check() -> int:
        checks = 0
        while not writing.is_set() or not checks:
            async with scene.database.read() as connection:
                assert await counts.differences(connection) == []
                assert await campaign_numbers.differences(connection) == []
                adding_up(await campaign_numbers.read(connection, scene.workspace_id, CAMPAIGN))
            checks += 1
        return checks

    async def fold() -> None:
        while not writing.is_set():
            await _fold(scene.database, most=7)

    around = [asyncio.create_task(each) for each in (check(), fold(), fold())]
    try:
        await asyncio.gather(*(_write(scene, random.Random(seed)) for seed in range(WRITERS)))
    finally:
        writing.set()
        await asyncio.gather(*around)
    while await _fold(scene.database, most=1000):
        pass
    await _check_the_end(scene)


async def _check_the_end(scene: Scene) -> None:
    async with scene.database.read() as connection:
        assert await counts.differences(connection) == []
        assert await campaign_numbers.differences(connection) == []
        rows = await connection.scalar(select(func.count()).select_from(messages))
        numbers = await campaign_numbers.read(connection, scene.workspace_id, CAMPAIGN)
        adding_up(numbers)
        assert numbers.total == await counts.total(connection, scene.workspace_id, campaign_id=CAMPAIGN)
        assert min(numbers.by_fact.values()) > 0
        assert not await connection.scalar(select(func.count()).select_from(campaign_count_changes))
        assert await counts.total(connection, scene.workspace_id) == rows
        assert rows
        assert not await connection.scalar(select(func.count()).select_from(message_count_changes))
        for table in (message_counts, campaign_counts):
            assert not await connection.scalar(select(func.count()).select_from(table).where(table.c.number < 0))
        assert not await connection.scalar(
            select(func.count()).select_from(message_counts).where(message_counts.c.number < 0)
        )


async def test_what_is_wrong_is_found_and_mended(scene: Scene) -> None:
    contact_id = await scene.contact()
    for _ in range(3):
        await scene.send(contact_id)
    await _fold(scene.database, most=1000)
    async with scene.database.write() as connection:
        await connection.execute(update(message_counts).values(number=message_counts.c.number + 5))
    async with scene.database.read() as connection:
        ((count, right),) = await counts.differences(connection)
    assert (count.status, count.channel, count.number, right) == (Status.QUEUED, Channel.EMAIL, 8, 3)
    assert (count.workspace_id, count.campaign_id, count.held) == (scene.workspace_id, counts.NO_CAMPAIGN, False)
    async with scene.database.write() as connection:
        await counts.rebuild(connection)
    async with scene.database.read() as connection:
        assert await counts.differences(connection) == []
        assert await counts.total(connection, scene.workspace_id) == 3


async def _fold(database: Database, *, most: int) -> int:
    async with database.write() as connection:
        return await counts.fold(connection, most)


async def _write(scene: Scene, luck: random.Random) -> None:
    """Insert, change and remove rows in statements of many, some of them rolled back."""
    mine: list[UUID] = []
    for _ in range(ROUNDS):
        new = [_row(scene, luck) for _ in range(AT_ONCE)]
        async with scene.database.write() as connection:
            await connection.execute(insert(messages), new)
        mine += [row["id"] for row in new]
        changed = luck.sample(mine, AT_ONCE // 2)
        try:
            async with scene.database.write() as connection:
                await connection.execute(update(messages).where(messages.c.id.in_(changed)).values(**_changes(luck)))
                if luck.random() < 0.2:
                    raise _Undone
        except _Undone:
            continue
        await _remove(scene, mine, luck.sample(mine, 2))


async def _remove(scene: Scene, mine: list[UUID], some: Sequence[UUID]) -> None:
    async with scene.database.write() as connection:
        await connection.execute(delete(messages).where(messages.c.id.in_(some)))
    for each in some:
        mine.remove(each)


def adding_up(numbers: CampaignNumbers) -> None:
    """Whatever is shown of a campaign adds up, and no part is more than its whole."""
    facts, by_status = numbers.by_fact, numbers.by_status
    assert sum(by_status.values()) == numbers.total
    assert sum(numbers.failed_by_reason.values()) == by_status[Status.FAILED]
    assert numbers.ended == numbers.reached + by_status[Status.BOUNCED] + by_status[Status.FAILED]
    assert min(*by_status.values(), *facts.values()) >= 0
    assert facts[Fact.CLICKED] <= facts[Fact.OPENED] <= facts[Fact.DELIVERED] <= facts[Fact.SENT] <= numbers.total
    for fact in (Fact.OPENED, Fact.CLICKED, Fact.UNSUBSCRIBED, Fact.COMPLAINED):
        assert facts[fact] <= numbers.reached
    assert facts[Fact.OPENED] >= by_status[Status.OPENED] + by_status[Status.CLICKED]


class _Undone(Exception):
    """The transaction is rolled back."""


def _row(scene: Scene, luck: random.Random) -> dict[str, Any]:
    return {
        "id": new_id(),
        "workspace_id": scene.workspace_id,
        "contact_id": new_id(),
        "campaign_id": luck.choice([None, CAMPAIGN, UUID(int=8)]),
        "channel": luck.choice([Channel.EMAIL, Channel.WEBHOOK]).value,
        "lane": "bulk",
        "state": State.QUEUED.value,
        "due_at": 0,
        "queued_at": 0,
    }


def _changes(luck: random.Random) -> dict[str, Any]:
    facts = {f"{fact.value}_at": luck.choice([None, 5]) for fact in luck.sample(list(Fact), 2)}
    reason = luck.choice([None, "expired", "policy"])
    return {"state": luck.choice(list(State)).value, "failure_reason": reason, **facts}


async def test_what_is_wrong_of_a_campaign_is_found_and_mended(scene: Scene) -> None:
    contact_id = await scene.contact()
    async with scene.database.write() as connection:
        campaign_id = (await campaigns.create_campaign(connection, scene.workspace_id, "spring")).id
    opened, failed = [await scene.send(contact_id, campaign_id=campaign_id) for _ in range(2)]
    await scene.set(opened.id, state=State.DONE.value, turn=None, clicked_at=5)
    await scene.set(failed.id, state=State.FAILED.value, turn=None, failure_reason="expired")
    await _fold(scene.database, most=1000)
    async with scene.database.write() as connection:
        await connection.execute(update(campaign_counts).values(number=campaign_counts.c.number + 5))
    async with scene.database.read() as connection:
        found = await campaign_numbers.differences(connection)
    measures = ["clicked", "delivered", "failed.expired", "opened", "sent"]
    assert sorted((each.measure, each.number, right) for each, right in found) == [(each, 6, 1) for each in measures]
    assert {each[:2] for each, _ in found} == {(scene.workspace_id, campaign_id)}
    async with scene.database.write() as connection:
        await counts.rebuild(connection)
        await campaign_numbers.rebuild(connection)
    async with scene.database.read() as connection:
        assert await campaign_numbers.differences(connection) == []
