"""An attempt whose end nobody knew, and the event that settles it, on both databases."""

import hashlib
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from api_shim.workspaces.views import attempt_views
from models.events import ParsedEvent
from models.store import (
    claims,
    commands,
    event_views,
    events,
    exports,
    in_hand,
    keeping,
    message_views,
    outcomes,
    workers,
)
from models.store.claims import Claim
from models.store.event_views import EventFilter
from models.store.message_views import AttemptRow
from models.store.outcomes import Ended
from models.store.why import situation
from models.timestamps import show
from models.vocabulary import Channel, EventType, FailureReason, Gate, Lane, OnUnknown, Outcome, State, Status
from models.why import Why, explain
from tests.support.scene import Scene
from worker.tracker import Tracker

HOOK: Final = UUID(int=7)
WORKER: Final = UUID(int=1)


async def ready(connection: AsyncConnection) -> None:
    for group in await keeping.groups_due(connection):
        await keeping.ready_due(connection, group, 10)


async def claim(scene: Scene) -> Claim:
    async with scene.database.write() as connection:
        await ready(connection)
        (claimed,), _ = await claims.claim(connection, Channel.EMAIL, Lane.TRANSACTIONAL, WORKER, 1)
    return claimed


async def end(scene: Scene, claimed: Claim, state: State, outcome: Outcome | None, **more: Any) -> None:
    ended = Ended(
        message_id=claimed.id,
        token=claimed.token,
        run=claimed.run,
        started_at=claimed.claimed_at,
        state=state,
        outcome=outcome,
        **more,
    )
    async with scene.database.write() as connection:
        await outcomes.record(connection, [ended])


async def doubtful(scene: Scene, state: State = State.QUEUED) -> Claim:
    """A message whose first attempt broke off after the byte that cannot be taken back."""
    await scene.send(await scene.contact(), on_unknown=OnUnknown.HOLD)
    claimed = await claim(scene)
    await end(scene, claimed, state, Outcome.UNKNOWN)
    return claimed


async def report(scene: Scene, message_id: UUID, kind: EventType = EventType.DELIVERED) -> int:
    """A provider's event about the message, applied; when it came."""
    parsed = ParsedEvent(
        type=kind,
        provider_event=kind.value,
        dedupe=hashlib.sha256(kind.value.encode()).digest(),
        raw=b"{}",
        at=None,
        message_ref=message_id,
    )
    async with scene.database.write() as connection:
        await events.insert(
            connection, workspace_id=scene.workspace_id, source_id=HOOK, provider="generic", events_=[parsed]
        )
    await Tracker(scene.database).pull()
    async with scene.database.read() as connection:
        rows, _ = await event_views.page(
            connection, scene.workspace_id, EventFilter(message_id=message_id), limit=1, offset=0
        )
    return rows[0].received_at


async def attempts(scene: Scene, message_id: UUID) -> list[AttemptRow]:
    async with scene.database.read() as connection:
        rows = await message_views.attempts_of(connection, scene.workspace_id, message_id)
        assert (await exports.attempts_of(connection, [message_id]))[message_id] == rows
    return list(rows)


async def settled(scene: Scene, message_id: UUID) -> list[int | None]:
    return [row.settled_at for row in await attempts(scene, message_id)]


async def why(scene: Scene, message_id: UUID) -> Why:
    async with scene.database.read() as connection:
        it = await situation(connection, scene.workspace_id, message_id)
    assert it is not None
    return explain(it)


@pytest.mark.parametrize("kind", [EventType.DELIVERED, EventType.OPENED, EventType.BOUNCED, EventType.COMPLAINED])
async def test_what_proves_that_it_arrived_settles_a_held_message(scene: Scene, kind: EventType) -> None:
    held = await doubtful(scene, State.HELD)
    before = await why(scene, held.id)
    assert (before.gate, before.last_error is not None) == (Gate.DOUBT, True)
    assert await settled(scene, held.id) == [None]
    came = await report(scene, held.id, kind)
    assert (await scene.row(held.id)).state is State.DONE
    (attempt,) = await attempts(scene, held.id)
    assert (attempt.outcome, attempt.settled_at) == (Outcome.UNKNOWN, came)
    assert attempt_views([attempt])[0].settled_at == show(came)
    after = await why(scene, held.id)
    assert (after.gate, after.last_error) == (None, None)
    assert f"a report that came at {show(came)} proves that it arrived" in after.because


async def test_what_proves_nothing_settles_nothing(scene: Scene) -> None:
    held = await doubtful(scene, State.HELD)
    await report(scene, held.id, EventType.IGNORED)
    assert await settled(scene, held.id) == [None]
    assert (await scene.row(held.id)).state is State.HELD


async def test_a_report_on_a_lost_workers_attempt_stops_the_next_one(scene: Scene) -> None:
    sent = await scene.send(await scene.contact())
    await claim(scene)
    async with scene.database.write() as connection:
        await workers.rescue(connection, WORKER)
        await ready(connection)
    came = await report(scene, sent.id)
    assert [(row.outcome, row.settled_at) for row in await attempts(scene, sent.id)] == [(Outcome.AMBIGUOUS, came)]
    row = await scene.row(sent.id)
    assert (row.state, row.status) == (State.DONE, Status.DELIVERED)
    async with scene.database.write() as connection:
        assert await claims.claim(connection, Channel.EMAIL, Lane.TRANSACTIONAL, WORKER, 1) == ([], 0)


