"""What is done in one statement where somebody waits for it: it stores and claims what the same by steps does."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import event, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from channels.contract import Envelope, Receipt
from channels.rendering import Texts
from models.ids import new_id
from models.session import Database
from models.store import claim_at_once, claims, contents, pauses, turns
from models.store.claims import Claim
from models.store.suppressions import create_lasting
from models.tables import campaigns, contacts, lanes, message_details, messages
from models.tables import contents as texts
from models.vocabulary import Channel, FailureReason, Lane, State
from tests.support.dispatching import Drum, dispatching
from tests.support.locks import waits
from tests.support.scene import Scene
from tests.support.waiting import wait_until

# SQLite, which has no round trips, goes by steps.
pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

WORKER = UUID(int=1)
LANE = Channel.EMAIL, Lane.TRANSACTIONAL
# What tells one of two equal messages from the other.
OF_EACH = {"id", "message_id", "contact_id", "queued_at", "due_at", "turn"}


@contextmanager
def wiretapped(database: Database) -> Iterator[list[str]]:
    """The first word of each statement that is a round trip, and of no transaction of several."""
    said: list[str] = []

    def note(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        alone = connection.connection.dbapi_connection.autocommit
        said.append(statement.split(maxsplit=1)[0] if alone else f"{statement} in a transaction")

    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    try:
        yield said
    finally:
        event.remove(database.engine.sync_engine, "before_cursor_execute", note)


async def row_of(connection: AsyncConnection, message_id: UUID) -> dict[str, Any]:
    """All that is stored of a message, but for what is its own."""
    found = await connection.execute(
        select(messages, message_details)
        .join(message_details, message_details.c.message_id == messages.c.id)
        .where(messages.c.id == message_id)
    )
    return {column: value for column, value in found.one()._mapping.items() if column not in OF_EACH}


async def at_once(database: Database, most: int = 10) -> tuple[list[Claim], bool]:
    async with database.write_at_once() as connection:
        return await claim_at_once.claim(connection, *LANE, WORKER, most)


async def by_steps(database: Database, most: int = 10) -> list[Claim]:
    async with database.write() as connection:
        return (await claims.claim(connection, *LANE, WORKER, most))[0]


async def last_claimed(connection: AsyncConnection) -> int:
    return int(
        await connection.scalar(
            select(lanes.c.last_turn).where(
                lanes.c.channel == Channel.EMAIL,
                lanes.c.lane == Lane.TRANSACTIONAL,
                lanes.c.workspace_id == turns.NOBODY,
            )
        )
        or 0
    )


async def test_one_message_takes_three_round_trips_in_and_one_to_be_claimed(scene: Scene) -> None:
    contact = await scene.contact()
    await scene.send(contact)  # what is remembered for a while is read
    await at_once(scene.database)
    with wiretapped(scene.database) as said:
        sent = await scene.send(contact)
        (claimed,), _ = await at_once(scene.database)
    assert said == ["SELECT", "SELECT", "WITH", "WITH"]
    assert (claimed.id, (await scene.row(sent.id)).state) == (sent.id, State.SENDING)


async def test_alone_it_is_stored_as_among_others(scene: Scene) -> None:
    fields: dict[str, Any] = {
        "body": "<p>{{firstName}}</p>",
        "metadata": {"order": ["1", 2, None]},
        "topic": "news",
        "step": 3,
        "expires_at": 9_999_999_999_999,
    }
    ann = await scene.contact()
    traced = {"traceparent": f"00-{1:032x}-{2:016x}-01"}
    for more in ({}, {"send_at": 9_999_999_999_000}, {"essential": True, "subject": None}, traced):
        alone = await scene.send(ann, **fields, **more)
        many = await scene.intake.submit_many([scene.draft(ann, **fields, **more) for _ in range(2)])
        async with scene.database.read() as connection:
            expected = await row_of(connection, many[1].message.id)  # type: ignore[union-attr]
            assert await row_of(connection, alone.id) == expected
            turn = await connection.scalar(select(messages.c.turn).where(messages.c.id == alone.id))
            assert (turn is None) is ("send_at" in more)


async def test_who_comes_alone_takes_turns(scene: Scene) -> None:
    ann, other = await scene.contact(), await scene.workspace()
    guest = await scene.contact(workspace_id=other)
    await scene.intake.submit_many([scene.draft(ann) for _ in range(30)])
    for number in range(5):
        await scene.send(guest, workspace_id=other)
        if not number:
            assert {each.workspace_id for each in await by_steps(scene.database, 4)} == {scene.workspace_id, other}
    claimed, left = await at_once(scene.database, 10)
    assert left
    assert sum(each.workspace_id == other for each in claimed) == 4
    again = await scene.send(guest, workspace_id=other)  # behind the last claimed, before what waited longest
    async with scene.database.read() as connection:
        turn = await connection.scalar(select(messages.c.turn).where(messages.c.id == again.id))
        assert turn == await last_claimed(connection) + 1


async def test_repeating_it_changes_nothing(scene: Scene) -> None:
    draft = scene.draft(await scene.contact())
    first = await scene.intake.submit(draft)
    async with scene.database.read() as connection:
        before = await row_of(connection, draft.id)
    again = await scene.intake.submit(draft)
    async with scene.database.read() as connection:
        assert await row_of(connection, draft.id) == before
    assert (first.message.id, again.replayed) == (again.message.id, False)
    assert len(await scene.rows()) == 1


async def test_a_text_that_another_is_storing_is_waited_for(scene: Scene) -> None:
    ann = await scene.contact()
    await scene.send(ann)
    async with scene.database.write() as connection:
        row = dict((await connection.execute(select(texts))).one()._mapping)
        await connection.execute(texts.delete())  # nobody has stored it yet
    async with scene.database.write() as connection:
        await contents.keep(connection, [row])
        sending = asyncio.create_task(scene.send(ann))
        await wait_until(lambda: waits(scene.database))
    sent = await sending
    async with scene.database.read() as connection:
        assert set(await contents.load(connection, [row["id"]])) == {row["id"]}
        stored = select(message_details.c.content_id).where(message_details.c.message_id == sent.id)
        assert await connection.scalar(stored) == row["id"]


async def test_a_text_that_an_eraser_takes_away_is_stored_anew(scene: Scene) -> None:
    ann = await scene.contact()
    await scene.send(ann)
    async with scene.database.write() as connection:
        row = dict((await connection.execute(select(texts))).one()._mapping)
        await contents.hold_to_erase(connection, [row["id"]])
        await connection.execute(update(message_details).values(content_id=None))
        await connection.execute(select(texts.c.id).with_for_update())  # as ``remove_unused`` begins
        sending = asyncio.create_task(scene.send(ann))
        await wait_until(lambda: waits(scene.database))
        await contents.remove_unused(connection, [row["id"]])
    await sending
    async with scene.database.read() as connection:
        assert set(await contents.load(connection, [row["id"]])) == {row["id"]}


async def test_an_eraser_waits_for_who_found_the_text(scene: Scene) -> None:
    """The statement holds the text as long as its message is not there for others to see."""
    ann = await scene.contact()
    first = await scene.send(ann)
    async with scene.database.write() as turn_taker:
        await turns.allot(turn_taker, {(*LANE, scene.workspace_id): 1})  # so that the statement waits in its midst
        sending = asyncio.create_task(scene.send(ann))
        await wait_until(lambda: waits(scene.database))
        async with scene.database.write() as connection:
            held = select(texts.c.id).with_for_update(skip_locked=True)
            assert (await connection.execute(held)).all() == []
    sent = await sending
    async with scene.database.read() as connection:
        found = await connection.execute(select(message_details.c.message_id))
        assert set(found.scalars()) == {first.id, sent.id}


async def test_it_claims_as_by_steps(scene: Scene) -> None:
    await scene.send(await scene.contact(attributes={"city": "Ulm"}), body="{{city}}", metadata={"a": 1}, topic="t")
    (claimed,), left = await at_once(scene.database)
    assert not left
    async with scene.database.read() as connection:
        after = (await connection.execute(select(messages))).one()
        assert await last_claimed(connection) == 1
    async with scene.database.write() as connection:
        await connection.execute(update(messages).values(state=State.QUEUED, turn=1, token=0, worker_id=None))
    (expected,) = await by_steps(scene.database)
    same = {"claimed_at": 0, "waited_ms": 0}
    assert msgspec.structs.replace(claimed, **same) == msgspec.structs.replace(expected, **same)
    async with scene.database.read() as connection:
        stepped = (await connection.execute(select(messages))).one()
    assert {**after._mapping, "claimed_at": 0} == {**stepped._mapping, "claimed_at": 0}
    assert (after.state, after.worker_id, after.sending_at) == (State.SENDING, WORKER, claimed.claimed_at)


async def test_what_something_stands_against_is_left_to_the_steps(scene: Scene) -> None:
    made = {name: new_id() for name in ("running", "paused", "cancelled")}
    async with scene.database.write() as connection:
        for name, campaign_id in made.items():
            values = {"id": campaign_id, "workspace_id": scene.workspace_id, "name": name, "state": "running"}
            await connection.execute(campaigns.insert().values(**values, created_at=0))
    ann, bob, eve, kim = [await scene.contact(email=f"{name}@example.org") for name in ("ann", "bob", "eve", "kim")]
    plain = await scene.send(bob)
    mass = {name: await scene.send(bob, campaign_id=each, lane=LANE[1]) for name, each in made.items()}
    late = await scene.send(bob, expires_at=1)
    opted_out, essential, dead = await scene.send(ann), await scene.send(ann, essential=True), await scene.send(eve)
    erased = await scene.send(kim)
    async with scene.database.write() as connection:
        await connection.execute(contacts.update().where(contacts.c.id == kim).values(erased_at=1))
        for name in ("paused", "cancelled"):
            await connection.execute(campaigns.update().where(campaigns.c.id == made[name]).values(state=name))
        for address, kind in (("ann@example.org", "opt_out"), ("eve@example.org", "dead")):
            row = {
                "id": new_id(),
                "workspace_id": scene.workspace_id,
                "channel": "EMAIL",
                "address_digest": scene.keyring.address_digest("EMAIL", address),
                "kind": kind,
                "topic": "",
                "address": None,
                "reason": "unsubscribed",
                "message_id": None,
            }
            await create_lasting(connection, [row])
    claimed, left = await at_once(scene.database)
    # An essential one keeps its turn: left to the steps, it would be passed by what stands behind it.
    assert ([each.id for each in claimed], left) == ([plain.id, mass["running"].id, essential.id], True)
    others = {late.id, opted_out.id, dead.id, erased.id, mass["paused"].id, mass["cancelled"].id}
    assert {row.id for row in await scene.rows() if row.state is State.QUEUED} == others

    assert await at_once(scene.database) == ([], True)
    assert await by_steps(scene.database) == []
    reasons = {row.id: row.failure_reason for row in await scene.rows() if row.failure_reason is not None}
    assert reasons == {
        late.id: FailureReason.EXPIRED,
        opted_out.id: FailureReason.OPTED_OUT,
        dead.id: FailureReason.SUPPRESSED,
        erased.id: FailureReason.ERASED,
        mass["cancelled"].id: FailureReason.CANCELLED,
    }


async def test_who_claims_at_once_waits_for_nobody(scene: Scene) -> None:
    ann = await scene.contact()
    await scene.intake.submit_many([scene.draft(ann) for _ in range(30)])
    async with scene.database.write() as connection:
        first, _ = await claims.claim(connection, *LANE, WORKER, 10)  # it has noted its turn, and holds that too
        async with asyncio.timeout(5):
            second, left = await at_once(scene.database, 10)
        assert (len(first), len(second), left) == (10, 10, True)
    assert not {each.id for each in first} & {each.id for each in second}
    assert len(await by_steps(scene.database, 30)) == 10


async def test_a_channel_that_rests_is_left_to_the_steps(scene: Scene) -> None:
    assert await at_once(scene.database) == ([], False)
    await scene.send(await scene.contact())
    async with scene.database.write() as connection:
        await pauses.rest(connection, Channel.EMAIL, 60_000, "login refused")
    assert await at_once(scene.database) == ([], True)
    async with scene.database.read() as connection:
        assert await connection.scalar(select(func.sum(messages.c.token))) == 0


async def test_a_worker_takes_both_ways_in_one_turn(scene: Scene) -> None:
    """What may not go out is ended though nothing else wakes the worker, and what may is sent."""
    ann = await scene.contact()
    late = await scene.send(ann, expires_at=1)
    async with dispatching(scene) as house:
        await house.dispatcher.pull(Lane.TRANSACTIONAL)
        assert (await scene.row(late.id)).failure_reason is FailureReason.EXPIRED
        late, sent = await scene.send(ann, expires_at=1), await scene.send(ann)
        await house.dispatcher.pull(Lane.TRANSACTIONAL)

        async def ended() -> bool:
            return {(await scene.row(each.id)).state for each in (late, sent)} == {State.FAILED, State.DONE}

        await wait_until(ended)
        assert len(house.drum.sent) == 1


class Held(Drum):
    """A peer that answers nobody until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = asyncio.Event()

    async def send(self, envelope: Envelope, prepared: Texts) -> Receipt:
        await self.let_go.wait()
        return await super().send(envelope, prepared)


async def test_a_workspace_alone_gets_half_of_the_slots_at_once_too(scene: Scene) -> None:
    contact = await scene.contact()
    await scene.intake.submit_many([scene.draft(contact) for _ in range(50)])
    drum = Held()
    async with dispatching(scene, drum=drum) as house:
        await house.dispatcher.pull(Lane.TRANSACTIONAL)
        assert house.dispatcher.slots.in_flight == house.dispatcher.slots.most // 2
        drum.let_go.set()
        await wait_until(lambda: len(drum.sent) == 50)


async def test_wake_ups_that_come_together_are_one_claim(scene: Scene) -> None:
    contact = await scene.contact()
    async with dispatching(scene) as house:
        await scene.intake.submit_many([scene.draft(contact) for _ in range(5)])
        with wiretapped(scene.database) as said:
            await asyncio.gather(*(house.dispatcher.pull(Lane.TRANSACTIONAL) for _ in range(20)))
            assert said.count("WITH") == 1
        await scene.intake.submit_many([scene.draft(contact)])
        await house.dispatcher.pull(Lane.TRANSACTIONAL)  # which comes later is answered for itself
        await wait_until(lambda: len(house.drum.sent) == 6)
