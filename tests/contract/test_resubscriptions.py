"""Readers who opt out and subscribe again: what they said last counts, whatever order it comes in and whoever waits."""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from itertools import permutations
from typing import Any, Final
from uuid import UUID

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from models.events import ParsedEvent
from models.ids import new_id
from models.session import Database
from models.store import arriving, contacts, erasing, opt_outs, preferences, releases, workspaces
from models.store.message_views import MessageRow
from models.store.preferences import Stop
from models.tables import resubscriptions, suppression_releases, suppressions
from models.vocabulary import BounceType, Channel, EventType
from tests.support.scene import Scene
from tests.support.waiting import wait_until

HOOK: Final = UUID(int=7)
UNSUBSCRIBED, RESUBSCRIBED = EventType.UNSUBSCRIBED, EventType.RESUBSCRIBED
DIGEST: Final = hashlib.md5(b"ann@example.org").digest()
_WAITING: Final = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


def event(kind: EventType, message: MessageRow, at: int, **fields: Any) -> ParsedEvent:
    """An event so many milliseconds after the message was queued."""
    return ParsedEvent(
        type=kind,
        provider_event=kind.value,
        dedupe=hashlib.sha256(str(new_id()).encode()).digest(),
        raw=b"{}",
        at=message.queued_at + at,
        message_ref=message.id,
        **fields,
    )


async def come_in(scene: Scene, *given: ParsedEvent) -> None:
    async with scene.database.write() as connection:
        await _take(connection, scene, *given)


async def _take(connection: AsyncConnection, scene: Scene, *given: ParsedEvent) -> None:
    await arriving.take_in(
        connection, workspace_id=scene.workspace_id, source_id=HOOK, provider="sendgrid", events_=given
    )


async def standing(scene: Scene) -> list[Any]:
    shown = suppressions.c.kind, suppressions.c.topic, suppressions.c.reason, suppressions.c.message_id
    async with scene.database.read() as connection:
        rows = await connection.execute(select(*shown, suppressions.c.said_at))
        return sorted(tuple(row) for row in rows)


@pytest.fixture
async def letters(scene: Scene) -> tuple[MessageRow, MessageRow]:
    """Two mails to one address about one topic, both made an hour ago."""
    contact = await scene.contact()
    first, second = (await scene.send(contact, topic="news"), await scene.send(contact, topic="news"))
    for each in (first, second):
        await scene.set(each.id, queued_at=first.queued_at - 3_600_000)
    return await scene.row(first.id), await scene.row(second.id)


@pytest.mark.parametrize("last", [UNSUBSCRIBED, RESUBSCRIBED])
@pytest.mark.parametrize("at_once", [False, True])
async def test_what_was_said_last_counts_in_whatever_order_it_comes(
    scene: Scene, letters: tuple[MessageRow, MessageRow], last: EventType, at_once: bool
) -> None:
    first, second = letters
    said = [(UNSUBSCRIBED, first, 1000), (RESUBSCRIBED, second, 2000), (UNSUBSCRIBED, second, 3000)]
    if last is RESUBSCRIBED:
        said.append((RESUBSCRIBED, first, 4000))
    ends = []
    for order in permutations(said):
        for portion in [order] if at_once else [[each] for each in order]:
            await come_in(scene, *(event(kind, message, at) for kind, message, at in portion))
        ends.append(await standing(scene))
        async with scene.database.write() as connection:
            for table in (suppressions, suppression_releases, resubscriptions):
                await connection.execute(table.delete())
    stands = [("opt_out", "news", "unsubscribed", second.id, second.queued_at + 3000)]
    assert ends == [stands if last is UNSUBSCRIBED else []] * len(ends)


async def test_at_the_same_time_the_opt_out_stands(scene: Scene, letters: tuple[MessageRow, MessageRow]) -> None:
    first, second = letters
    for kinds in ((UNSUBSCRIBED, RESUBSCRIBED), (RESUBSCRIBED, UNSUBSCRIBED)):
        for kind in kinds:
            await come_in(scene, event(kind, first, 1000))
        assert len(await standing(scene)) == 1
        first = second


