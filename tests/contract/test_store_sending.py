"""The stores of the sending side, on both databases: intake, turns, claims, outcomes, rescue."""

from uuid import UUID

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.admission import Idempotency
from models.errors import IdempotencyMismatch, NotFound, Refused
from models.ids import new_id
from models.store import campaigns as campaigns_store
from models.store import claim_rows, claims, clock, in_hand, keeping, message_views, outcomes, pauses, workers
from models.store.claims import Claim
from models.store.outcomes import Ended
from models.store.suppressions import create_lasting
from models.tables import attempts, campaigns, contents, messages, suppressions
from models.vocabulary import Channel, FailureReason, Lane, OnUnknown, Outcome, State, Status
from tests.support.scene import Scene

WORKER = UUID(int=1)


async def claim(scene: Scene, most: int = 10, lane: Lane = Lane.TRANSACTIONAL, worker: UUID = WORKER) -> list[Claim]:
    async with scene.database.write() as connection:
        return (await claims.claim(connection, Channel.EMAIL, lane, worker, most))[0]


async def ready(connection: AsyncConnection) -> set[tuple[Channel, Lane]]:
    """Ready what is due; the lanes that got work."""
    groups = await keeping.groups_due(connection)
    return {group[:2] for group in groups if await keeping.ready_due(connection, group, 10)}


async def record(scene: Scene, *chunk: Ended) -> None:
    async with scene.database.write() as connection:
        await outcomes.record(connection, chunk)


def ended(
    claimed: Claim, state: State = State.DONE, outcome: Outcome | None = Outcome.ACCEPTED, **more: object
) -> Ended:
    return Ended(
        message_id=claimed.id,
        token=claimed.token,
        run=claimed.run,
        started_at=claimed.claimed_at,
        state=state,
        outcome=outcome,
        **more,  # type: ignore[arg-type]
    )


async def test_a_message_is_accepted_claimed_and_recorded(scene: Scene) -> None:
    contact = await scene.contact()
    sent = await scene.send(contact, metadata={"category": "digest"})
    assert (sent.status, sent.subject, sent.metadata) == (Status.QUEUED, "Hello Ann", {"category": "digest"})
    assert sent == await scene.row(sent.id)

    (claimed,) = await claim(scene)
    assert (claimed.id, claimed.address, claimed.variables) == (sent.id, "ann@example.org", {"firstName": "Ann"})
    assert (await scene.row(sent.id)).status is Status.SENDING
    assert await claim(scene) == []

    await record(scene, ended(claimed, code="250", detail="ok", provider_id="q1"))
    row = await scene.row(sent.id)
    assert row.status is Status.SENT
    assert row.queued_at <= (row.sending_at or 0) <= (row.sent_at or 0)


async def test_equal_texts_share_one_content(scene: Scene) -> None:
    for _ in range(3):
        await scene.send(await scene.contact())
    async with scene.database.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(contents)) == 1


async def test_refusals_store_nothing(scene: Scene) -> None:
    nobody = await scene.contact(email=None)
    ann = await scene.contact()
    for contact, fields, reason in (
        (nobody, {}, FailureReason.NO_ADDRESS),
        (ann, {"to": "not an address"}, FailureReason.INVALID_ADDRESS),
        (ann, {"channel": Channel.TELEGRAM}, FailureReason.CHANNEL_NOT_CONFIGURED),
        (ann, {"campaign_id": new_id()}, FailureReason.UNKNOWN_CAMPAIGN),
        (ann, {"template_id": new_id()}, FailureReason.UNKNOWN_TEMPLATE),
        (ann, {"journey_id": new_id()}, FailureReason.UNKNOWN_JOURNEY),
        (ann, {"body": "{{ first name }}"}, FailureReason.RENDER_ERROR),
        (ann, {"subject": "a\r\nBcc: eve@example.org"}, FailureReason.HEADER_INJECTION),
    ):
        with pytest.raises(Refused) as refused:
            await scene.send(contact, **fields)
        assert refused.value.reason is reason
    with pytest.raises(NotFound):
        await scene.send(new_id())
    assert await scene.rows() == []


