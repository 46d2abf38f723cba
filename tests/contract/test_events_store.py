"""The store of events, on both databases: stored once, matched or parked, and merged into their messages."""

import asyncio
import hashlib
from typing import Any, Final
from uuid import UUID

import pytest
from sqlalchemy import func, select, text, update
from structlog.testing import capture_logs

from models.events import ParsedEvent
from models.ids import new_id
from models.session import Database
from models.store import claims, event_views, events, in_hand, keeping, message_views, outcomes, workers, workspaces
from models.store.event_views import EventFilter, EventRow
from models.store.events import RawEvent
from models.store.message_views import MessageRow
from models.store.outcomes import Ended
from models.store.suppressions import create_lasting
from models.tables import events as events_table
from models.tables import suppressions
from models.vocabulary import BounceType, Channel, EventType, Fact, Lane, Outcome, State, Status, SuppressionKind
from tests.support.scene import Scene
from tests.support.waiting import wait_until
from worker.tracker import Tracker

HOOK: Final = UUID(int=7)
WORKER: Final = UUID(int=1)
PARKED_KEPT_MS: Final = 3 * 86_400_000


def event(kind: EventType = EventType.DELIVERED, *, name: str | None = None, **fields: Any) -> ParsedEvent:
    """An event; its own one unless ``name`` says that it is a repetition."""
    given = {
        "type": kind,
        "provider_event": kind.value,
        "dedupe": hashlib.sha256((name or str(new_id())).encode()).digest(),
        "raw": b'{"a": 1}',
        "at": None,
    }
    return ParsedEvent(**(given | fields))


async def store(scene: Scene, *parsed: ParsedEvent, workspace_id: UUID | None = None, source_id: UUID = HOOK) -> int:
    async with scene.database.write() as connection:
        return await events.insert(
            connection,
            workspace_id=workspace_id or scene.workspace_id,
            source_id=source_id,
            provider="generic",
            events_=parsed,
        )


async def take(scene: Scene, most: int = 100) -> list[RawEvent]:
    async with scene.database.write() as connection:
        return await events.take(connection, most)


async def track(scene: Scene) -> None:
    await Tracker(scene.database).pull()


async def stored(scene: Scene, *, workspace_id: UUID | None = None, **wanted: Any) -> list[EventRow]:
    async with scene.database.read() as connection:
        rows, total = await event_views.page(
            connection, workspace_id or scene.workspace_id, EventFilter(**wanted), limit=200, offset=0
        )
    assert total == len(rows)
    return rows


async def suppressed(scene: Scene) -> list[tuple[str, str, str | None, str]]:
    async with scene.database.read() as connection:
        rows = await connection.execute(
            select(suppressions.c.kind, suppressions.c.topic, suppressions.c.address, suppressions.c.reason)
        )
        return sorted((row.kind, row.topic, row.address, row.reason) for row in rows)


async def sent(scene: Scene, *, provider_id: str | None = None, **fields: Any) -> MessageRow:
    """A message that a peer accepted, under the peer's own id for it."""
    message = await scene.send(await scene.contact(), **fields)
    async with scene.database.write() as connection:
        (claimed,), _ = await claims.claim(connection, Channel.EMAIL, Lane.TRANSACTIONAL, WORKER, 1)
        assert claimed.id == message.id
        await outcomes.record(
            connection,
            [
                Ended(
                    message_id=claimed.id,
                    token=claimed.token,
                    run=claimed.run,
                    started_at=claimed.claimed_at,
                    state=State.DONE,
                    outcome=Outcome.ACCEPTED,
                    provider_id=provider_id,
                )
            ],
        )
    return await scene.row(message.id)


@pytest.fixture
async def message(scene: Scene) -> MessageRow:
    """A message that waits to be sent."""
    return await scene.send(await scene.contact())


async def test_an_event_is_stored_once_per_source(scene: Scene) -> None:
    one, two = event(name="one"), event(name="two")
    assert await store(scene) == 0
    assert await store(scene, one, two, one) == 2
    assert await store(scene, two, event(name="three"), one) == 1
    assert await store(scene, one, source_id=new_id()) == 1
    assert len(await stored(scene)) == 4


