"""A person is erased while messages come in, events arrive and sends end: nothing of them stays, nobody else loses."""

import asyncio
import hashlib
import random
from typing import Any, Final
from uuid import UUID

import pytest
from sqlalchemy import Table, select, update

from api_shim import addresses
from models.content import decode
from models.events import ParsedEvent
from models.ids import new_id
from models.session import Database
from models.store import contents, erasing, events, message_views
from models.tables import attempts, contacts, message_details, metadata
from models.tables import contents as texts
from models.vocabulary import BounceType, EventType, FailureReason, Outcome, State
from tests.support.locks import waits
from tests.support.scene import Scene
from tests.support.waiting import wait_until
from worker.keeper import Keeper
from worker.tracker import Tracker

CANARY: Final = "canary"
ADDRESS: Final = f"{CANARY}@example.org"


async def erase(scene: Scene, contact_id: UUID) -> None:
    """As the API does it."""
    await mark_erased(scene, contact_id)
    await wipe(scene, contact_id)


async def mark_erased(scene: Scene, contact_id: UUID) -> None:
    async with scene.database.write() as connection:
        assert await erasing.erase(
            connection, scene.workspace_id, contact_id, lambda contact: addresses.digests(contact, scene.keyring)
        )


async def wipe(scene: Scene, contact_id: UUID) -> None:
    async with scene.database.write() as connection:
        await erasing.wipe(connection, scene.workspace_id, contact_id, after=None, most=1000)


async def text_of(scene: Scene, message_id: UUID) -> str | None:
    """What a message says, as its sender would load it."""
    async with scene.database.read() as connection:
        content_id = await connection.scalar(
            select(message_details.c.content_id).where(message_details.c.message_id == message_id)
        )
        if content_id is None:
            return None
        loaded = await contents.load(connection, [content_id])
    return decode(loaded[content_id]).body if content_id in loaded else None


async def texts_stored(scene: Scene) -> int:
    async with scene.database.read() as connection:
        return len((await connection.execute(select(texts.c.id))).all())


async def everything(database: Database) -> str:
    """Every value of every table."""
    shown = []
    async with database.read() as connection:
        for table in metadata.sorted_tables:
            shown += [str(tuple(row)) for row in await connection.execute(table.select())]
    return "\n".join(shown)


def report(kind: EventType, **fields: Any) -> ParsedEvent:
    given = {
        "type": kind,
        "provider_event": kind.value,
        "dedupe": hashlib.sha256(new_id().bytes).digest(),
        "raw": f'{{"email": "{ADDRESS}"}}'.encode(),
        "at": None,
        "recipient": ADDRESS,
        "reason": f"550 no {ADDRESS}",
    }
    return ParsedEvent(**(given | fields))


async def hear(scene: Scene, *parsed: ParsedEvent) -> None:
    async with scene.database.write() as connection:
        await events.insert(
            connection, workspace_id=scene.workspace_id, source_id=UUID(int=7), provider="generic", events_=parsed
        )
    await Tracker(scene.database).pull()


async def put_attempt(scene: Scene, message_id: UUID, token: int) -> None:
    async with scene.database.write() as connection:
        await connection.execute(
            attempts.insert().values(
                message_id=message_id,
                token=token,
                run=1,
                started_at=1,
                ended_at=2,
                outcome=Outcome.TRANSIENT.value,
                code="451",
                detail=f"451 <{ADDRESS}> later",
            )
        )


async def age(scene: Scene, table: Table, column: str) -> None:
    """Let an hour pass for every row."""
    async with scene.database.write() as connection:
        await connection.execute(update(table).values({column: table.c[column] - 3_600_000}))


