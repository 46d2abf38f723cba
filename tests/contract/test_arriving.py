"""Events that are applied as they come in, on both databases: once, and as the tracker would."""

import hashlib
from typing import Any, Final
from uuid import UUID

import pytest
from sqlalchemy import func, select

from models.events import ParsedEvent
from models.ids import new_id
from models.store import arriving, commands
from models.store.arriving import Arrived
from models.tables import events, messages, suppressions
from models.vocabulary import BounceType, EventType, State, Status
from tests.support.scene import Scene
from tests.support.taken import take
from worker.tracker import Tracker

HOOK: Final = UUID(int=7)


def event(kind: EventType, message_id: UUID | None, name: str | None = None, **fields: Any) -> ParsedEvent:
    """An event of its own, unless ``name`` says that it is a repetition."""
    dedupe = hashlib.sha256((name or str(new_id())).encode()).digest()
    given = {"provider_event": kind.value, "dedupe": dedupe, "raw": b"{}", "at": None, "message_ref": message_id}
    return ParsedEvent(**({"type": kind} | given | fields))


async def come_in(scene: Scene, *given: ParsedEvent, workspace_id: UUID | None = None) -> Arrived:
    async with scene.database.write() as connection:
        return await arriving.take_in(
            connection,
            workspace_id=workspace_id or scene.workspace_id,
            source_id=HOOK,
            provider="generic",
            events_=given,
        )


async def rows(scene: Scene) -> list[Any]:
    async with scene.database.read() as connection:
        return list(await connection.execute(select(events).order_by(events.c.id)))


async def test_what_is_known_is_applied_at_once_and_written_once(scene: Scene) -> None:
    message = await scene.send(await scene.contact())
    bounce = event(EventType.BOUNCED, message.id, bounce_type=BounceType.HARD)
    assert await come_in(scene, bounce, event(EventType.DELIVERED, message.id)) == Arrived(2, 0)
    row = await scene.row(message.id)
    assert (row.status, row.state) == (Status.BOUNCED, State.DONE)
    for stored in await rows(scene):
        assert (stored.message_id, stored.run, stored.retry_at) == (message.id, 1, None)
        assert stored.applied_at == stored.received_at
    async with scene.database.read() as connection:
        assert list(await connection.scalars(select(suppressions.c.message_id))) == [message.id]


async def test_what_is_not_known_is_left_to_the_tracker(scene: Scene) -> None:
    message = await scene.send(await scene.contact())
    elsewhere = await scene.workspace()
    assert await come_in(scene, event(EventType.OPENED, message.id), workspace_id=elsewhere) == Arrived(1, 1)
    assert await come_in(scene, event(EventType.OPENED, None, provider_ref="x")) == Arrived(1, 1)
    assert (await scene.row(message.id)).status is Status.QUEUED
    assert [(stored.message_id, stored.applied_at) for stored in await rows(scene)] == [(None, None)] * 2
    await Tracker(scene.database).pull()
    assert [stored.retry_at is not None for stored in await rows(scene)] == [True] * 2


async def test_others_are_let_in_once_the_events_are_stored_and_before_their_facts_are_written(scene: Scene) -> None:
    message = await scene.send(await scene.contact())
    seen: list[tuple[int, str | None]] = []
    async with scene.database.write() as connection:

        async def look() -> None:
            count = await connection.scalar(select(func.count()).select_from(events))
            status = await connection.scalar(select(messages.c.status).where(messages.c.id == message.id))
            seen.append((count or 0, status))

        opened = event(EventType.OPENED, message.id)
        about: dict[str, Any] = {"workspace_id": scene.workspace_id, "source_id": HOOK, "provider": "generic"}
        await arriving.take_in(connection, **about, events_=[opened], once_stored=look)
    assert seen == [(1, Status.QUEUED)]
    assert (await scene.row(message.id)).status is Status.OPENED


async def test_of_repetitions_and_new_ones_the_new_ones_count(scene: Scene) -> None:
    first, second = [await scene.send(await scene.contact()) for _ in range(2)]
    opened = event(EventType.OPENED, first.id, name="one")
    assert await come_in(scene, opened, opened) == Arrived(1, 0)
    assert await come_in(scene, opened, event(EventType.CLICKED, second.id)) == Arrived(1, 0)
    assert await come_in(scene, opened) == Arrived(0, 0)
    assert [(await scene.row(each.id)).status for each in (first, second)] == [Status.OPENED, Status.CLICKED]
    assert len(await rows(scene)) == 2


async def test_a_repetition_proves_nothing_of_a_later_run(scene: Scene) -> None:
    message = await scene.send(await scene.contact())
    await take(scene)
    deferred = event(EventType.BOUNCED, message.id, name="one", bounce_type=BounceType.SOFT)
    await come_in(scene, deferred)
    async with scene.database.write() as connection:
        await commands.retry(connection, scene.workspace_id, message.id)
    await take(scene)
    before = await scene.row(message.id)
    assert await come_in(scene, deferred) == Arrived(0, 0)
    assert await scene.row(message.id) == before
    assert [stored.run for stored in await rows(scene)] == [1]


async def test_times_lie_between_the_making_of_the_message_and_five_minutes_from_now(scene: Scene) -> None:
    message = await scene.send(await scene.contact())
    made_at = await scene.column(message.id, "queued_at")
    await come_in(scene, event(EventType.OPENED, message.id, at=1), event(EventType.CLICKED, message.id, at=2**52))
    opened, clicked = sorted(await rows(scene), key=lambda stored: stored.type == "clicked")
    assert opened.at == made_at
    assert clicked.at == clicked.received_at + 300_000
    assert await scene.column(message.id, "opened_at") == made_at
    assert await scene.column(message.id, "clicked_at") == clicked.at


@pytest.mark.parametrize("complaint_first", [True, False])
async def test_a_suppression_names_the_same_report_whichever_came_first(scene: Scene, complaint_first: bool) -> None:
    contact = await scene.contact()
    older, newer, newest = [(await scene.send(contact)).id for _ in range(3)]
    bounces = [event(EventType.BOUNCED, each, bounce_type=BounceType.HARD) for each in (newer, older)]
    reports = [event(EventType.COMPLAINED, newest), *bounces]
    for each in reports if complaint_first else reversed(reports):
        await come_in(scene, each)
    async with scene.database.read() as connection:
        (found,) = await connection.execute(select(suppressions.c.reason, suppressions.c.message_id))
    assert tuple(found) == ("complained", newest)


async def test_of_bounces_it_names_that_of_the_oldest_message(scene: Scene) -> None:
    contact = await scene.contact()
    older, newer = [(await scene.send(contact)).id for _ in range(2)]
    for each in (newer, older, newer):
        await come_in(scene, event(EventType.BOUNCED, each, bounce_type=BounceType.HARD))
    async with scene.database.read() as connection:
        assert list(await connection.scalars(select(suppressions.c.message_id))) == [older]