async def test_a_repetition_changes_nothing_of_what_stands(scene: Scene, message: MessageRow) -> None:
    await store(scene, event(name="one", message_ref=message.id, at=message.queued_at + 5))
    before = await stored(scene)
    await track(scene)
    await store(scene, event(EventType.OPENED, name="one", message_ref=message.id, at=message.queued_at + 1))
    await track(scene)
    (after,) = await stored(scene)
    assert after.at == before[0].at == message.queued_at + 5
    assert (await scene.row(message.id)).facts[Fact.OPENED] is None


async def test_many_events_are_counted_and_none_is_lost(scene: Scene) -> None:
    parsed = [event(name=f"e{number}") for number in range(2_500)]
    assert await store(scene, *parsed[:1_500]) == 1_500
    assert await store(scene, *parsed) == 1_000
    await track(scene)
    assert await take(scene) == []
    async with scene.database.read() as connection:
        parked = select(func.count()).select_from(events_table).where(events_table.c.retry_at.is_not(None))
        assert await connection.scalar(parked) == 2_500


async def test_what_was_received_is_kept(scene: Scene, message: MessageRow) -> None:
    await store(
        scene,
        event(
            EventType.BOUNCED,
            message_ref=message.id,
            provider_ref="p1",
            at=message.queued_at + 7,
            recipient="ann@example.org",
            bounce_type=BounceType.SOFT,
            reason="mailbox full",
            machine=True,
        ),
    )
    (row,) = await stored(scene)
    assert (row.type, row.provider_event, row.provider, row.source_id) == (
        EventType.BOUNCED,
        "bounced",
        "generic",
        HOOK,
    )
    assert (row.message_ref, row.message_id, row.recipient) == (message.id, None, "ann@example.org")
    assert (row.bounce_type, row.reason, row.machine, row.raw) == (BounceType.SOFT, "mailbox full", True, b'{"a": 1}')
    (raw,) = await take(scene)
    assert (raw.id, raw.type, raw.provider_ref, raw.bounce_type, raw.machine) == (
        row.id,
        EventType.BOUNCED,
        "p1",
        BounceType.SOFT,
        True,
    )


async def test_an_events_time_is_fixed_within_its_clamp(scene: Scene, message: MessageRow) -> None:
    made = message.queued_at
    for name, at in (("early", made - 1), ("within", made + 9), ("late", made + 10**9), ("none", None)):
        await store(scene, event(name=name, provider_event=name, at=at, message_ref=message.id))
    rows = {row.provider_event: row for row in await stored(scene)}
    assert rows["early"].at == made
    assert rows["within"].at == made + 9
    assert rows["late"].at == rows["late"].received_at + 300_000
    assert rows["none"].at == rows["none"].received_at >= made


async def test_events_are_taken_oldest_first_and_by_one_tracker_each(scene: Scene) -> None:
    await store(scene, *(event(provider_ref=str(number)) for number in range(10)))
    async with scene.database.write() as one:
        first = await events.take(one, 6)
        if not scene.database.is_sqlite:  # on SQLite the second waits for the first
            async with scene.database.write() as two:
                second = await events.take(two, 6)
            assert len(second) == 4
            assert max(raw.id for raw in first) < min(raw.id for raw in second)
    assert [raw.id for raw in first] == sorted(raw.id for raw in first)
    assert len(first) == 6
    assert len(await take(scene)) == 10


async def test_an_event_is_matched_by_our_id(scene: Scene, message: MessageRow) -> None:
    await store(scene, event(message_ref=message.id, at=message.queued_at + 5))
    await track(scene)
    row = await scene.row(message.id)
    assert (row.status, row.state) == (Status.DELIVERED, State.DONE)
    assert (row.delivered_at, row.sent_at) == (message.queued_at + 5, message.queued_at + 5)
    (applied,) = await stored(scene, matched=True, message_id=message.id)
    assert applied.message_id == message.id
    async with scene.database.read() as connection:
        (seen,) = await message_views.events_of(connection, scene.workspace_id, message.id)
    assert (seen.id, seen.type) == (applied.id, EventType.DELIVERED)


async def test_an_event_is_matched_by_the_providers_id(scene: Scene) -> None:
    message = await sent(scene, provider_id="p1")
    await sent(scene, provider_id="p2")
    await store(scene, event(EventType.OPENED, provider_ref="p1"))
    await track(scene)
    assert (await scene.row(message.id)).status is Status.OPENED
    assert [row.status for row in await scene.rows()] == [Status.OPENED, Status.SENT]