async def test_nothing_of_a_person_stays_anywhere(scene: Scene) -> None:
    contact = await scene.contact(
        email=ADDRESS, first_name=CANARY, attributes={"a": CANARY}, tags=[CANARY], external_id=CANARY
    )
    said = {"subject": f"Dear {CANARY}", "body": f"Only for {CANARY}", "metadata": {"who": CANARY}}
    message = await scene.send(contact, **said)
    elsewhere = await scene.send(contact, to=f"{CANARY}.other@example.org", body="{{firstName}}, this is for all")
    other = await scene.send(await scene.contact(), body="{{firstName}}, this is for all")
    await put_attempt(scene, message.id, 1)
    await hear(
        scene,
        report(EventType.BOUNCED, message_ref=message.id, bounce_type=BounceType.HARD),
        report(EventType.DELIVERED, message_ref=new_id(), recipient=ADDRESS.upper()),
        report(EventType.DELIVERED, message_ref=new_id(), recipient=f"{CANARY}.other@example.org"),
        report(EventType.OPENED, message_ref=new_id(), recipient="other@example.org", raw=b"{}", reason=None),
    )
    assert CANARY in await everything(scene.database)

    await erase(scene, contact)
    assert CANARY not in (await everything(scene.database)).lower()
    for each in (message.id, elsewhere.id):
        row = await scene.row(each)
        assert (row.subject, row.metadata, row.contact_id) == (None, {}, contact)
        assert await text_of(scene, each) is None
    assert await text_of(scene, other.id) == "{{firstName}}, this is for all"
    assert (await scene.row(elsewhere.id)).failure_reason is FailureReason.ERASED
    assert (await scene.row(other.id)).state is State.QUEUED
    shown = await everything(scene.database)
    assert "other@example.org" in shown  # another person's event stays


async def test_what_is_held_or_paused_ends_too(scene: Scene) -> None:
    contact = await scene.contact(email=ADDRESS)
    held, paused, under_way = [(await scene.send(contact)).id for _ in range(3)]
    await scene.set(held, state=State.HELD.value, turn=None)
    await scene.set(paused, paused=True, turn=None)
    await scene.set(under_way, state=State.SENDING.value, turn=None)
    await erase(scene, contact)

    async def stands(message_id: UUID) -> tuple[Any, ...]:
        row = await scene.row(message_id)
        return row.state, row.failure_reason, row.ended_at is not None, await scene.column(message_id, "paused")

    ended = (State.FAILED, FailureReason.ERASED, True, False)
    assert [await stands(held), await stands(paused)] == [ended, ended]
    assert (await scene.row(under_way)).state is State.SENDING
    await scene.set(under_way, state=State.HELD.value)  # its send ended in doubt
    await age(scene, contacts, "erased_at")
    await Keeper(scene.database, scene.wakeups).erase()
    assert await stands(under_way) == ended


async def test_what_comes_later_says_nothing_either(scene: Scene) -> None:
    contact = await scene.contact(email=ADDRESS)
    message = await scene.send(contact)
    await scene.set(message.id, state=State.DONE.value, turn=None)
    await erase(scene, contact)
    await hear(scene, report(EventType.BOUNCED, message_ref=message.id, bounce_type=BounceType.HARD))
    assert CANARY not in await everything(scene.database)
    async with scene.database.read() as connection:
        heard = await message_views.events_of(connection, scene.workspace_id, message.id)
    assert [event.type for event in heard] == [EventType.BOUNCED]
    assert (await scene.row(message.id)).hard_bounced_at is not None


async def test_the_keeper_looks_once_more(scene: Scene) -> None:
    contact = await scene.contact(email=ADDRESS)
    early = await scene.send(contact)
    late = await scene.send(contact, subject=CANARY, body=CANARY)
    keeper = Keeper(scene.database, scene.wakeups)
    async with scene.database.write() as connection:  # the api dies before it reaches the messages
        await erasing.erase(connection, scene.workspace_id, contact, lambda _: [])
    await put_attempt(scene, early.id, 9)
    await keeper.erase()
    assert await text_of(scene, late.id) == CANARY  # not yet: an intake may still be under way
    await age(scene, contacts, "erased_at")
    await keeper.erase()
    assert CANARY not in await everything(scene.database)
    assert await texts_stored(scene) == 0
    async with scene.database.read() as connection:
        assert await erasing.unfinished(connection, 0, 10) == []


