"""What is kept no longer goes, with all that belongs to it, and nothing else does; on both databases."""

import asyncio
from typing import Any
from uuid import UUID

from sqlalchemy import Table, func, insert, select, update

from models.admission import Idempotency
from models.ids import new_id
from models.session import Database
from models.store import clock, conservation, counts, pruning, settings
from models.store.pruning import FIRST, Walked
from models.store.settings import WorkspaceSettings
from models.tables import (
    attempts,
    contents,
    events,
    idempotency_keys,
    inbox_items,
    inboxes,
    message_details,
    messages,
    sessions,
    sign_in_failures,
    users,
    workspaces,
)
from models.vocabulary import Channel
from tests.support.message_rows import id_of
from tests.support.plans import explain, statements, whole_reads
from tests.support.scene import Scene
from worker.retention import Pruner

DAY_MS = 86_400_000
OF_A_MESSAGE = (messages, message_details, attempts, events, inbox_items, idempotency_keys)


async def now(scene: Scene) -> int:
    async with scene.database.read() as connection:
        return await clock.read(connection)


async def write(database: Database, table: Table, **values: Any) -> None:
    async with database.write() as connection:
        await connection.execute(insert(table).values(**values))


async def number(database: Database, table: Table) -> int:
    async with database.read() as connection:
        return int(await connection.scalar(select(func.count()).select_from(table)) or 0)


async def message(scene: Scene, contact_id: UUID, made_at: int, *, state: str = "done", **fields: Any) -> UUID:
    """A message of that age with everything that may belong to one; it ended when it was made."""
    draft = {"id": id_of(made_at), "channel": Channel.ONSITE, **fields}
    sent = await scene.send(contact_id, **draft)
    ended_at = None if state in ("queued", "sending", "held") else made_at
    await scene.set(sent.id, state=state, turn=None, ended_at=ended_at, sent_at=made_at)
    attempt = {"token": 1, "run": 1, "started_at": made_at, "ended_at": made_at, "outcome": "accepted"}
    await write(scene.database, attempts, message_id=sent.id, **attempt)
    await raw_event(scene, made_at, message_id=sent.id)
    place = await number(scene.database, inbox_items) + 1
    item = {"run": 1, "subject": "", "body": "", "is_html": False, "created_at": made_at}
    await write(
        scene.database,
        inbox_items,
        message_id=sent.id,
        contact_id=contact_id,
        number=place,
        change=place,
        **item,
    )
    return sent.id


async def raw_event(scene: Scene, at: int, **columns: Any) -> None:
    reported = {"provider": "generic", "type": "delivered", "provider_event": "delivered", "raw": b"", "applied_at": at}
    await write(
        scene.database,
        events,
        id=id_of(at),
        workspace_id=scene.workspace_id,
        source_id=scene.workspace_id,
        dedupe_key=new_id().bytes * 2,
        at=at,
        received_at=at,
        **reported | columns,
    )


async def reader(scene: Scene) -> UUID:
    contact_id = await scene.contact()
    await write(scene.database, inboxes, contact_id=contact_id, last_change=0)
    return contact_id


async def pruned(scene: Scene, before: int, most: int = 500, after: UUID = FIRST) -> Walked:
    async with scene.database.write() as connection:
        return await pruning.remove_messages(connection, scene.workspace_id, before, after=after, most=most)


async def left(scene: Scene) -> set[UUID]:
    async with scene.database.read() as connection:
        return set(await connection.scalars(select(messages.c.id)))


async def test_an_old_message_goes_with_all_that_belongs_to_it(scene: Scene) -> None:
    contact_id, today = await reader(scene), await now(scene)
    old = await message(scene, contact_id, today - 100 * DAY_MS, idempotency=Idempotency("key-1", b"1" * 32))
    young = await message(scene, contact_id, today - 80 * DAY_MS, idempotency=Idempotency("key-2", b"2" * 32))
    assert [await number(scene.database, table) for table in OF_A_MESSAGE] == [2] * len(OF_A_MESSAGE)
    assert await number(scene.database, contents) == 1
    assert await pruned(scene, today - 90 * DAY_MS) == Walked(None, 1)
    assert await left(scene) == {young}
    assert [await number(scene.database, table) for table in OF_A_MESSAGE] == [1] * len(OF_A_MESSAGE)
    assert await number(scene.database, contents) == 1  # the younger one says the same
    async with scene.database.read() as connection:
        assert (await conservation.balance(connection, scene.workspace_id)).is_kept
        assert await counts.total(connection, scene.workspace_id) == 1
    assert await pruned(scene, today) == Walked(None, 1)
    assert [await number(scene.database, table) for table in (*OF_A_MESSAGE, contents)] == [0] * 7
    async with scene.database.read() as connection:
        assert await counts.differences(connection) == []
    assert old != young


async def test_what_has_not_ended_or_ended_late_stays_however_old_it_is(scene: Scene) -> None:
    contact_id, today = await reader(scene), await now(scene)
    age = today - 200 * DAY_MS
    kept = {await message(scene, contact_id, age, state=state) for state in ("queued", "sending", "held")}
    late = await message(scene, contact_id, age)
    await scene.set(late, ended_at=today - DAY_MS)
    gone = [await message(scene, contact_id, age, state=state) for state in ("failed", "cancelled", "done")]
    assert await pruned(scene, today - 90 * DAY_MS) == Walked(None, len(gone))
    assert await left(scene) == kept | {late}


