"""The tracker: an event that it cannot apply, and one that suppresses for good what was suppressed for a time."""

import hashlib
from uuid import UUID

import pytest
from opentelemetry.sdk.trace import TracerProvider
from sqlalchemy import select, text, update
from structlog.testing import capture_logs

from models.events import ParsedEvent
from models.ids import new_id
from models.session import Database, now_ms
from models.store import applying, events
from models.tables import events as events_table
from models.tables import suppressions
from models.traces import Tracing
from models.vocabulary import EventType, Status
from tests.support.scene import Scene
from worker.traces import WorkerTraces
from worker.tracker import Tracker


async def report(scene: Scene, kind: EventType, message_id: UUID) -> None:
    parsed = ParsedEvent(
        type=kind,
        provider_event=kind.value,
        dedupe=hashlib.sha256(new_id().bytes).digest(),
        raw=b"{}",
        at=None,
        message_ref=message_id,
    )
    async with scene.database.write() as connection:
        await events.insert(
            connection, workspace_id=scene.workspace_id, source_id=UUID(int=7), provider="generic", events_=[parsed]
        )


class Picky(Tracker):
    """Cannot apply what tells of a delivery; right after it met it alone, an event comes in that is older."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._met = 0

    async def _apply(self, most: int, taken: list[UUID]) -> None:
        try:
            async with self._database.write() as connection:
                raw = await events.take(connection, most)
                taken.extend(each.id for each in raw)
                if any(each.type is EventType.DELIVERED for each in raw):
                    self._met += 1
                    raise ValueError("cannot")
                await applying.apply(connection, raw, await events.match(connection, raw))
        finally:
            if self._met == 2:
                async with self._database.write() as connection:
                    opened = events_table.c.type == EventType.OPENED.value
                    await connection.execute(update(events_table).where(opened).values(id=UUID(int=1)))


async def test_the_event_that_breaks_is_the_one_that_is_put_aside(scene: Scene) -> None:
    message = await scene.send(await scene.contact())
    await report(scene, EventType.DELIVERED, message.id)
    await report(scene, EventType.OPENED, message.id)
    await Picky(scene.database).pull()
    async with scene.database.read() as connection:
        rows = await connection.execute(select(events_table.c.type, events_table.c.retry_at))
    assert {row.type: row.retry_at is not None for row in rows} == {"delivered": True, "opened": False}
    assert (await scene.row(message.id)).status is Status.OPENED


@pytest.mark.parametrize("expires_in_ms", [-1_000, 3_600_000], ids=["over", "standing"])
async def test_what_lasts_replaces_what_holds_for_a_time(scene: Scene, expires_in_ms: int) -> None:
    message = await scene.send(await scene.contact())
    await report(scene, EventType.UNSUBSCRIBED, message.id)
    await Tracker(scene.database).pull()
    async with scene.database.write() as connection:
        await connection.execute(update(suppressions).values(expires_at=now_ms() + expires_in_ms, reason="for a time"))
    await report(scene, EventType.UNSUBSCRIBED, message.id)
    await Tracker(scene.database).pull()
    async with scene.database.read() as connection:
        rows = (await connection.execute(select(suppressions.c.expires_at, suppressions.c.reason))).all()
    assert [tuple(row) for row in rows] == [(None, "unsubscribed")]


async def test_an_event_is_applied_though_nobody_can_read_which_trace_it_belongs_to(scene: Scene) -> None:
    message = await scene.send(await scene.contact())
    await report(scene, EventType.DELIVERED, message.id)
    async with scene.database.write() as connection:
        await connection.execute(text("ALTER TABLE message_details DROP COLUMN traceparent"))
    tracing = Tracing(TracerProvider(shutdown_on_exit=False))
    with capture_logs() as logs:
        await Tracker(scene.database, WorkerTraces(tracing, {})).pull()
    assert [entry["event"] for entry in logs] == ["traces.reports_not_read"]
    assert (await scene.row(message.id)).status is Status.DELIVERED