async def test_an_intake_that_comes_at_the_same_time_keeps_its_text(scene: Scene) -> None:
    """The same words for one who is erased and for one who is not, both at once, many times."""
    chance = random.Random(7)
    kept = await scene.contact()
    for number in range(40):
        gone = await scene.contact(email=ADDRESS)
        words = {"subject": None, "body": f"round {number}"}
        await scene.send(gone, **words)

        async def send(words: dict[str, Any] = words) -> UUID:
            for _ in range(chance.randrange(40)):
                await asyncio.sleep(0)
            return (await scene.send(kept, **words)).id

        await mark_erased(scene, gone)
        message_id, _ = await asyncio.gather(send(), wipe(scene, gone))
        assert await text_of(scene, message_id) == words["body"]
    assert await texts_stored(scene) == 40


async def test_two_who_share_a_text_are_erased_at_the_same_time(scene: Scene) -> None:
    for number in range(20):
        pair = [await scene.contact(email=ADDRESS), await scene.contact(email=ADDRESS)]
        for contact in pair:
            await scene.send(contact, subject=None, body=f"round {number}")
        await asyncio.gather(*(erase(scene, contact) for contact in pair))
        assert await texts_stored(scene) == 0


# SQLite has one writer at a time: nobody is between two others' statements.
BETWEEN_STATEMENTS = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


async def content_row(scene: Scene, message_id: UUID) -> dict[str, Any]:
    async with scene.database.read() as connection:
        found = await connection.execute(
            select(texts)
            .join(message_details, message_details.c.content_id == texts.c.id)
            .where(message_details.c.message_id == message_id)
        )
        return dict(found.one()._mapping)


@BETWEEN_STATEMENTS
async def test_the_eraser_waits_for_an_intake_that_found_the_text(scene: Scene) -> None:
    gone, kept = await scene.contact(email=ADDRESS), await scene.contact()
    written = await content_row(scene, (await scene.send(gone)).id)
    message_id = (await scene.send(kept, body="x")).id
    async with scene.database.write() as connection:
        await contents.keep(connection, [written])
        eraser = asyncio.create_task(erase(scene, gone))
        await wait_until(lambda: waits(scene.database))
        await connection.execute(
            update(message_details).where(message_details.c.message_id == message_id).values(content_id=written["id"])
        )
    await eraser
    assert await text_of(scene, message_id) == "Good morning, {{firstName}}"


@BETWEEN_STATEMENTS
async def test_an_intake_stores_anew_what_an_eraser_takes_away(scene: Scene) -> None:
    gone = await scene.contact(email=ADDRESS)
    message_id = (await scene.send(gone)).id
    written = await content_row(scene, message_id)

    async def keep() -> None:
        async with scene.database.write() as connection:
            await contents.keep(connection, [written])

    async with scene.database.write() as connection:
        await contents.hold_to_erase(connection, [written["id"]])
        await connection.execute(update(message_details).values(content_id=None))
        await connection.execute(select(texts.c.id).with_for_update())  # as ``remove_unused`` begins
        intake = asyncio.create_task(keep())
        await wait_until(lambda: waits(scene.database))
        await contents.remove_unused(connection, [written["id"]])
    await intake
    assert await texts_stored(scene) == 1


@BETWEEN_STATEMENTS
async def test_a_text_that_many_share_is_not_taken_from_intakes(scene: Scene) -> None:
    gone, kept = await scene.contact(email=ADDRESS), await scene.contact()
    await scene.send(gone)
    written = await content_row(scene, (await scene.send(kept)).id)
    async with scene.database.write() as connection:
        await erasing.erase(connection, scene.workspace_id, gone, lambda _: [])
        await erasing.wipe(connection, scene.workspace_id, gone, after=None, most=10)
        async with asyncio.timeout(5), scene.database.write() as other:  # while the eraser is not done
            await contents.keep(other, [written])
