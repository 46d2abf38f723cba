"""Sending again what did not arrive, and only that; on both databases."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from models.faults import Fault, fault_of
from models.store import campaigns, claims, counts, message_views, replays
from models.store.message_views import MessageFilter
from models.store.replays import Replayed, Wanted
from models.tables import messages
from models.vocabulary import CampaignState, Channel, FailureReason, Lane, State, Status
from tests.support.scene import Scene

SINCE = 1_000_000
EMAIL = (Channel.EMAIL, Lane.TRANSACTIONAL)


async def failed(scene: Scene, reason: FailureReason | None = FailureReason.EXHAUSTED, **columns: Any) -> UUID:
    """A message that failed."""
    sent = await scene.send(await scene.contact())
    over = {"state": "failed", "turn": None, "ended_at": SINCE + 1, "failure_reason": reason and reason.value}
    await scene.set(sent.id, **over | columns)
    return sent.id


async def replay(scene: Scene, *, after: UUID | None = None, most: int = 100, **wanted: Any) -> Replayed:
    async with scene.database.write() as connection:
        found = Wanted(**{"since": SINCE} | wanted)
        return await replays.retry_some(connection, scene.workspace_id, found, after=after, most=most)


async def matching(scene: Scene, **wanted: Any) -> int:
    async with scene.database.read() as connection:
        return await replays.count(connection, scene.workspace_id, Wanted(**{"since": SINCE} | wanted))


async def queued(scene: Scene) -> set[UUID]:
    async with scene.database.read() as connection:
        return set(await connection.scalars(select(messages.c.id).where(messages.c.state == State.QUEUED.value)))


async def test_what_failed_is_sent_again_once(scene: Scene) -> None:
    ids = [await failed(scene) for _ in range(3)]
    assert await matching(scene) == 3
    assert await queued(scene) == set()
    assert await replay(scene) == Replayed(None, 3, {}, frozenset({EMAIL}))
    assert await matching(scene) == 0
    assert await replay(scene) == Replayed(None, 0, {}, frozenset())
    rows = await scene.rows()
    assert [(row.status, row.run, row.failure_reason, row.ended_at) for row in rows] == [
        (Status.QUEUED, 2, None, None)
    ] * 3
    async with scene.database.write() as connection:
        claimed, _ = await claims.claim(connection, *EMAIL, UUID(int=1), 10)
    assert [each.id for each in claimed] == ids  # each has its turn
    async with scene.database.read() as connection:
        assert await counts.differences(connection) == []


async def test_two_who_ask_at_once_send_nothing_twice(scene: Scene) -> None:
    for _ in range(20):
        await failed(scene)
    done = await asyncio.gather(*(replay(scene) for _ in range(4)))
    assert sum(each.retried for each in done) == 20
    assert {row.run for row in await scene.rows()} == {2}


async def test_batches_are_bounded_and_follow_each_other(scene: Scene) -> None:
    ids = [await failed(scene) for _ in range(5)]
    first = await replay(scene, most=2)
    assert (first.last, first.retried) == (ids[1], 2)
    # What fails again meanwhile is not met again by those who go on.
    await scene.set(ids[0], state="failed", turn=None, ended_at=SINCE + 2, failure_reason="exhausted")
    second = await replay(scene, most=2, after=first.last)
    third = await replay(scene, most=2, after=second.last)
    assert (second.retried, third) == (2, Replayed(None, 1, {}, frozenset({EMAIL})))
    assert await queued(scene) == set(ids[1:])


async def test_what_did_not_fail_or_failed_before_is_left(scene: Scene) -> None:
    await failed(scene, ended_at=SINCE - 1)
    await failed(scene, hard_bounced_at=SINCE + 1)
    await scene.send(await scene.contact())
    sent = await scene.send(await scene.contact())
    await scene.set(sent.id, state="done", turn=None, sent_at=SINCE, ended_at=SINCE)
    waiting = await queued(scene)
    assert await replay(scene) == Replayed(None, 0, {}, frozenset())
    assert await queued(scene) == waiting
    assert await matching(scene, bounced=True) == 1
    assert (await replay(scene, bounced=True)).retried == 1


async def test_what_a_provider_gave_up_later_counts_from_then(scene: Scene) -> None:
    message_id = await failed(scene, None, state="done", ended_at=SINCE - 50, sent_at=SINCE - 50, failed_at=SINCE + 1)
    assert await matching(scene, reason=FailureReason.EXHAUSTED) == 0
    assert await matching(scene, reason=FailureReason.PROVIDER_FAILED) == 1
    assert (await replay(scene, fault=Fault.OURS)).retried == 1
    assert await queued(scene) == {message_id}


@pytest.mark.parametrize("reason", [FailureReason.CANCELLED, FailureReason.GIVEN_UP])
async def test_a_persons_word_stands_unless_it_is_asked_for(scene: Scene, reason: FailureReason) -> None:
    state = "cancelled" if reason is FailureReason.CANCELLED else "failed"
    await failed(scene, reason, state=state)
    assert await matching(scene) == 0
    assert (await replay(scene)).retried == 0
    assert (await replay(scene, reason=reason)).retried == 1


async def test_filters_are_all_anded(scene: Scene) -> None:
    async with scene.database.write() as connection:
        campaign = await campaigns.create_campaign(connection, scene.workspace_id, "Spring")
    full = await failed(scene, FailureReason.MAILBOX_FULL)
    policy = await failed(scene, FailureReason.POLICY, campaign_id=campaign.id)
    assert await matching(scene) == 2
    assert await matching(scene, reason=FailureReason.POLICY, fault=Fault.RECEIVER) == 0
    assert await matching(scene, channel=Channel.PUSH) == 0
    assert (await replay(scene, campaign_id=campaign.id)).retried == 1
    assert await queued(scene) == {policy}
    assert (await replay(scene, fault=Fault.RECEIVER)).retried == 1
    assert await queued(scene) == {policy, full}


async def test_what_would_end_at_once_is_refused_and_what_is_paused_waits(scene: Scene) -> None:
    async with scene.database.write() as connection:
        campaign = await campaigns.create_campaign(connection, scene.workspace_id, "Spring")
        await campaigns.set_state(connection, scene.workspace_id, campaign.id, CampaignState.PAUSED)
    expired = await failed(scene, expires_at=1)
    parked = await failed(scene, campaign_id=campaign.id)
    good = await failed(scene)
    done = await replay(scene)
    assert (done.retried, done.refused) == (2, {FailureReason.EXPIRED: 1})
    assert (await scene.row(expired)).run == 1
    assert (await scene.row(expired)).status is Status.FAILED
    assert (await scene.column(parked, "paused"), await scene.column(parked, "turn")) == (True, None)
    assert (await scene.column(good, "paused"), await scene.column(good, "turn") is None) == (False, False)
    assert (await replay(scene)).refused == {FailureReason.EXPIRED: 1}


async def test_no_other_workspace_is_touched(scene: Scene) -> None:
    message_id = await failed(scene)
    other = await scene.workspace()
    async with scene.database.write() as connection:
        done = await replays.retry_some(connection, other, Wanted(since=0), after=None, most=10)
        assert await replays.count(connection, other, Wanted(since=0)) == 0
    assert done.retried == 0
    assert (await scene.row(message_id)).status is Status.FAILED


async def test_lists_by_fault_are_what_the_pure_function_says(scene: Scene) -> None:
    for reason in (None, *FailureReason):
        await failed(scene, reason)
        await failed(scene, reason, hard_bounced_at=SINCE)
        await failed(scene, reason, delivered_at=SINCE)
    rows = await scene.rows()
    for fault in Fault:
        expected = [row.id for row in rows if fault_of(row.status, row.failure_reason) is fault]
        async with scene.database.read() as connection:
            wanted = MessageFilter(fault=fault)
            listed = await message_views.list_page(connection, scene.workspace_id, wanted, limit=200)
            assert await message_views.count(connection, scene.workspace_id, wanted) == len(expected)
        assert [row.id for row in listed] == expected[::-1]
        assert expected