async def test_of_two_that_may_have_arrived_neither_is_settled(scene: Scene) -> None:
    first = await doubtful(scene)
    await end(scene, await claim(scene), State.HELD, Outcome.UNKNOWN)
    await report(scene, first.id)
    assert await settled(scene, first.id) == [None, None]
    assert (await scene.row(first.id)).state is State.DONE
    assert (await why(scene, first.id)).last_error is not None


async def test_a_failure_beside_it_changes_nothing(scene: Scene) -> None:
    first = await doubtful(scene)
    await end(scene, await claim(scene), State.HELD, Outcome.TRANSIENT)
    came = await report(scene, first.id)
    assert await settled(scene, first.id) == [came, None]


async def test_the_report_may_be_on_the_second_that_was_under_way(scene: Scene) -> None:
    first = await doubtful(scene)
    second = await claim(scene)
    await report(scene, first.id)
    assert await settled(scene, first.id) == [None]
    await end(scene, second, State.DONE, Outcome.ACCEPTED)
    assert await settled(scene, first.id) == [None, None]
    assert (await why(scene, first.id)).last_error is None


async def test_a_report_on_this_run_tells_nothing_of_another(scene: Scene) -> None:
    given_up = await doubtful(scene, State.FAILED)
    async with scene.database.write() as connection:
        await commands.retry(connection, scene.workspace_id, given_up.id)
    await end(scene, await claim(scene), State.DONE, Outcome.ACCEPTED)
    await report(scene, given_up.id)
    assert await settled(scene, given_up.id) == [None, None]


async def held_by_a_rescue(scene: Scene) -> Claim:
    """A message whose worker was taken for dead after its send began, and goes on."""
    await scene.send(await scene.contact(), on_unknown=OnUnknown.HOLD)
    claimed = await claim(scene)
    async with scene.database.write() as connection:
        assert await in_hand.mark_begun(connection, [claimed])
        assert await workers.rescue(connection, WORKER) == 1
    assert (await scene.row(claimed.id)).state is State.HELD
    return claimed


async def attempts_of(scene: Scene, message_id: UUID) -> Sequence[AttemptRow]:
    async with scene.database.read() as connection:
        return await message_views.attempts_of(connection, scene.workspace_id, message_id)


async def test_a_late_refusal_ends_what_is_held(scene: Scene) -> None:
    claimed = await held_by_a_rescue(scene)
    said: dict[str, Any] = {"reason": FailureReason.ADDRESS_DEAD, "code": "550 5.1.1", "detail": "no such user"}
    for _ in range(2):
        await end(scene, claimed, State.FAILED, Outcome.PERMANENT, bounced=True, dead_address=True, **said)
    row = await scene.row(claimed.id)
    assert (row.state, row.status, row.failure_reason) == (State.FAILED, Status.BOUNCED, said["reason"])
    (attempt,) = await attempts_of(scene, claimed.id)
    assert (attempt.outcome, attempt.code, attempt.detail) == (Outcome.PERMANENT, said["code"], said["detail"])


async def test_what_is_held_goes_on_when_it_turns_out_that_nothing_arrived(scene: Scene) -> None:
    claimed = await held_by_a_rescue(scene)
    await end(scene, claimed, State.QUEUED, Outcome.TRANSIENT, code="450", delay_ms=60_000)
    row = await scene.row(claimed.id)
    assert (row.state, row.tries) == (State.QUEUED, 1)
    assert [attempt.outcome for attempt in await attempts_of(scene, claimed.id)] == [Outcome.TRANSIENT]


async def test_what_is_held_for_a_send_that_never_began_is_sent(scene: Scene) -> None:
    claimed = await held_by_a_rescue(scene)
    await end(scene, claimed, State.QUEUED, None)
    assert not await attempts_of(scene, claimed.id)
    again = await claim(scene)
    assert (again.id, again.tries) == (claimed.id, 0)


@pytest.mark.parametrize("decide", [commands.release, commands.fail])
async def test_a_late_refusal_says_nothing_of_what_a_person_has_decided_on(scene: Scene, decide: Any) -> None:
    claimed = await held_by_a_rescue(scene)
    async with scene.database.write() as connection:
        await decide(connection, scene.workspace_id, claimed.id)
    before = await scene.row(claimed.id)
    await end(scene, claimed, State.FAILED, Outcome.PERMANENT, reason=FailureReason.REJECTED, code="550")
    assert await scene.row(claimed.id) == before


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.AMBIGUOUS])
async def test_a_late_doubt_leaves_it_held(scene: Scene, outcome: Outcome) -> None:
    claimed = await held_by_a_rescue(scene)
    before = await scene.row(claimed.id)
    await end(scene, claimed, State.QUEUED, outcome)
    assert await scene.row(claimed.id) == before