async def test_a_new_subscription_lifts_its_own_topic_and_says_who_did(
    scene: Scene, letters: tuple[MessageRow, MessageRow]
) -> None:
    first, _ = letters
    other = await scene.send(await scene.contact(), topic="news")  # another contact at the same address
    offers = await scene.send(await scene.contact(), topic="offers")
    await come_in(scene, event(UNSUBSCRIBED, first, 1), event(UNSUBSCRIBED, offers, 1))
    await come_in(scene, event(RESUBSCRIBED, other, 1000))
    assert [topic for _, topic, *_ in await standing(scene)] == ["offers"]
    async with scene.database.read() as connection:
        (kept,), total = await releases.page(connection, scene.workspace_id, None, None, limit=9, offset=0)
    assert (total, kept.released_by, kept.topic, kept.reason) == (1, "provider", "news", "unsubscribed")


@pytest.mark.parametrize("kind", [EventType.BOUNCED, EventType.COMPLAINED])
async def test_no_subscription_revives_an_address_or_withdraws_a_complaint(
    scene: Scene, letters: tuple[MessageRow, MessageRow], kind: EventType
) -> None:
    first, second = letters
    hard = {"bounce_type": BounceType.HARD} if kind is EventType.BOUNCED else {}
    await come_in(scene, event(RESUBSCRIBED, second, 1000))
    await come_in(scene, event(kind, first, 1, **hard))
    await come_in(scene, event(RESUBSCRIBED, first, 2000))
    assert [each[:3] for each in await standing(scene)] == [("dead", "", kind.value)]


async def test_what_the_reader_says_to_us_counts_against_older_reports(
    scene: Scene, letters: tuple[MessageRow, MessageRow]
) -> None:
    first, second = letters
    await come_in(scene, event(UNSUBSCRIBED, first, 1))
    async with scene.database.write() as connection:
        offer = await opt_outs.find(connection, first.id)
        assert offer is not None
        # Opted out already, and said so again: by the button, and by the preferences.
        await preferences.change(
            connection,
            scene.workspace_id,
            {(Channel.EMAIL, "news"): False},
            {Channel.EMAIL: offer.address_digest},
            {Channel.EMAIL: offer.address},
            first.id,
        )
    await come_in(scene, event(RESUBSCRIBED, second, 1000))
    assert len(await standing(scene)) == 1
    # A provider whose clock is fast does not speak for what the reader says after it did.
    ahead = 3_600_000 + 240_000
    await come_in(scene, event(RESUBSCRIBED, second, ahead))
    assert await standing(scene) == []
    async with scene.database.read() as connection:
        kept = await connection.scalar(select(func.max(resubscriptions.c.said_at)))
    assert kept is not None
    assert kept < second.queued_at + ahead


async def test_an_erased_person_is_in_no_list_of_subscriptions(
    scene: Scene, letters: tuple[MessageRow, MessageRow]
) -> None:
    first, second = letters
    await come_in(scene, event(RESUBSCRIBED, first, 1))
    async with scene.database.write() as connection:
        contact = await contacts.get(connection, scene.workspace_id, first.contact_id)
        offer = await opt_outs.find(connection, first.id)
        assert contact is not None
        assert offer is not None
        own = [(Channel.EMAIL, offer.address_digest)]
        assert await erasing.erase(connection, scene.workspace_id, contact.id, lambda _: own)
        await erasing.wipe(connection, scene.workspace_id, contact.id, after=None, most=10)
    await come_in(scene, event(RESUBSCRIBED, second, 2))
    async with scene.database.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(resubscriptions)) == 0


# --- At the same moment, on PostgreSQL: on SQLite writers take turns


async def all_wait(database: Database, wanted: int) -> None:
    async def they_do() -> bool:
        async with database.read() as connection:
            return bool(await connection.scalar(text(_WAITING)) == wanted)

    await wait_until(they_do)


