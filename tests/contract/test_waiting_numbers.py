"""What is counted of a workspace's latest messages and of its lanes, on both databases."""

from uuid import UUID

from models import ids
from models.session import now_ms
from models.store import campaigns as campaign_store
from models.store import claims, counts, lane_depths, recent, workers
from models.store.lane_depths import Depth
from models.store.recent import Undelivered
from models.vocabulary import Channel, FailureReason, Lane, State, Status
from tests.support.message_rows import id_of
from tests.support.scene import Scene

WORKER = UUID(int=1)


async def depth(scene: Scene, lane: Lane = Lane.TRANSACTIONAL) -> Depth:
    async with scene.database.read() as connection:
        found = await lane_depths.depths(connection, scene.workspace_id)
    assert len(found) == len(Channel) * len(Lane)
    (wanted,) = [each for each in found if (each.channel, each.lane) == (Channel.EMAIL, lane)]
    return wanted


async def test_the_latest_are_counted_from_a_time_on(scene: Scene) -> None:
    contact = await scene.contact()
    since = ids.since(1_000_000)
    before = [await scene.send(contact, id=id_of(999_998 + number)) for number in range(2)]
    after = [await scene.send(contact, id=id_of(1_000_000 + number)) for number in range(4)]
    await scene.set(after[0].id, hard_bounced_at=1, state=State.DONE.value)
    await scene.set(after[1].id, state=State.FAILED.value, failure_reason=FailureReason.MAILBOX_FULL.value)
    await scene.set(before[0].id, state=State.FAILED.value, failure_reason=FailureReason.POLICY.value)
    other = await scene.workspace()
    own = scene.workspace_id
    async with scene.database.read() as connection:
        assert await recent.by_status(connection, own, since) == {
            (Channel.EMAIL, Status.QUEUED): 2,
            (Channel.EMAIL, Status.BOUNCED): 1,
            (Channel.EMAIL, Status.FAILED): 1,
        }
        assert await recent.undelivered_by_reason(connection, own, since) == {
            Undelivered(Status.BOUNCED, None): 1,
            Undelivered(Status.FAILED, FailureReason.MAILBOX_FULL): 1,
        }
        assert await recent.newest(connection, own) == after[-1].id
        assert await recent.accepted(connection, own, before[0].id, after[-2].id) == {
            (Channel.EMAIL, Lane.TRANSACTIONAL): 4
        }
        assert await recent.by_status(connection, other, since) == {}
        assert await recent.newest(connection, other) is None
        assert await recent.accepted(connection, other, before[0].id, after[-1].id) == {}


async def test_what_waits_is_told_from_what_is_in_hand(scene: Scene) -> None:
    contact = await scene.contact()
    assert await depth(scene) == Depth(
        channel=Channel.EMAIL, lane=Lane.TRANSACTIONAL, ready=0, later=0, in_flight=0, waited=None
    )
    sent = [await scene.send(contact) for _ in range(3)]
    await scene.send(contact, send_at=32_503_680_000_000)
    async with scene.database.write() as connection:
        campaign = await campaign_store.create_campaign(connection, scene.workspace_id, "Spring")
    await scene.send(contact, campaign_id=campaign.id)
    await scene.set(sent[0].id, due_at=now_ms() - 5_000)
    first = await depth(scene)
    assert (first.ready, first.later, first.in_flight) == (3, 1, 0)
    assert first.waited is not None
    assert 5_000 <= first.waited < 60_000
    assert (await depth(scene, Lane.BULK)).ready == 1

    async with scene.database.write() as connection:
        await workers.register(connection, WORKER, "host", 1)
        claimed, *_ = await claims.claim(connection, Channel.EMAIL, Lane.TRANSACTIONAL, WORKER, 2)
    assert len(claimed) == 2
    second = await depth(scene)
    assert (second.ready, second.later, second.in_flight) == (1, 1, 2)
    await scene.set(sent[0].id, state=State.HELD.value)
    await scene.set(sent[1].id, state=State.DONE.value)
    async with scene.database.read() as connection:
        assert await counts.unended(connection, scene.workspace_id) == {Channel.EMAIL: 3}
        assert await counts.unended(connection, ids.new_id()) == {}
