"""Cancel, retry, release and fail, on both databases, against claims that come at the same moment."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import Conflict, NotFound, Refused
from models.ids import new_id
from models.session import now_ms
from models.store import applying, claims, commands, events, keeping, outcomes, pauses, workers
from models.store import campaigns as campaign_store
from models.store.claims import Claim
from models.store.outcomes import Ended
from models.store.why import situation
from models.tables import campaigns, contacts, messages
from models.tables import workers as worker_rows
from models.vocabulary import (
    CampaignState,
    Channel,
    EventType,
    Fact,
    FailureReason,
    Lane,
    OnUnknown,
    Outcome,
    State,
    Status,
)
from models.why import Gate, Why, explain
from tests.support.scene import Scene

WORKER = UUID(int=1)

Command = Callable[[AsyncConnection, UUID, UUID], Awaitable[tuple[Channel, Lane] | None]]


async def claim(scene: Scene, most: int = 10) -> list[Claim]:
    async with scene.database.write() as connection:
        return (await claims.claim(connection, Channel.EMAIL, Lane.TRANSACTIONAL, WORKER, most))[0]


async def record(scene: Scene, claimed: Claim, state: State, outcome: Outcome | None, **more: Any) -> None:
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


async def do(scene: Scene, command: Command, message_id: UUID) -> tuple[Channel, Lane] | None:
    async with scene.database.write() as connection:
        return await command(connection, scene.workspace_id, message_id)


async def why(scene: Scene, message_id: UUID) -> Why:
    async with scene.database.read() as connection:
        it = await situation(connection, scene.workspace_id, message_id)
    assert it is not None
    return explain(it)


async def sent_and(scene: Scene, state: State, outcome: Outcome, **more: Any) -> UUID:
    """A message whose first attempt ended so."""
    sent = await scene.send(await scene.contact(), on_unknown=OnUnknown.HOLD)
    (claimed,) = await claim(scene)
    await record(scene, claimed, state, outcome, **more)
    return sent.id


async def test_a_cancelled_message_is_never_claimed(scene: Scene) -> None:
    sent = await scene.send(await scene.contact())
    await do(scene, commands.cancel, sent.id)
    row = await scene.row(sent.id)
    assert (row.state, row.status, row.failure_reason) == (State.CANCELLED, Status.FAILED, FailureReason.CANCELLED)
    assert row.ended_at is not None
    assert await claim(scene) == []
    with pytest.raises(Conflict, match="FAILED"):
        await do(scene, commands.cancel, sent.id)


async def test_a_message_is_cancelled_or_claimed_and_never_both(scene: Scene) -> None:
    ends: set[State] = set()
    for number in range(50):
        sent = await scene.send(await scene.contact())
        both: list[Awaitable[Any]] = [do(scene, commands.cancel, sent.id), claim(scene)]
        if number % 2:
            both.reverse()
        results = await asyncio.gather(*both, return_exceptions=True)
        cancelled, claimed = reversed(results) if number % 2 else results
        assert not isinstance(claimed, BaseException), claimed
        state = (await scene.row(sent.id)).state
        ends.add(state)
        if isinstance(cancelled, Conflict):
            assert [each.id for each in claimed] == [sent.id]
            await record(scene, claimed[0], State.DONE, Outcome.ACCEPTED)
            assert (await scene.row(sent.id)).status is Status.SENT
        else:
            assert cancelled is None
            assert (claimed, state) == ([], State.CANCELLED)
    assert ends == {State.CANCELLED, State.SENDING}  # else the two never met


async def test_two_people_who_retry_at_once_begin_one_run(scene: Scene) -> None:
    for _ in range(10):
        message_id = await sent_and(scene, State.FAILED, Outcome.PERMANENT, reason=FailureReason.REJECTED)
        results = await asyncio.gather(
            *(do(scene, commands.retry, message_id) for _ in range(4)), return_exceptions=True
        )
        assert sum(isinstance(result, Conflict) for result in results) == 3
        assert (await scene.row(message_id)).run == 2
        (claimed,) = await claim(scene)
        await record(scene, claimed, State.DONE, Outcome.ACCEPTED)


async def test_a_retry_is_a_run_of_its_own(scene: Scene) -> None:
    message_id = await sent_and(
        scene, State.FAILED, Outcome.PERMANENT, reason=FailureReason.REJECTED, code="554", bounced=True
    )
    await scene.set(message_id, tries=3, crashes=1)
    assert (await scene.row(message_id)).status is Status.BOUNCED
    assert await do(scene, commands.retry, message_id) == (Channel.EMAIL, Lane.TRANSACTIONAL)
    row = await scene.row(message_id)
    assert (row.state, row.status, row.run, row.tries) == (State.QUEUED, Status.QUEUED, 2, 0)
    assert await scene.column(message_id, "crashes") == 0
    assert (row.sending_at, row.ended_at, row.failure_reason) == (None, None, None)
    assert set(row.facts.values()) == {None}
    (claimed,) = await claim(scene)  # at once: it got its turn
    assert (claimed.id, claimed.run) == (message_id, 2)
    await record(scene, claimed, State.DONE, Outcome.ACCEPTED)
    assert (await scene.row(message_id)).status is Status.SENT


async def test_a_stale_outcome_of_the_old_run_changes_nothing(scene: Scene) -> None:
    sent = await scene.send(await scene.contact())
    (old,) = await claim(scene)
    async with scene.database.write() as connection:
        await workers.rescue(connection, WORKER)
    await do(scene, commands.cancel, sent.id)
    await do(scene, commands.retry, sent.id)
    await record(scene, old, State.DONE, Outcome.ACCEPTED)
    row = await scene.row(sent.id)
    assert (row.run, row.state, row.facts[Fact.SENT]) == (2, State.QUEUED, None)
    assert [each.id for each in await claim(scene)] == [sent.id]


async def test_a_success_that_comes_after_the_cancel_is_shown(scene: Scene) -> None:
    sent = await scene.send(await scene.contact())
    (old,) = await claim(scene)
    async with scene.database.write() as connection:
        await workers.rescue(connection, WORKER)
    await do(scene, commands.cancel, sent.id)
    await record(scene, old, State.DONE, Outcome.ACCEPTED)
    assert (await scene.row(sent.id)).status is Status.SENT
    with pytest.raises(Conflict):
        await do(scene, commands.retry, sent.id)


async def test_a_held_message_is_released_or_failed_once(scene: Scene) -> None:
    released, failed = [await sent_and(scene, State.HELD, Outcome.UNKNOWN) for _ in range(2)]
    assert (await why(scene, released)).gate is Gate.DOUBT
    assert await do(scene, commands.release, released) == (Channel.EMAIL, Lane.TRANSACTIONAL)
    assert [(each.id, each.run) for each in await claim(scene)] == [(released, 1)]
    await do(scene, commands.fail, failed)
    row = await scene.row(failed)
    assert (row.state, row.status, row.failure_reason) == (State.FAILED, Status.FAILED, FailureReason.GIVEN_UP)
    for command in (commands.release, commands.fail):
        for message_id in (released, failed):
            with pytest.raises(Conflict, match="Only a held message"):
                await do(scene, command, message_id)


async def test_a_report_and_a_release_at_once_send_nothing_twice(scene: Scene) -> None:
    """Either the message was proven to have arrived first, or it is sent again and the proof takes it back."""
    for _ in range(10):
        message_id = await sent_and(scene, State.HELD, Outcome.UNKNOWN)
        proof = _accepted(scene, message_id)
        results = await asyncio.gather(do(scene, commands.release, message_id), proof, return_exceptions=True)
        assert not isinstance(results[1], BaseException), results[1]
        assert (await scene.row(message_id)).state is State.DONE
        assert await claim(scene) == []


async def _accepted(scene: Scene, message_id: UUID) -> None:
    async with scene.database.write() as connection:
        row = events.RawEvent(
            id=new_id(),
            workspace_id=scene.workspace_id,
            type=EventType.DELIVERED,
            message_ref=message_id,
            provider_ref=None,
            run=None,
            at=(await scene.row(message_id)).queued_at,
            received_at=(await scene.row(message_id)).queued_at,
            bounce_type=None,
            reason=None,
            machine=False,
        )
        await applying.apply(connection, [row], await events.match(connection, [row]))


@pytest.mark.parametrize("command", [commands.cancel, commands.retry, commands.release, commands.fail])
async def test_no_command_reaches_into_another_workspace(scene: Scene, command: Command) -> None:
    sent = await scene.send(await scene.contact())
    before = await scene.row(sent.id)
    other = await scene.workspace()
    for workspace_id, message_id in ((other, sent.id), (scene.workspace_id, new_id())):
        with pytest.raises(NotFound):
            async with scene.database.write() as connection:
                await command(connection, workspace_id, message_id)
    assert await scene.row(sent.id) == before


async def test_what_a_claim_would_end_is_not_sent_again(scene: Scene) -> None:
    message_id = await sent_and(
        scene, State.FAILED, Outcome.PERMANENT, reason=FailureReason.ADDRESS_DEAD, bounced=True, dead_address=True
    )
    held = await scene.contact(email="ben@example.org")
    waiting = await scene.send(held, on_unknown=OnUnknown.HOLD, campaign_id=await _campaign(scene))
    (claimed,) = await claim_bulk(scene)
    await record(scene, claimed, State.HELD, Outcome.UNKNOWN)
    before = [await scene.row(each) for each in (message_id, waiting.id)]

    await _refused(scene, commands.retry, message_id, FailureReason.SUPPRESSED)
    await scene.set(waiting.id, expires_at=1)
    await _refused(scene, commands.release, waiting.id, FailureReason.EXPIRED)
    await scene.set(waiting.id, expires_at=None)
    await _set_campaigns(scene, CampaignState.CANCELLED)
    await _refused(scene, commands.release, waiting.id, FailureReason.CANCELLED)
    await _set_campaigns(scene, CampaignState.RUNNING)
    async with scene.database.write() as connection:
        await connection.execute(update(contacts).where(contacts.c.id == held).values(erased_at=now_ms()))
    await _refused(scene, commands.release, waiting.id, FailureReason.ERASED)
    assert [await scene.row(each) for each in (message_id, waiting.id)] == before


async def _refused(scene: Scene, command: Command, message_id: UUID, reason: FailureReason) -> None:
    with pytest.raises(Refused) as refused:
        await do(scene, command, message_id)
    assert refused.value.reason is reason


async def claim_bulk(scene: Scene) -> list[Claim]:
    async with scene.database.write() as connection:
        return (await claims.claim(connection, Channel.EMAIL, Lane.BULK, WORKER, 10))[0]


async def _campaign(scene: Scene) -> UUID:
    campaign_id = new_id()
    async with scene.database.write() as connection:
        await connection.execute(
            campaigns.insert().values(
                id=campaign_id,
                workspace_id=scene.workspace_id,
                name="Spring",
                state=CampaignState.RUNNING.value,
                created_at=now_ms(),
            )
        )
    return campaign_id


async def _set_campaigns(scene: Scene, state: CampaignState) -> None:
    async with scene.database.write() as connection:
        await connection.execute(update(campaigns).values(state=state.value))


async def test_a_message_of_a_paused_campaign_waits_for_it(scene: Scene) -> None:
    campaign = await _campaign(scene)
    sent = await scene.send(await scene.contact(), campaign_id=campaign)
    await do(scene, commands.cancel, sent.id)
    await _set_campaigns(scene, CampaignState.PAUSED)
    assert await do(scene, commands.retry, sent.id) is None
    assert await claim_bulk(scene) == []
    assert (await why(scene, sent.id)).gate is Gate.CAMPAIGN
    await _set_campaigns(scene, CampaignState.RUNNING)
    async with scene.database.write() as connection:
        await campaign_store.settle(connection, campaign, 10)
        assert await keeping.ready_due(connection, (Channel.EMAIL, Lane.BULK, scene.workspace_id), 10) == 1
    assert [each.id for each in await claim_bulk(scene)] == [sent.id]


async def test_why_reads_what_there_is(scene: Scene) -> None:
    contact = await scene.contact()
    first, second = [(await scene.send(contact)).id for _ in range(2)]
    assert [((await why(scene, each)).gate, (await why(scene, each)).place) for each in (first, second)] == [
        (Gate.LANE, 0),
        (Gate.LANE, 1),
    ]
    async with scene.database.write() as connection:
        await pauses.rest(connection, Channel.EMAIL, 60_000, "no server")
    resting = await why(scene, first)
    assert (resting.gate, resting.next_attempt_at is not None) == (Gate.CHANNEL, True)
    async with scene.database.write() as connection:
        await pauses.rest(connection, Channel.EMAIL, -60_000, "no server")
        await workers.register(connection, WORKER, "here", 1)

    claimed = {each.id: each for each in await claim(scene)}
    sending = await why(scene, first)
    assert sending.gate is Gate.WORKER
    assert "lost" not in sending.because
    await record(scene, claimed[first], State.QUEUED, Outcome.TRANSIENT, delay_ms=60_000, code="451", detail="later")
    retrying = await why(scene, first)
    assert (retrying.gate, retrying.last_error is not None) == (Gate.RETRY, True)
    assert retrying.last_error is not None
    assert (retrying.last_error.code, retrying.last_error.detail) == ("451", "later")
    await scene.set(first, due_at=1)
    assert (await why(scene, first)).gate is Gate.KEEPER


async def test_why_knows_a_lost_worker_a_suspect_and_a_schedule(scene: Scene) -> None:
    contact = await scene.contact()
    first, second = [(await scene.send(contact)).id for _ in range(2)]
    async with scene.database.write() as connection:
        await workers.register(connection, WORKER, "here", 1)
    await claim(scene)
    assert "lost" not in (await why(scene, second)).because
    async with scene.database.write() as connection:
        await connection.execute(update(worker_rows).values(dead_at=now_ms()))
    assert "lost" in (await why(scene, second)).because
    await scene.set(second, state=State.QUEUED.value, turn=7, crashes=2)
    assert (await why(scene, second)).gate is Gate.SUSPECT
    later = (await scene.send(contact, send_at=4_102_444_800_000)).id
    scheduled = await why(scene, later)
    assert (scheduled.gate, scheduled.next_attempt_at) == (Gate.SCHEDULE, 4_102_444_800_000)
    async with scene.database.read() as connection:
        assert await situation(connection, await scene.workspace(), first) is None


async def test_a_place_is_counted_in_its_own_lane(scene: Scene) -> None:
    contact = await scene.contact()
    campaign = await _campaign(scene)
    for _ in range(3):
        await scene.send(contact)
    bulk = await scene.send(contact, campaign_id=campaign)
    assert (await why(scene, bulk.id)).place == 0
    crowd = [await scene.send(contact) for _ in range(3)]
    await scene.set(crowd[0].id, crashes=2)  # a suspect goes alone and stands before nobody
    assert [(await why(scene, each.id)).place for each in crowd] == [0, 3, 4]
    async with scene.database.write() as connection:
        await connection.execute(update(messages).where(messages.c.id == crowd[1].id).values(turn=None, paused=True))
    assert (await why(scene, crowd[2].id)).place == 3