async def test_our_own_id_outranks_the_providers(scene: Scene) -> None:
    named, other = await sent(scene, provider_id="p1"), await sent(scene, provider_id="p2")
    await store(scene, event(EventType.OPENED, message_ref=named.id, provider_ref="p2"))
    await track(scene)
    assert (await scene.row(named.id)).status is Status.OPENED
    assert (await scene.row(other.id)).status is Status.SENT


async def offer_again(scene: Scene) -> None:
    """Let the keeper's time for every parked event come."""
    async with scene.database.write() as connection:
        await connection.execute(update(events_table).where(events_table.c.retry_at.is_not(None)).values(retry_at=0))
        await keeping.retry_parked_events(connection, 10)


@pytest.mark.parametrize("by", ["message_ref", "provider_ref"])
async def test_no_event_reaches_into_another_workspace(scene: Scene, by: str) -> None:
    message = await sent(scene, provider_id="p1")
    other = await scene.workspace()
    reference: dict[str, Any] = {"message_ref": message.id} if by == "message_ref" else {"provider_ref": "p1"}
    await store(scene, event(EventType.COMPLAINED, **reference), workspace_id=other)
    await track(scene)
    assert await scene.row(message.id) == message
    assert await suppressed(scene) == []
    (parked,) = await stored(scene, workspace_id=other, matched=False)
    assert parked.message_id is None
    async with scene.database.write() as connection:
        await connection.execute(update(events_table).values(retry_at=0))
        assert await keeping.retry_parked_events(connection, 10) == 1
    await track(scene)
    assert await scene.row(message.id) == message


async def test_two_workspaces_may_know_messages_by_the_same_provider_id(scene: Scene) -> None:
    here = await sent(scene, provider_id="p1")
    home, scene.workspace_id = scene.workspace_id, await scene.workspace()
    there = await sent(scene, provider_id="p1")
    await store(scene, event(EventType.OPENED, provider_ref="p1"))
    await store(scene, event(EventType.CLICKED, provider_ref="p1"), workspace_id=home)
    await track(scene)
    assert (await scene.row(there.id)).status is Status.OPENED
    scene.workspace_id = home
    assert (await scene.row(here.id)).status is Status.CLICKED


async def test_an_unknown_message_is_waited_for(scene: Scene) -> None:
    contact = await scene.contact()
    draft = scene.draft(contact)
    await store(scene, event(EventType.CLICKED, message_ref=draft.id))
    await track(scene)
    async with scene.database.write() as connection:
        assert not await keeping.waiting_events(connection)
        assert await keeping.retry_parked_events(connection, 10) == 0  # not before its time
    await scene.intake.submit(draft)
    await offer_again(scene)
    await track(scene)
    assert (await scene.row(draft.id)).status is Status.CLICKED
    assert len(await stored(scene, matched=True)) == 1


async def test_an_event_that_comes_before_the_providers_id_is_recorded_is_waited_for(scene: Scene) -> None:
    await store(scene, event(EventType.CLICKED, provider_ref="p1"))
    await track(scene)
    message = await sent(scene, provider_id="p1")
    await offer_again(scene)
    await track(scene)
    assert (await scene.row(message.id)).status is Status.CLICKED


async def test_an_event_that_nobody_claims_is_given_up(scene: Scene) -> None:
    draft = scene.draft(await scene.contact())
    await store(scene, event(message_ref=draft.id), event())
    await track(scene)
    async with scene.database.write() as connection:
        received_at = events_table.c.received_at - PARKED_KEPT_MS - 1_000
        await connection.execute(update(events_table).values(received_at=received_at))
    await offer_again(scene)
    await track(scene)
    await scene.intake.submit(draft)
    await offer_again(scene)
    await track(scene)
    assert (await scene.row(draft.id)).status is Status.QUEUED
    assert len(await stored(scene, matched=False)) == 2


@pytest.mark.parametrize("state", [State.QUEUED, State.HELD])
async def test_proof_of_acceptance_stops_the_next_send(scene: Scene, message: MessageRow, state: State) -> None:
    await scene.set(message.id, state=state.value, turn=5 if state is State.QUEUED else None, token=3)
    await store(scene, event(EventType.DEFERRED, message_ref=message.id))
    await track(scene)
    row = await scene.row(message.id)
    assert (row.state, row.status) == (State.DONE, Status.SENT)
    assert row.ended_at is not None
    assert await scene.column(message.id, "token") == 4
    async with scene.database.write() as connection:
        assert await keeping.groups_due(connection) == []
        assert await claims.claim(connection, Channel.EMAIL, Lane.TRANSACTIONAL, WORKER, 10) == ([], 0)