async def test_an_idempotency_key_makes_one_message(scene: Scene) -> None:
    contact = await scene.contact()
    key = Idempotency("order-1", b"f" * 32)
    drafts = [scene.draft(contact, idempotency=key) for _ in range(20)]
    results = [await scene.intake.submit(drafts[0])]
    for result in await scene.intake.submit_many(drafts[1:]):
        assert not isinstance(result, Exception)
        results.append(result)
    assert {result.message.id for result in results} == {drafts[0].id}
    assert [result.replayed for result in results] == [False] + [True] * 19
    with pytest.raises(IdempotencyMismatch):
        await scene.send(contact, idempotency=Idempotency("order-1", b"g" * 32))
    assert len(await scene.rows()) == 1


async def test_keys_of_one_chunk_make_one_message(scene: Scene) -> None:
    contact = await scene.contact()
    key = Idempotency("order-1", b"f" * 32)
    results = await scene.intake.submit_many([scene.draft(contact, idempotency=key) for _ in range(20)])
    assert len(await scene.rows()) == 1
    assert sum(not isinstance(result, Exception) and not result.replayed for result in results) == 1


async def test_repeating_a_flush_changes_nothing(scene: Scene) -> None:
    contact = await scene.contact()
    draft = scene.draft(contact, idempotency=Idempotency("k", b"f" * 32))
    first = await scene.intake.submit(draft)
    again = await scene.intake.submit(draft)
    assert first.message.id == again.message.id
    assert not again.replayed
    assert len(await scene.rows()) == 1


async def test_workspaces_take_turns(scene: Scene) -> None:
    big, small = await scene.contact(), scene.workspace_id
    other = await scene.workspace()
    guest = await scene.contact(workspace_id=other)
    await scene.intake.submit_many([scene.draft(big) for _ in range(30)])
    assert {each.workspace_id for each in await claim(scene, most=5)} == {small}
    await scene.intake.submit_many([scene.draft(guest, workspace_id=other) for _ in range(5)])
    claimed = await claim(scene, most=10)
    assert sum(each.workspace_id == other for each in claimed) == 5


async def test_an_idle_workspace_saves_up_nothing(scene: Scene) -> None:
    contact = await scene.contact()
    other = await scene.workspace()
    guest = await scene.contact(workspace_id=other)
    await scene.send(guest, workspace_id=other)
    await scene.intake.submit_many([scene.draft(contact) for _ in range(40)])
    await claim(scene, most=31)
    await scene.intake.submit_many([scene.draft(guest, workspace_id=other) for _ in range(20)])
    claimed = await claim(scene, most=10)
    assert 4 <= sum(each.workspace_id == other for each in claimed) <= 6


async def test_what_changed_since_is_read_again(scene: Scene) -> None:
    campaign = new_id()
    async with scene.database.write() as connection:
        await connection.execute(
            campaigns.insert().values(
                id=campaign, workspace_id=scene.workspace_id, name="news", state="running", created_at=0
            )
        )
    ann, bob = await scene.contact(), await scene.contact(email="bob@example.org")
    plain = await scene.send(ann)
    essential = await scene.send(ann, essential=True)
    late = await scene.send(bob, expires_at=1)
    mass = await scene.send(bob, campaign_id=campaign, lane=Lane.TRANSACTIONAL)
    async with scene.database.write() as connection:
        await create_lasting(
            connection,
            [
                {
                    "id": new_id(),
                    "workspace_id": scene.workspace_id,
                    "channel": "EMAIL",
                    "address_digest": scene.keyring.address_digest("EMAIL", "ann@example.org"),
                    "kind": "opt_out",
                    "topic": "",
                    "address": None,
                    "reason": "unsubscribed",
                    "message_id": None,
                }
            ],
        )
        await connection.execute(campaigns.update().values(state="paused"))
    assert [each.id for each in await claim(scene)] == [essential.id]
    assert (await scene.row(plain.id)).failure_reason is FailureReason.OPTED_OUT
    assert (await scene.row(late.id)).failure_reason is FailureReason.EXPIRED
    assert (await scene.row(mass.id)).status is Status.QUEUED
    with pytest.raises(Refused, match="opted out"):
        await scene.send(ann)

    async with scene.database.write() as connection:
        await connection.execute(campaigns.update().values(state="running"))
        assert await campaigns_store.unsettled(connection) == [campaign]
        assert await campaigns_store.settle(connection, campaign, 10) == 1
        assert await ready(connection) == {(Channel.EMAIL, Lane.TRANSACTIONAL)}
    assert [each.id for each in await claim(scene)] == [mass.id]


