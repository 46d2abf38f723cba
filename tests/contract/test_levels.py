"""What metrics show of the database is what is there, of every workspace; on both databases."""

from sqlalchemy import insert, update

from models.ids import new_id
from models.session import Database, now_ms
from models.store import clock, counts, levels, pauses, workers
from models.store.levels import Levels
from models.suppression_reasons import SuppressionReason
from models.tables import events, status_events, subscriptions, suppressions
from models.tables import workers as worker_rows
from models.vocabulary import Channel, Lane, Status, SuppressionKind
from tests.support.scene import Scene

MAIL = (Channel.EMAIL, Lane.TRANSACTIONAL)
BULK = (Channel.EMAIL, Lane.BULK)


async def read(database: Database) -> Levels:
    async with database.read() as connection:
        return await levels.read(connection)


async def test_of_an_empty_house_everything_is_nothing(scene: Scene) -> None:
    seen = await read(scene.database)
    assert (seen.messages, seen.in_flight, seen.held) == ({}, {}, {})
    lanes = {(channel, lane) for channel in Channel for lane in Lane}
    assert set(seen.ready) == set(seen.waited_ms) == set(seen.suspects) == lanes
    assert not any([*seen.ready.values(), *seen.waited_ms.values(), *seen.suspects.values()])
    assert (seen.events_waiting, seen.events_parked, seen.status_events_waiting) == (0, 0, 0)
    assert (seen.endpoints_off, seen.subscriptions_off, seen.workers, seen.stale_workers) == (0, 0, 0, 0)
    assert seen.resting == frozenset()


async def test_messages_of_all_workspaces_are_counted_by_what_is_shown_of_them(scene: Scene) -> None:
    contact_id = await scene.contact()
    other = await scene.workspace()
    elsewhere = await scene.contact(workspace_id=other)
    sent = [await scene.send(contact_id) for _ in range(4)]
    await scene.send(elsewhere, workspace_id=other, lane=Lane.BULK)
    async with scene.database.write() as connection:
        await counts.fold(connection, 1000)
        now = await clock.read(connection)
    await scene.set(sent[0].id, state="sending", turn=None)
    await scene.set(sent[1].id, state="held", turn=None)
    await scene.set(sent[2].id, state="done", turn=None, sent_at=now)
    await scene.set(sent[3].id, due_at=now - 90_000, crashes=2)
    seen = await read(scene.database)
    assert {key: number for key, number in seen.messages.items() if number} == {
        (Channel.EMAIL, Status.QUEUED): 2,
        (Channel.EMAIL, Status.SENDING): 2,
        (Channel.EMAIL, Status.SENT): 1,
    }
    assert (seen.in_flight, seen.held) == ({Channel.EMAIL: 1}, {Channel.EMAIL: 1})
    assert (seen.ready[MAIL], seen.ready[BULK], sum(seen.ready.values())) == (1, 1, 2)
    assert 90_000 <= seen.waited_ms[MAIL] < 150_000
    assert seen.waited_ms[BULK] < 60_000
    assert (seen.suspects[MAIL], sum(seen.suspects.values())) == (1, 1)


async def test_what_waits_beside_messages_is_counted(scene: Scene) -> None:
    sent = await scene.send(await scene.contact())
    async with scene.database.write() as connection:
        for parked in (None, None, 5):
            await connection.execute(
                insert(events).values(
                    id=new_id(),
                    workspace_id=scene.workspace_id,
                    source_id=new_id(),
                    dedupe_key=b"x" * 32,
                    provider="generic",
                    type="opened",
                    provider_event="opened",
                    at=now_ms(),
                    received_at=now_ms(),
                    raw=b"{}",
                    retry_at=parked,
                )
            )
        for disabled_at in (None, 5):
            own = {"url": "https://www.example.org/in", "events": [], "secret": b"x", "created_at": now_ms()}
            subscription_id = new_id()
            await connection.execute(
                insert(subscriptions).values(
                    id=subscription_id, workspace_id=scene.workspace_id, disabled_at=disabled_at, **own
                )
            )
            await connection.execute(
                insert(status_events).values(
                    workspace_id=scene.workspace_id,
                    subscription_id=subscription_id,
                    message_id=sent.id,
                    type="message.sent",
                    at=now_ms(),
                    created_at=now_ms(),
                    due_at=now_ms(),
                    state="delivered" if disabled_at else "pending",
                )
            )
        await pauses.rest(connection, Channel.PUSH, 60_000, "no key")
    seen = await read(scene.database)
    assert (seen.events_waiting, seen.events_parked, seen.status_events_waiting) == (2, 1, 1)
    assert (seen.subscriptions_off, seen.resting) == (1, frozenset({Channel.PUSH}))


async def test_only_endpoints_that_were_switched_off_are_counted(scene: Scene) -> None:
    other = await scene.workspace()
    reasons = SuppressionReason
    async with scene.database.write() as connection:
        for number, (workspace_id, channel, reason) in enumerate(
            [
                (scene.workspace_id, Channel.WEBHOOK, reasons.ENDPOINT_GONE),
                (scene.workspace_id, Channel.WEBHOOK, reasons.ENDPOINT_FAILING),
                (other, Channel.WEBHOOK, reasons.ENDPOINT_FAILING),
                (other, Channel.WEBHOOK, reasons.MANUAL),
                (other, Channel.EMAIL, reasons.BOUNCED),
            ]
        ):
            await connection.execute(
                insert(suppressions).values(
                    id=new_id(),
                    workspace_id=workspace_id,
                    channel=channel.value,
                    address_digest=bytes([number] * 16),
                    kind=SuppressionKind.DEAD.value,
                    reason=reason.value,
                    created_at=now_ms(),
                )
            )
    assert (await read(scene.database)).endpoints_off == 3


async def test_a_worker_is_alive_while_it_renews_its_lease(scene: Scene) -> None:
    alive, stale, dead = new_id(), new_id(), new_id()
    async with scene.database.write() as connection:
        for worker_id in (alive, stale, dead):
            await workers.register(connection, worker_id, "here", 1)
        old = now_ms() - workers.LEASE_MS - 1_000
        await connection.execute(update(worker_rows).where(worker_rows.c.id == stale).values(renewed_at=old))
        await workers.retire(connection, dead)
    seen = await read(scene.database)
    assert (seen.workers, seen.stale_workers) == (1, 1)


async def test_a_backlog_is_counted_so_far_and_no_further(scene: Scene) -> None:
    contact_id = await scene.contact()
    for _ in range(3):
        await scene.send(contact_id)
    async with scene.database.read() as connection:
        seen = await levels.read(connection, most=2)
    assert (seen.ready[MAIL], seen.messages[Channel.EMAIL, Status.QUEUED]) == (2, 3)