@pytest.mark.parametrize("state", [State.SENDING, State.DONE, State.FAILED, State.CANCELLED])
async def test_proof_of_acceptance_takes_nothing_out_of_other_hands(
    scene: Scene, message: MessageRow, state: State
) -> None:
    await scene.set(message.id, state=state.value, turn=None, token=3)
    await store(scene, event(message_ref=message.id))
    await track(scene)
    row = await scene.row(message.id)
    assert (row.state, row.status, row.ended_at) == (state, Status.DELIVERED, None)
    assert await scene.column(message.id, "token") == 3


@pytest.mark.parametrize("kind", [EventType.IGNORED, EventType.RESUBSCRIBED])
async def test_what_proves_nothing_changes_nothing(scene: Scene, message: MessageRow, kind: EventType) -> None:
    await store(scene, event(kind, message_ref=message.id))
    await track(scene)
    assert await scene.row(message.id) == message
    assert len(await stored(scene, matched=True)) == 1


async def test_a_send_under_way_ends_as_done_once_a_report_proved_it(scene: Scene, message: MessageRow) -> None:
    async with scene.database.write() as connection:
        (claimed,), _ = await claims.claim(connection, Channel.EMAIL, Lane.TRANSACTIONAL, WORKER, 1)
    await store(scene, event(EventType.DEFERRED, message_ref=message.id))
    await track(scene)
    async with scene.database.write() as connection:
        await workers.rescue(connection, WORKER)
        assert await keeping.groups_due(connection) == []
        assert await claims.claim(connection, Channel.EMAIL, Lane.TRANSACTIONAL, WORKER, 10) == ([], 0)
    assert claimed.id == message.id
    assert (await scene.row(message.id)).state is State.DONE


async def test_evidence_of_an_older_run_goes_to_the_history(scene: Scene, message: MessageRow) -> None:
    await scene.set(message.id, run=2)
    await store(scene, event(EventType.OPENED, message_ref=message.id, run=1))
    await track(scene)
    row = await scene.row(message.id)
    assert (row.status, row.facts) == (Status.QUEUED, dict.fromkeys(Fact))
    await store(scene, event(EventType.CLICKED, message_ref=message.id, run=2))
    await track(scene)
    assert (await scene.row(message.id)).facts[Fact.OPENED] is None
    assert (await scene.row(message.id)).status is Status.CLICKED
    async with scene.database.read() as connection:
        seen = await message_views.events_of(connection, scene.workspace_id, message.id)
    assert {each.type for each in seen} == {EventType.OPENED, EventType.CLICKED}
    async with scene.database.read() as connection:
        runs = await connection.execute(select(events_table.c.type, events_table.c.run))
    assert {row.type: row.run for row in runs} == {"opened": 1, "clicked": 2}


async def test_evidence_by_the_providers_id_is_about_the_run_that_had_it(scene: Scene) -> None:
    message = await sent(scene, provider_id="first")
    await scene.set(message.id, run=2)
    await store(scene, event(EventType.OPENED, provider_ref="first"))
    await track(scene)
    assert (await scene.row(message.id)).facts[Fact.OPENED] is None
    async with scene.database.read() as connection:
        assert (await connection.scalars(select(events_table.c.run))).all() == [1]


async def test_what_is_reported_accepted_is_not_given_back_to_be_sent_again(scene: Scene, message: MessageRow) -> None:
    async with scene.database.write() as connection:
        (claimed,), _ = await claims.claim(connection, Channel.EMAIL, Lane.TRANSACTIONAL, WORKER, 1)
    await store(scene, event(EventType.DELIVERED, message_ref=message.id))
    await track(scene)
    async with scene.database.write() as connection:
        assert await in_hand.give_back_strays(connection, WORKER, set(), -1) == 1
    assert claimed.id == message.id
    assert (await scene.row(message.id)).state is State.DONE