async def test_a_failure_for_now_waits_and_counts(scene: Scene) -> None:
    sent = await scene.send(await scene.contact())
    (claimed,) = await claim(scene)
    await record(scene, ended(claimed, State.QUEUED, Outcome.TRANSIENT, delay_ms=60_000, code="451"))
    row = await scene.row(sent.id)
    assert (row.status, row.tries) == (Status.QUEUED, 1)
    assert row.due_at >= row.queued_at + 60_000
    assert await claim(scene) == []
    async with scene.database.write() as connection:
        assert await ready(connection) == set()
    await scene.set(sent.id, due_at=0)
    async with scene.database.write() as connection:
        assert await ready(connection) == {(Channel.EMAIL, Lane.TRANSACTIONAL)}
    (again,) = await claim(scene)
    assert (again.token, again.tries) == (claimed.token + 1, 1)


async def test_given_back_burns_no_try_and_writes_no_attempt(scene: Scene) -> None:
    sent = await scene.send(await scene.contact())
    (claimed,) = await claim(scene)
    await record(scene, ended(claimed, State.QUEUED, None))
    assert (await scene.row(sent.id)).tries == 0
    async with scene.database.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(attempts)) == 0


async def test_a_dead_address_bounces_and_is_suppressed(scene: Scene) -> None:
    contact = await scene.contact()
    sent = await scene.send(contact)
    (claimed,) = await claim(scene)
    dead = ended(
        claimed,
        State.FAILED,
        Outcome.PERMANENT,
        reason=FailureReason.ADDRESS_DEAD,
        bounced=True,
        dead_address=True,
        code="550 5.1.1",
    )
    await record(scene, dead)
    await record(scene, dead)
    row = await scene.row(sent.id)
    assert (row.status, row.failure_reason) == (Status.BOUNCED, FailureReason.ADDRESS_DEAD)
    async with scene.database.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(suppressions)) == 1
    with pytest.raises(Refused) as refused:
        await scene.send(contact, essential=True)
    assert refused.value.reason is FailureReason.SUPPRESSED


async def test_a_late_success_stops_the_second_send(scene: Scene) -> None:
    sent = await scene.send(await scene.contact())
    (claimed,) = await claim(scene)
    async with scene.database.write() as connection:
        await workers.rescue(connection, WORKER)
        await ready(connection)
    await record(scene, ended(claimed))
    row = await scene.row(sent.id)
    assert (row.status, row.state) == (Status.SENT, State.DONE)
    assert await claim(scene) == []


async def test_a_failure_over_proof_of_acceptance_is_done(scene: Scene) -> None:
    sent = await scene.send(await scene.contact())
    (claimed,) = await claim(scene)
    await scene.set(sent.id, sent_at=5)
    await record(scene, ended(claimed, State.FAILED, Outcome.UNKNOWN, reason=FailureReason.EXHAUSTED))
    row = await scene.row(sent.id)
    assert (row.status, row.state, row.sent_at, row.failure_reason) == (Status.SENT, State.DONE, 5, None)


