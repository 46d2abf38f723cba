"""Reports that name no run of a message that is sent again, on both databases: they tell of the run that they can."""

import hashlib
from typing import Final
from uuid import UUID

from models.events import ParsedEvent
from models.ids import new_id
from models.store import clock, commands, events
from models.store.message_views import MessageRow
from models.vocabulary import BounceType, EventType, State, Status
from tests.support.scene import Scene
from tests.support.taken import take
from worker.tracker import Tracker

HOOK: Final = UUID(int=7)
HOUR_MS: Final = 3_600_000


async def report(scene: Scene, kind: EventType, message_id: UUID, *, at: int | None = None, apply: bool = True) -> None:
    parsed = ParsedEvent(
        type=kind,
        provider_event=kind.value,
        dedupe=hashlib.sha256(new_id().bytes).digest(),
        raw=b"{}",
        at=at,
        message_ref=message_id,
        bounce_type=BounceType.SOFT if kind is EventType.BOUNCED else None,
    )
    async with scene.database.write() as connection:
        await events.insert(
            connection, workspace_id=scene.workspace_id, source_id=HOOK, provider="generic", events_=[parsed]
        )
    if apply:
        await Tracker(scene.database).pull()


async def retried(scene: Scene) -> MessageRow:
    """A message that bounced, and waits to be sent again."""
    message = await scene.send(await scene.contact())
    await take(scene)
    await report(scene, EventType.BOUNCED, message.id)
    assert (await scene.row(message.id)).status is Status.BOUNCED
    async with scene.database.write() as connection:
        await commands.retry(connection, scene.workspace_id, message.id)
    return await scene.row(message.id)


async def test_a_late_report_of_the_run_before_does_not_keep_it_from_being_sent_again(scene: Scene) -> None:
    message = await retried(scene)
    await report(scene, EventType.DEFERRED, message.id)
    row = await scene.row(message.id)
    assert (row.status, row.state) == (Status.QUEUED, State.QUEUED)
    await take(scene)
    assert (await scene.row(message.id)).status is Status.SENT


async def test_what_came_before_it_was_sent_again_tells_of_the_run_before_whenever_it_is_applied(scene: Scene) -> None:
    message = await retried(scene)
    await report(scene, EventType.DELIVERED, message.id, apply=False)
    await take(scene)
    async with scene.database.read() as connection:
        sending_at = await clock.read(connection) + 1  # at the earliest a millisecond after the report
    await scene.set(message.id, sending_at=sending_at)
    await Tracker(scene.database).pull()
    assert (await scene.row(message.id)).status is Status.SENT


async def test_what_happened_before_it_was_sent_again_tells_of_the_run_before(scene: Scene) -> None:
    message = await retried(scene)
    await take(scene)
    async with scene.database.read() as connection:
        now = await clock.read(connection)
    await scene.set(message.id, queued_at=now - 2 * HOUR_MS)
    await report(scene, EventType.DELIVERED, message.id, at=now - HOUR_MS)
    assert (await scene.row(message.id)).status is Status.SENT


async def test_what_happens_afterwards_tells_of_the_present_run(scene: Scene) -> None:
    message = await retried(scene)
    await take(scene)
    await report(scene, EventType.DELIVERED, message.id)
    assert (await scene.row(message.id)).status is Status.DELIVERED


async def test_a_message_that_was_never_retried_has_one_run_alone(scene: Scene) -> None:
    message = await scene.send(await scene.contact())
    await report(scene, EventType.DELIVERED, message.id)
    assert (await scene.row(message.id)).state is State.DONE