@pytest.mark.parametrize(
    ("kind", "bounce_type", "expected"),
    [
        (EventType.BOUNCED, None, [(SuppressionKind.DEAD, "")]),
        (EventType.BOUNCED, BounceType.HARD, [(SuppressionKind.DEAD, "")]),
        (EventType.BOUNCED, BounceType.SOFT, []),
        (EventType.COMPLAINED, None, [(SuppressionKind.DEAD, "")]),
        (EventType.UNSUBSCRIBED, None, [(SuppressionKind.OPT_OUT, "news")]),
        *((kind, None, []) for kind in (EventType.DELIVERED, EventType.FAILED, EventType.OPENED, EventType.DEFERRED)),
    ],
)
async def test_what_suppresses_an_address(
    scene: Scene, kind: EventType, bounce_type: BounceType | None, expected: list[tuple[SuppressionKind, str]]
) -> None:
    message = await scene.send(await scene.contact(), topic="news")
    for _ in range(2):
        await store(scene, event(kind, message_ref=message.id, bounce_type=bounce_type))
        await track(scene)
    assert await suppressed(scene) == [(kept.value, topic, "ann@example.org", kind.value) for kept, topic in expected]


async def test_an_opt_out_without_a_topic_covers_the_channel(scene: Scene, message: MessageRow) -> None:
    await store(scene, event(EventType.UNSUBSCRIBED, message_ref=message.id))
    await track(scene)
    assert await suppressed(scene) == [("opt_out", "", "ann@example.org", "unsubscribed")]


async def test_a_dead_address_of_an_older_run_is_dead(scene: Scene, message: MessageRow) -> None:
    await scene.set(message.id, run=2)
    await store(scene, event(EventType.BOUNCED, message_ref=message.id, run=1))
    await track(scene)
    assert (await scene.row(message.id)).status is Status.QUEUED
    assert await suppressed(scene) == [("dead", "", "ann@example.org", "bounced")]


async def test_a_bad_event_among_good_ones_spoils_none(scene: Scene, message: MessageRow) -> None:
    await store(
        scene,
        event(EventType.IGNORED, provider_event="", reason="not readable"),
        event(EventType.OPENED, message_ref=message.id),
        event(EventType.CLICKED, message_ref=new_id()),
    )
    await track(scene)
    assert (await scene.row(message.id)).status is Status.OPENED
    assert len(await stored(scene, matched=True)) == 1
    assert len(await stored(scene, matched=False)) == 2


async def test_the_tracker_leaves_a_missing_database_to_the_keeper() -> None:
    database = Database.connect("postgresql://nobody@127.0.0.1:1/nothing")
    try:
        with capture_logs() as logs:
            await Tracker(database).pull()
    finally:
        await database.close()
    assert [entry["event"] for entry in logs] == ["tracker.no_database"]


_WAITING: Final = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


def _dead(workspace_id: UUID, address: str) -> dict[str, Any]:
    return {
        "id": new_id(),
        "workspace_id": workspace_id,
        "channel": "EMAIL",
        "address_digest": hashlib.md5(address.encode()).digest(),
        "kind": SuppressionKind.DEAD.value,
        "topic": "",
        "address": address,
        "reason": "bounced",
        "message_id": None,
    }


async def test_transactions_that_suppress_the_same_addresses_never_wait_in_a_circle(postgres_url: str) -> None:
    """On SQLite writers take turns; on PostgreSQL each waits for whoever inserts the same key."""
    database = Database.connect(postgres_url)
    async with database.write() as connection:
        workspace_id = (await workspaces.create(connection, "one")).id

    async def suppress(*addresses: str) -> None:
        rows = [_dead(workspace_id, address) for address in addresses]
        async with database.write() as connection:
            await create_lasting(connection, rows)

    async def both_wait() -> bool:
        async with database.read() as connection:
            return bool(await connection.scalar(text(_WAITING)) == 2)

    try:
        async with database.engine.connect() as holder:
            await create_lasting(holder, [_dead(workspace_id, "middle")])
            begun = [
                asyncio.create_task(suppress("first", "middle", "last")),
                asyncio.create_task(suppress("last", "middle", "first")),
            ]
            await wait_until(both_wait)
            await holder.rollback()
        await asyncio.gather(*begun)
        async with database.read() as connection:
            assert await connection.scalar(select(func.count()).select_from(suppressions)) == 3
    finally:
        await database.close()