async def test_a_rescued_attempt_is_ambiguous_and_its_token_stale(scene: Scene) -> None:
    ann = await scene.contact()
    again = await scene.send(ann)
    hold = await scene.send(ann, on_unknown=OnUnknown.HOLD)
    untouched = await scene.send(ann, on_unknown=OnUnknown.HOLD)
    first = await claim(scene)
    async with scene.database.write() as connection:
        begun = [each for each in first if each.id == hold.id]
        assert await in_hand.mark_begun(connection, begun) == {hold.id}
    async with scene.database.write() as connection:
        await workers.register(connection, WORKER, "here", 1)
        (beat,) = await workers.heartbeats(connection, 15_000)
        assert not beat.stale
        assert not await workers.declare_dead(connection, WORKER, beat.renewed_at - 1)
        assert await workers.declare_dead(connection, WORKER, beat.renewed_at)
        assert not await workers.renew(connection, WORKER)
        assert await workers.rescue(connection, WORKER) == 3
        assert await workers.rescue(connection, WORKER) == 0
    await record(
        scene, *(ended(each, State.QUEUED, Outcome.TRANSIENT, delay_ms=9) for each in first if each.id == again.id)
    )
    assert (await scene.row(again.id)).tries == 0
    held = await scene.row(hold.id)
    assert (held.state, held.status) == (State.HELD, Status.SENDING)
    assert (await scene.row(untouched.id)).state is State.QUEUED
    async with scene.database.read() as connection:
        assert await message_views.attempts_of(connection, scene.workspace_id, untouched.id) == []
    async with scene.database.read() as connection:
        views = await message_views.attempts_of(connection, scene.workspace_id, again.id)
    assert [view.outcome for view in views] == [Outcome.AMBIGUOUS]


async def test_what_is_rescued_comes_before_what_waits(scene: Scene) -> None:
    ann = await scene.contact()
    first = [await scene.send(ann) for _ in range(2)]
    assert len(await claim(scene)) == 2
    waiting = [await scene.send(ann) for _ in range(3)]
    async with scene.database.write() as connection:
        await workers.rescue(connection, WORKER)
    again = await claim(scene, most=2)
    assert {each.id for each in again} == {each.id for each in first}
    assert {each.id for each in await claim(scene)} == {each.id for each in waiting}


async def test_the_fifth_crash_is_poison(scene: Scene) -> None:
    sent = await scene.send(await scene.contact())
    for crashes in range(workers.MOST_CRASHES):
        claimed = await claim(scene)
        if crashes >= claim_rows.SUSPECT_AFTER:  # alone, and only when asked for
            assert claimed == []
            async with scene.database.write() as connection:
                assert await keeping.channels_with_suspects(connection) == {Channel.EMAIL}
                claimed, _ = await claims.claim(connection, Channel.EMAIL, Lane.TRANSACTIONAL, WORKER, 1, suspects=True)
        assert [each.crashes for each in claimed] == [crashes]
        async with scene.database.write() as connection:
            await workers.rescue(connection, WORKER)
            await ready(connection)
    row = await scene.row(sent.id)
    assert (row.status, row.failure_reason) == (Status.FAILED, FailureReason.POISON)


async def test_scheduled_messages_wait_for_their_time(scene: Scene) -> None:
    contact = await scene.contact()
    now = (await scene.send(contact)).queued_at
    later = await scene.send(contact, send_at=now + 3_600_000)
    assert later.id not in {each.id for each in await claim(scene)}
    await scene.set(later.id, due_at=now)
    async with scene.database.write() as connection:
        await ready(connection)
    assert [each.id for each in await claim(scene)] == [later.id]


async def test_a_resting_channel_is_not_claimed(scene: Scene) -> None:
    await scene.send(await scene.contact())
    async with scene.database.write() as connection:
        await pauses.rest(connection, Channel.EMAIL, 60_000, "login refused")
        await pauses.rest(connection, Channel.EMAIL, 60_000, "login refused")
    assert await claim(scene) == []
    async with scene.database.write() as connection:
        await pauses.rest(connection, Channel.EMAIL, -1, "mended")
    assert len(await claim(scene)) == 1