@pytest.mark.parametrize("first_kind", [UNSUBSCRIBED, RESUBSCRIBED])
async def test_reports_of_both_that_come_at_once_see_each_other(
    scene: Scene, letters: tuple[MessageRow, MessageRow], first_kind: EventType
) -> None:
    if scene.database.engine.dialect.name == "sqlite":
        return
    first, second = letters
    times = {UNSUBSCRIBED: 1000, RESUBSCRIBED: 2000}
    second_kind = RESUBSCRIBED if first_kind is UNSUBSCRIBED else UNSUBSCRIBED
    async with scene.database.engine.connect() as holder:
        await _take(holder, scene, event(first_kind, first, times[first_kind]))
        begun = asyncio.create_task(come_in(scene, event(second_kind, second, times[second_kind])))
        await all_wait(scene.database, 1)
        await holder.commit()
    await begun
    assert await standing(scene) == []


@pytest.fixture
async def owner(postgres_url: str) -> Any:
    database = Database.connect(postgres_url)
    try:
        async with database.write() as connection:
            workspace_id = (await workspaces.create(connection, "one")).id
        yield database, workspace_id
    finally:
        await database.close()


Change = Callable[..., Coroutine[Any, Any, None]]


def changing(database: Database, workspace_id: UUID) -> Change:
    async def change(**wanted: bool) -> None:
        wishes: dict[Stop, bool] = {(Channel.EMAIL, topic): subscribed for topic, subscribed in wanted.items()}
        async with database.write() as connection:
            await preferences.change(
                connection, workspace_id, wishes, {Channel.EMAIL: DIGEST}, {Channel.EMAIL: None}, new_id()
            )

    return change


async def test_opposite_wishes_at_the_same_moment_never_wait_in_a_circle(owner: tuple[Database, UUID]) -> None:
    """One stops ``a`` and lifts ``c``, the other lifts ``a`` and stops ``c``, while somebody holds ``b``."""
    database, workspace_id = owner
    change = changing(database, workspace_id)
    await change(a=False, b=False, c=False)
    key = (workspace_id, Channel.EMAIL.value, DIGEST, "opt_out", "b")
    async with database.engine.connect() as holder:
        await releases.stop_and_lift(holder, [], [releases.Lift(key)], by=releases.READER)
        begun = [
            asyncio.create_task(change(a=False, b=False, c=True)),
            asyncio.create_task(change(a=True, b=True, c=False)),
        ]
        await all_wait(database, 2)
        await holder.rollback()
    await asyncio.gather(*begun)


async def test_readers_who_forget_old_releases_at_the_same_moment_never_wait_in_a_circle(
    owner: tuple[Database, UUID],
) -> None:
    database, workspace_id = owner
    change = changing(database, workspace_id)
    await change(a=False, b=False, c=False)
    old = {"workspace_id": workspace_id, "channel": "EMAIL", "address_digest": DIGEST, "kind": "opt_out", "topic": "x"}
    old |= {"reason": "unsubscribed", "suppressed_at": 1, "released_by": "reader"}
    async with database.write() as connection:
        await connection.execute(
            insert(suppression_releases), [old | {"id": new_id(), "released_at": number} for number in range(150)]
        )
    key = (workspace_id, Channel.EMAIL.value, DIGEST, "opt_out", "b")
    async with database.engine.connect() as holder:
        await releases.stop_and_lift(holder, [], [releases.Lift(key)], by="somebody else")
        one = asyncio.create_task(change(a=True, b=True, c=True))
        await all_wait(database, 1)
        two = asyncio.create_task(change(c=True))
        await two  # has what the first one wants next, and waits for nothing that the first one has
        await holder.commit()
    await one
    async with database.read() as connection:
        kept = select(func.count()).where(suppression_releases.c.released_by == "reader")
        assert await connection.scalar(kept) == 100
