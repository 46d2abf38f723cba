"""Inboxes in the store, on both databases: exactly once, in an order that nobody misses, and gone with their owner."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, event, func, select, update

from models.ids import new_id
from models.progress import InboxItem
from models.session import Database, now_ms
from models.store import applying, commands, erasing, events, inbox, message_views, outcomes
from models.store.inbox import Act, ItemRow, News
from models.store.inbox_deliveries import Delivery, Owner
from models.store.inbox_deliveries import deliver as put_in
from models.store.outcomes import Ended
from models.tables import events as events_table
from models.tables import inbox_items, inboxes, workspaces
from models.vocabulary import Channel, EventType, FailureReason, Outcome, State, Status
from tests.support.inboxes import claim, deliver, record, send
from tests.support.scene import Scene


async def items(scene: Scene, contact: UUID, *, archived: bool = False, **page: Any) -> list[ItemRow]:
    async with scene.database.read() as connection:
        return await inbox.page(
            connection, contact, archived=archived, before=page.get("before"), limit=page.get("limit", 200)
        )


async def look(database: Database, seen: Mapping[UUID, int], most: int = 100) -> Mapping[UUID, News]:
    async with database.read() as connection:
        return (await inbox.look(connection, seen, most=most)).news


async def act(scene: Scene, contact: UUID, message: UUID, what: Act) -> ItemRow | None:
    async with scene.database.write() as connection:
        return await inbox.act(connection, scene.workspace_id, contact, message, what)


async def unread(scene: Scene, contact: UUID) -> int:
    async with scene.database.read() as connection:
        return (await inbox.summary(connection, contact)).unread


async def track(database: Database) -> None:
    """Apply what waits, as the tracker does."""
    async with database.write() as connection:
        raw = await events.take(connection, 500)
        await applying.apply(connection, raw, await events.match(connection, raw))


async def onsite(scene: Scene, contact: UUID, **fields: Any) -> UUID:
    return (await scene.send(contact, channel=Channel.ONSITE, **fields)).id


# --- Exactly once


async def test_recording_puts_the_item_into_the_inbox_and_the_message_is_delivered(scene: Scene) -> None:
    contact = await scene.contact()
    message = await onsite(
        scene,
        contact,
        body="<p>Hello <b>{{firstName}}</b><script>alert(1)</script></p>",
        format="html",
        options={"url": "https://www.example.org/a", "icon": "https://www.example.org/i.png"},
        metadata={"category": "orders"},
    )
    await deliver(scene.database)
    row = await scene.row(message)
    assert row.status is Status.DELIVERED
    assert row.sent_at is not None
    assert row.delivered_at is not None
    (item,) = await items(scene, contact)
    assert (item.message_id, item.subject, item.body) == (message, "Hello Ann", "<p>Hello <b>Ann</b></p>")
    assert (item.is_html, item.metadata, item.read_at) == (True, {"category": "orders"}, None)
    assert (item.url, item.icon) == ("https://www.example.org/a", "https://www.example.org/i.png")


async def test_a_chunk_that_is_recorded_again_changes_nothing(scene: Scene) -> None:
    contact = await scene.contact()
    for _ in range(3):
        await onsite(scene, contact)
    ended = await deliver(scene.database)
    before = await items(scene, contact)
    for _ in range(3):
        await record(scene.database, *ended)
    await record(scene.database, *ended[:1], *ended)
    assert await items(scene, contact) == before
    assert len(before) == 3


async def test_a_success_under_a_stale_token_is_in_the_inbox_and_no_second_one_follows(scene: Scene) -> None:
    contact = await scene.contact()
    message = await onsite(scene, contact)
    (first,) = await send(scene.database, await claim(scene.database))
    # The keeper takes the message from a worker that it declares dead.
    await scene.set(message, state=State.QUEUED.value, turn=1, token=first.token + 1, worker_id=None)
    await record(scene.database, first)
    assert await claim(scene.database) == []
    assert [item.message_id for item in await items(scene, contact)] == [message]
    assert (await scene.row(message)).status is Status.DELIVERED


async def test_two_workers_that_both_sent_it_make_one_item(scene: Scene) -> None:
    contact = await scene.contact()
    message = await onsite(scene, contact)
    (first,) = await send(scene.database, await claim(scene.database))
    await scene.set(message, state=State.QUEUED.value, turn=1, token=first.token + 1, worker_id=None)
    (second,) = await send(scene.database, await claim(scene.database))
    assert second.token > first.token
    await asyncio.gather(*(record(scene.database, each) for each in (second, first, second, first)))
    assert len(await items(scene, contact)) == 1


async def test_what_a_former_run_made_is_not_in_the_inbox(scene: Scene) -> None:
    contact = await scene.contact()
    message = await onsite(scene, contact)
    (old,) = await send(scene.database, await claim(scene.database))
    await scene.set(message, state=State.QUEUED.value, turn=1, token=old.token + 1, run=2, worker_id=None)
    await record(scene.database, old)
    assert await items(scene, contact) == []
    await deliver(scene.database)
    assert [item.run for item in await items(scene, contact)] == [2]


async def test_five_hundred_recordings_are_a_few_statements(scene: Scene) -> None:
    people = [await scene.contact() for _ in range(25)]
    for _ in range(20):
        await asyncio.gather(*(onsite(scene, each) for each in people))
    ended = await send(scene.database, [each for _ in range(3) for each in await claim(scene.database)])
    assert len(ended) == 500
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(scene.database.engine.sync_engine, "before_cursor_execute", note)
    await record(scene.database, *ended)
    event.remove(scene.database.engine.sync_engine, "before_cursor_execute", note)
    assert len(statements) < 15
    for each in people:
        found = await items(scene, each)
        assert [item.change for item in found] == list(range(20, 0, -1))
        assert [item.message_id for item in found] == sorted((item.message_id for item in found), reverse=True)


# --- The order of changes


def delivery(contact: UUID, message: UUID) -> Delivery:
    return Delivery(message, 1, Owner(contact, None), InboxItem("S", "B", False))


async def test_an_older_message_that_comes_later_is_not_skipped(scene: Scene) -> None:
    contact = await scene.contact()
    older, newer = await onsite(scene, contact), await onsite(scene, contact)
    ended = {each.message_id: each for each in await send(scene.database, await claim(scene.database))}
    await record(scene.database, ended[newer])
    first = (await look(scene.database, {contact: 0}))[contact]
    assert [item.message_id for item in first.items] == [newer]
    await record(scene.database, ended[older])
    second = (await look(scene.database, {contact: first.cursor}))[contact]
    assert [item.message_id for item in second.items] == [older]
    assert [item.message_id for item in await items(scene, contact)] == [older, newer]


async def test_whoever_commits_later_has_the_higher_number(scene: Scene) -> None:
    contact = await scene.contact()
    first, second = await onsite(scene, contact), await onsite(scene, contact)
    begun = asyncio.Event()

    async def other() -> None:
        begun.set()
        async with scene.database.write() as connection:
            await put_in(connection, [delivery(contact, first)])

    async with scene.database.write() as connection:
        await put_in(connection, [delivery(contact, second)])
        waiting = asyncio.create_task(other())
        await begun.wait()
        # Whatever the other does meanwhile, nothing is to be seen before this one is.
        assert await look(scene.database, {contact: 0}) == {}
        assert not waiting.done()
    await waiting
    news = (await look(scene.database, {contact: 0}))[contact]
    assert [(item.message_id, item.change) for item in news.items] == [(second, 1), (first, 2)]
    assert news.cursor == 2


class _Reading:
    """Reads on, a few items at a time, until nothing is new after ``writing`` ended."""

    def __init__(self, database: Database, people: Sequence[UUID]) -> None:
        self.writing = True
        self.seen: dict[UUID, int] = dict.fromkeys(people, 0)
        self.arrived: dict[UUID, ItemRow] = {}
        self._database = database

    async def run(self) -> None:
        done = False
        while not done:
            over = not self.writing
            news = await look(self._database, self.seen, most=7)
            for contact, each in news.items():
                assert each.cursor > self.seen[contact]
                self.seen[contact] = each.cursor
                self.arrived.update({item.message_id: item for item in each.items})
            done = over and not news


async def _write(scene: Scene, ended: Sequence[Ended], owners: Mapping[UUID, UUID]) -> None:
    for start in range(0, len(ended), 5):
        await record(scene.database, *ended[start : start + 5])
        for each in ended[start : start + 5 : 2]:
            await act(scene, owners[each.message_id], each.message_id, Act.READ)


async def test_no_reader_misses_a_change_while_many_write(scene: Scene) -> None:
    people = [await scene.contact() for _ in range(4)]
    owners = {await onsite(scene, each): each for _ in range(30) for each in people}
    ended = await send(scene.database, await claim(scene.database))
    assert len(ended) == len(owners)
    reader = _Reading(scene.database, people)
    reading = asyncio.create_task(reader.run())
    # Each writer meets the contacts in another order, and old messages come last.
    await asyncio.gather(*(_write(scene, ended[number::4][::-1], owners) for number in range(4)))
    reader.writing = False
    await reading
    assert set(reader.arrived) == set(owners)
    for contact in people:
        found = await items(scene, contact)
        assert [reader.arrived[item.message_id] for item in found] == found
        assert reader.seen[contact] == max(item.change for item in found)


async def test_a_long_absence_is_made_up_in_pages(scene: Scene) -> None:
    ann, bob = sorted([await scene.contact(), await scene.contact()])
    for _ in range(15):
        await onsite(scene, ann)
        await onsite(scene, bob)
    await deliver(scene.database)
    seen, found = {ann: 0, bob: 5}, list[UUID]()
    while news := await look(scene.database, seen, most=4):
        assert sum(len(each.items) for each in news.values()) <= 4
        found += [item.message_id for each in news.values() for item in each.items]
        seen |= {contact: each.cursor for contact, each in news.items()}
    assert len(found) == len(set(found)) == 15 + 10
    assert seen == {ann: 15, bob: 15}


async def test_a_long_inbox_takes_no_more_than_its_share(scene: Scene) -> None:
    long, *others = sorted([await scene.contact() for _ in range(3)])
    for contact, number in ((long, 12), (others[0], 1), (others[1], 2)):
        for _ in range(number):
            await onsite(scene, contact)
    await deliver(scene.database)
    async with scene.database.read() as connection:
        found = await inbox.look(connection, {long: 0, others[0]: 0, others[1]: 0}, most=9)
        alone = await inbox.look(connection, {long: 0, others[0]: 1, others[1]: 2}, most=12)
        rest = await inbox.look(connection, {long: 3}, most=10)
    told = {contact: ([item.change for item in each.items], each.cursor) for contact, each in found.news.items()}
    assert told == {long: ([1, 2, 3], 3), others[0]: ([1], 1), others[1]: ([1, 2], 2)}
    assert found.news[long].unread == 12
    assert found.left_out == 0
    assert [each.is_whole for each in found.news.values()] == [False, True, True]
    assert [item.change for item in alone.news[long].items] == list(range(1, 13))
    assert [item.change for item in rest.news[long].items] == list(range(4, 13))
    assert rest.news[long].is_whole


async def test_too_many_for_one_look_take_turns(scene: Scene) -> None:
    people = sorted([await scene.contact() for _ in range(5)])
    for contact in people:
        await onsite(scene, contact)
    await deliver(scene.database)
    served: list[list[UUID]] = []
    last = None
    for _ in range(4):
        async with scene.database.read() as connection:
            found = await inbox.look(connection, dict.fromkeys(people, 0), most=2, behind=last)
        assert found.left_out == 3
        served.append(list(found.news))
        last = found.last
    assert served == [people[:2], people[2:4], [people[4], people[0]], people[1:3]]


# --- Reading


async def test_an_item_that_changes_meanwhile_is_exported_once(scene: Scene) -> None:
    contact = await scene.contact()
    sent = [await onsite(scene, contact) for _ in range(5)]
    await deliver(scene.database)
    found: list[UUID] = []
    after = 0
    for _ in range(3):
        async with scene.database.read() as connection:
            rows = await inbox.everything(connection, contact, after=after, most=2)
        found += [row.message_id for row in rows]
        after = rows[-1].number
        await act(scene, contact, found[0], (Act.READ, Act.CLICK, Act.ARCHIVE)[len(found) // 2 - 1])
    assert found == sent


async def test_pages_follow_the_anchor_while_new_items_come(scene: Scene) -> None:
    contact = await scene.contact()
    sent = [await onsite(scene, contact) for _ in range(7)]
    await deliver(scene.database)
    first = await items(scene, contact, limit=3)
    await onsite(scene, contact)
    await deliver(scene.database)
    second = await items(scene, contact, before=first[-1].message_id, limit=3)
    third = await items(scene, contact, before=second[-1].message_id, limit=3)
    assert [item.message_id for item in [*first, *second, *third]] == sent[::-1]
    assert await items(scene, contact, before=new_id()) == []


async def test_what_the_owner_does_counts_once(scene: Scene) -> None:
    contact = await scene.contact()
    read, clicked, archived = [await onsite(scene, contact) for _ in range(3)]
    await deliver(scene.database)
    assert await unread(scene, contact) == 3
    for message, what, left in ((read, Act.READ, 2), (clicked, Act.CLICK, 1), (archived, Act.ARCHIVE, 0)):
        first = await act(scene, contact, message, what)
        again = await act(scene, contact, message, what)
        assert first is not None
        assert again == first
        assert await unread(scene, contact) == left
    assert [item.message_id for item in await items(scene, contact)] == [clicked, read]
    assert [item.message_id for item in await items(scene, contact, archived=True)] == [archived]
    news = (await look(scene.database, {contact: 3}))[contact]
    assert [(item.message_id, item.change) for item in news.items] == [(read, 4), (clicked, 5), (archived, 6)]

    await track(scene.database)
    assert [(await scene.row(each)).status for each in (read, clicked, archived)] == [
        Status.OPENED,
        Status.CLICKED,
        Status.DELIVERED,
    ]
    async with scene.database.read() as connection:
        told = await connection.execute(select(events_table.c.message_id, events_table.c.type))
    assert sorted((row.message_id, row.type) for row in told) == sorted(
        [(read, "opened"), (clicked, "opened"), (clicked, "clicked")]
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"track_opens": False}, [EventType.CLICKED]),
        ({"track_clicks": False}, [EventType.OPENED]),
        ({"essential": True}, []),
    ],
)
async def test_what_may_not_be_tracked_is_read_all_the_same(
    scene: Scene, fields: dict[str, bool], expected: list[EventType]
) -> None:
    contact = await scene.contact()
    message = await onsite(scene, contact, **fields)
    await deliver(scene.database)
    item = await act(scene, contact, message, Act.CLICK)
    assert item is not None
    assert item.read_at is not None
    assert item.clicked_at is not None
    async with scene.database.read() as connection:
        assert list(await connection.scalars(select(events_table.c.type))) == expected


async def test_what_has_expired_is_hidden(scene: Scene) -> None:
    contact = await scene.contact()
    message, other = await onsite(scene, contact), await onsite(scene, contact)
    await deliver(scene.database)
    async with scene.database.write() as connection:
        await connection.execute(
            update(inbox_items).where(inbox_items.c.message_id == message).values(expires_at=now_ms() - 1)
        )
    assert [item.message_id for item in await items(scene, contact)] == [other]
    assert await unread(scene, contact) == 1
    assert await act(scene, contact, message, Act.READ) is None
    news = (await look(scene.database, {contact: 0}))[contact]
    assert ([item.message_id for item in news.items], news.cursor) == ([other], 2)


async def test_an_items_end_is_its_messages(scene: Scene) -> None:
    contact = await scene.contact()
    ends_at = 4_102_444_800_000
    await onsite(scene, contact, expires_at=ends_at)
    await deliver(scene.database)
    assert [item.expires_at for item in await items(scene, contact)] == [ends_at]


async def test_nobody_acts_in_another_inbox(scene: Scene) -> None:
    ann, bob = await scene.contact(), await scene.contact()
    hers = await onsite(scene, ann)
    await onsite(scene, bob)
    await deliver(scene.database)
    before = await items(scene, ann)
    for what in Act:
        assert await act(scene, bob, hers, what) is None
        assert await act(scene, new_id(), hers, what) is None
    assert await items(scene, ann) == before


# --- And the end


async def counted(scene: Scene) -> tuple[int, int]:
    async with scene.database.read() as connection:
        found = [await connection.scalar(select(func.count()).select_from(table)) for table in (inboxes, inbox_items)]
    return int(found[0] or 0), int(found[1] or 0)


async def erase(scene: Scene, contact: UUID) -> None:
    async with scene.database.write() as connection:
        assert await erasing.erase(connection, scene.workspace_id, contact, lambda _: [])


async def test_an_erased_persons_inbox_is_gone_and_others_stay(scene: Scene) -> None:
    ann, bob = await scene.contact(), await scene.contact()
    for each in (ann, ann, bob):
        await onsite(scene, each)
    await deliver(scene.database)
    await erase(scene, ann)
    assert await counted(scene) == (1, 1)
    assert len(await items(scene, bob)) == 1
    async with scene.database.read() as connection:
        assert await inbox.workspace_of(connection, ann) is None
        found = await inbox.look(connection, {ann: 9, bob: 1}, most=9)
        assert (found.news, found.gone, found.left_out) == ({}, {ann}, 0)


async def test_what_was_under_way_to_an_erased_person_failed_and_is_not_stored(scene: Scene) -> None:
    contact = await scene.contact()
    message = await onsite(scene, contact)
    ended = await send(scene.database, await claim(scene.database))
    await erase(scene, contact)
    await record(scene.database, *ended)
    await record(scene.database, *ended)
    row = await scene.row(message)
    assert (row.status, row.failure_reason) == (Status.FAILED, FailureReason.ERASED)
    assert row.sent_at is None
    async with scene.database.read() as connection:
        (attempt,) = await message_views.attempts_of(connection, scene.workspace_id, message)
    assert (attempt.outcome, attempt.detail) == (Outcome.PERMANENT, None)
    assert await counted(scene) == (0, 0)


async def test_an_erasure_waits_for_the_recording_that_was_first(scene: Scene) -> None:
    contact = await scene.contact()
    await onsite(scene, contact)
    ended = await send(scene.database, await claim(scene.database))
    begun = asyncio.Event()

    async def erase_meanwhile() -> None:
        begun.set()
        await erase(scene, contact)

    async with scene.database.write() as connection:
        await outcomes.record(connection, ended)
        erasing_ = asyncio.create_task(erase_meanwhile())
        await begun.wait()
        assert not erasing_.done()
    await erasing_
    assert await counted(scene) == (0, 0)


async def test_inboxes_go_with_their_workspace(scene: Scene) -> None:
    await onsite(scene, await scene.contact())
    await deliver(scene.database)
    assert await counted(scene) == (1, 1)
    async with scene.database.write() as connection:
        await connection.execute(delete(workspaces).where(workspaces.c.id == scene.workspace_id))
    assert await counted(scene) == (0, 0)


async def test_a_message_that_was_called_back_is_not_in_the_inbox(scene: Scene) -> None:
    contact = await scene.contact()
    message = await onsite(scene, contact)
    async with scene.database.write() as connection:
        await commands.cancel(connection, scene.workspace_id, message)
    await deliver(scene.database)
    assert await counted(scene) == (0, 0)
    assert (await scene.row(message)).failure_reason is FailureReason.CANCELLED