async def test_two_workers_never_share_a_message(scene: Scene) -> None:
    contact = await scene.contact()
    await scene.intake.submit_many([scene.draft(contact) for _ in range(50)])
    async with scene.database.write() as one:
        first, _ = await claims.claim(one, Channel.EMAIL, Lane.TRANSACTIONAL, WORKER, 20)
        if not scene.database.is_sqlite:  # on SQLite the second waits for the first
            async with scene.database.write() as two:
                second, _ = await claims.claim(two, Channel.EMAIL, Lane.TRANSACTIONAL, UUID(int=2), 20)
            assert len(second) == 20
            assert not {each.id for each in first} & {each.id for each in second}
    async with scene.database.read() as connection:
        tokens = (await connection.scalars(select(messages.c.token))).all()
    assert set(tokens) <= {0, 1}


async def test_lanes_with_work_are_those_with_ready_rows(scene: Scene) -> None:
    contact = await scene.contact()
    async with scene.database.read() as connection:
        assert await keeping.lanes_with_work(connection) == set()
    row = await scene.send(contact, send_at=9_999_999_999_999)
    await scene.send(contact, lane=Lane.BULK)
    async with scene.database.write() as connection:
        assert await keeping.lanes_with_work(connection) == {(Channel.EMAIL, Lane.BULK)}
        await keeping.forget_keys(connection, 0, 10)
    await scene.set(row.id, expires_at=1)
    async with scene.database.write() as connection:
        assert await keeping.expire(connection, 10) == 1
    assert (await scene.row(row.id)).failure_reason is FailureReason.EXPIRED


async def test_a_pause_lasts_as_long_as_told_when_the_clock_is_set_back(scene: Scene) -> None:
    hour_ms, pause_ms = 3_600_000, 60_000
    parked = await scene.send(await scene.contact())
    async with scene.database.read() as connection:
        later_ms = await clock.read(connection) + hour_ms
    later = await scene.send(await scene.contact(), send_at=later_ms)
    (claimed,) = await claim(scene)
    await record(scene, ended(claimed, State.QUEUED, None, delay_ms=pause_ms))
    async with scene.database.write() as connection:
        # As rows look that were written an hour "later", before the clock was set back.
        await connection.execute(
            update(messages).values(
                due_at=messages.c.due_at + hour_ms,
                claimed_at=messages.c.claimed_at + hour_ms,
            )
        )
        before = await _due(connection)
        assert await keeping.follow_clock(connection, 10) == 1
        assert await keeping.follow_clock(connection, 10) == 0
        after = await _due(connection)
        now = await clock.read(connection)
    assert now < after[parked.id] < now + hour_ms // 10
    assert after[later.id] == before[later.id], "what was to go later goes by the clock as it is"


async def test_what_is_given_back_is_due_though_the_clock_was_set_back(scene: Scene) -> None:
    await scene.send(await scene.contact())
    (claimed,) = await claim(scene)
    async with scene.database.write() as connection:
        await connection.execute(update(messages).values(due_at=messages.c.due_at + 3_600_000))
    await record(scene, ended(claimed, State.QUEUED, None))
    async with scene.database.write() as connection:
        assert await ready(connection) == {(Channel.EMAIL, Lane.TRANSACTIONAL)}


async def test_what_a_dead_worker_had_keeps_its_place_when_put_off(scene: Scene) -> None:
    contact = await scene.contact()
    rescued, put_off = await scene.send(contact), await scene.send(contact)
    waiting = await scene.send(contact)
    await claim(scene, most=1)
    async with scene.database.write() as connection:
        await workers.rescue(connection, WORKER)
    for claimed in await claim(scene, most=2):
        await record(scene, ended(claimed, State.QUEUED, None))
    async with scene.database.write() as connection:
        await ready(connection)
    order = [claimed.id for claimed in await claim(scene, most=1) + await claim(scene, most=1) + await claim(scene)]
    assert order == [rescued.id, waiting.id, put_off.id]


async def _due(connection: AsyncConnection) -> dict[UUID, int]:
    return {row.id: row.due_at for row in await connection.execute(select(messages.c.id, messages.c.due_at))}