async def test_other_workspaces_keep_theirs(scene: Scene) -> None:
    today = await now(scene)
    mine = await message(scene, await reader(scene), today - 100 * DAY_MS)
    other = await scene.workspace()
    async with scene.database.write() as connection:
        walked = await pruning.remove_messages(connection, other, today, after=FIRST, most=500)
    assert walked == Walked(None, 0)
    assert await left(scene) == {mine}


async def test_a_walk_goes_on_where_it_stopped_and_a_batch_is_bounded(scene: Scene) -> None:
    contact_id, today = await reader(scene), await now(scene)
    begins = today - 100 * DAY_MS
    kept = {await message(scene, contact_id, begins + place, state="queued") for place in range(4)}
    for place in range(4, 11):
        await message(scene, contact_id, begins + place)
    removed, after, steps = [], FIRST, 0
    while True:
        walked = await pruned(scene, today, most=3, after=after)
        removed.append(walked.removed)
        steps += 1
        if walked.last is None:
            break
        after = walked.last
    assert removed == [0, 2, 3, 2]
    assert await left(scene) == kept


async def test_two_keepers_and_intakes_at_once_lose_no_text(scene: Scene) -> None:
    """Messages that say the same come in while those that said it go."""
    contact_id, today = await scene.contact(), await now(scene)
    for place in range(60):
        old = await scene.send(contact_id, id=id_of(today - 100 * DAY_MS + place))
        await scene.set(old.id, state="done", turn=None, ended_at=1)

    async def prune() -> None:
        walked = Walked(FIRST, 0)
        while walked.last is not None:
            walked = await pruned(scene, today - DAY_MS, most=5, after=walked.last)

    new = [scene.send(contact_id) for _ in range(20)]
    await asyncio.gather(prune(), prune(), *new)
    await prune()
    rows = await scene.rows()
    assert len(rows) == 20
    async with scene.database.read() as connection:
        told = select(func.count()).select_from(
            message_details.join(contents, contents.c.id == message_details.c.content_id)
        )
        assert await connection.scalar(told) == 20
        assert await counts.differences(connection) == []


async def test_events_of_nobody_go_too_but_not_those_that_still_wait(scene: Scene) -> None:
    today = await now(scene)
    old = today - 100 * DAY_MS
    await raw_event(scene, old)
    await raw_event(scene, old, applied_at=None, retry_at=today)
    await raw_event(scene, today - DAY_MS)
    async with scene.database.write() as connection:
        walked = await pruning.remove_unmatched_events(
            connection, scene.workspace_id, today - 90 * DAY_MS, after=FIRST, most=500
        )
    assert walked == Walked(None, 1)
    assert await number(scene.database, events) == 2


async def test_sessions_and_failed_sign_ins_are_forgotten(scene: Scene) -> None:
    today = await now(scene)
    user_id = new_id()
    await write(scene.database, users, id=user_id, email="ann@example.org", password_hash="", created_at=0)
    for number_, at in enumerate((today - 1, today + 60_000)):
        session = {"id": new_id(), "user_id": user_id, "digest": bytes([number_]) * 32, "created_at": 0, "ends_at": at}
        await write(scene.database, sessions, **session)
        failed = {"subject": bytes([number_]) * 16, "failures": 1, "failed_at": at - 3_600_000, "paused_until": 0}
        await write(scene.database, sign_in_failures, **failed)
    async with scene.database.write() as connection:
        assert await pruning.remove_ended_sessions(connection, 100) == 1
        assert await pruning.remove_sign_in_failures(connection, 3_600_000, 100) == 1


async def test_the_keeper_prunes_as_each_workspace_has_it(scene: Scene) -> None:
    contact_id, today = await reader(scene), await now(scene)
    for days in (5, 50, 100):
        await message(scene, contact_id, today - days * DAY_MS)

    async def keep_for(days: int | None, inbox_days: int | None) -> tuple[int, int]:
        kept = WorkspaceSettings(retention_days=days, inbox_retention_days=inbox_days)
        async with scene.database.write() as connection:
            await settings.change(connection, scene.workspace_id, lambda _: kept)
        pruner = Pruner(scene.database)
        for _ in range(3):
            await pruner.prune()
        return await number(scene.database, messages), await number(scene.database, inbox_items)

    assert await keep_for(None, None) == (3, 3)
    assert await keep_for(None, 60) == (3, 2)
    async with scene.database.write() as connection:
        await connection.execute(update(workspaces).values(settings={}))  # the default: 90 days
    pruner = Pruner(scene.database)
    await pruner.prune()
    await pruner.prune()
    assert (await number(scene.database, messages), await number(scene.database, inbox_items)) == (2, 2)
    assert await keep_for(60, 10) == (2, 1)
    assert await keep_for(10, 60) == (1, 1)


async def test_nothing_reads_a_whole_table(scene: Scene) -> None:
    contact_id, today = await reader(scene), await now(scene)
    await message(scene, contact_id, today - 100 * DAY_MS)
    own = scene.workspace_id

    with statements(scene.database) as asked:
        async with scene.database.write() as connection:
            await pruning.remove_inbox_items(connection, {own: today - 99 * DAY_MS}, after=FIRST, most=500)
            await pruning.remove_messages(connection, own, today - DAY_MS, after=FIRST, most=500)
            await pruning.remove_unmatched_events(connection, own, today, after=FIRST, most=500)
            await pruning.remove_ended_sessions(connection, 500)
            await pruning.remove_sign_in_failures(connection, 1000, 500)
    plans = await explain(scene.database, asked, few_rows=True)
    assert len(plans) > 10
    for plan in plans:
        assert whole_reads(plan) == [], plan
