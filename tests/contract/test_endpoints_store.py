"""Endpoints that fail: what is counted, when one is switched off, who is told, and what lets it work again."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, func, select, update

from models.evidence import Provider
from models.store import applying, claims, clock, endpoints, erasing, event_views, events, outcomes, workers
from models.store.claims import Claim
from models.store.event_views import EventFilter, EventRow
from models.store.outcomes import Ended
from models.suppression_reasons import SuppressionReason
from models.tables import attempts, contacts, failing_endpoints, messages, suppressions
from models.vocabulary import Channel, EventType, FailureReason, Lane, Outcome, State, Status
from tests.support.scene import Scene

URL = "https://hooks.example/a"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
DAY_MS = 86_400_000


async def someone(scene: Scene, url: str = URL) -> UUID:
    return await scene.contact(webhook_url=url, webhook_secret=SECRET)


async def claimed(scene: Scene, contact: UUID, count: int = 1) -> list[Claim]:
    for _ in range(count):
        await scene.send(contact, channel=Channel.WEBHOOK)
    async with scene.database.write() as connection:
        return (await claims.claim(connection, Channel.WEBHOOK, Lane.TRANSACTIONAL, UUID(int=1), count))[0]


async def record(scene: Scene, chunk: Sequence[Ended]) -> None:
    async with scene.database.write() as connection:
        await endpoints.learn(connection, chunk, await outcomes.record(connection, chunk))


def ended(claim: Claim, **fields: Any) -> Ended:
    given: dict[str, Any] = {
        "state": State.QUEUED,
        "outcome": Outcome.TRANSIENT,
        "delay_ms": DAY_MS,
        "endpoint_works": False,
    }
    return Ended(message_id=claim.id, token=claim.token, run=claim.run, started_at=claim.claimed_at, **(given | fields))


def success(claim: Claim) -> Ended:
    works = True if claim.endpoint_fails else None
    return ended(claim, state=State.DONE, outcome=Outcome.ACCEPTED, delivered=True, endpoint_works=works)


def gone(claim: Claim) -> Ended:
    return ended(
        claim,
        state=State.FAILED,
        outcome=Outcome.PERMANENT,
        reason=FailureReason.ENDPOINT_GONE,
        bounced=True,
        dead_address=True,
        endpoint_works=None,
    )


async def fail(scene: Scene, contact: UUID, count: int = 1) -> None:
    await record(scene, [ended(each) for each in await claimed(scene, contact, count)])


async def days_pass(scene: Scene, days: float, *, quiet: float = 0.0) -> None:
    """What was counted was counted so much earlier; since the last of it, ``quiet`` days."""
    async with scene.database.write() as connection:
        await connection.execute(
            update(failing_endpoints).values(
                first_failed_at=failing_endpoints.c.first_failed_at - int(days * DAY_MS),
                last_failed_at=failing_endpoints.c.last_failed_at - int(quiet * DAY_MS),
            )
        )


async def counted(scene: Scene) -> list[int]:
    async with scene.database.read() as connection:
        return list(await connection.scalars(select(failing_endpoints.c.failures)))


async def suppressed(scene: Scene) -> list[str]:
    async with scene.database.read() as connection:
        return list(await connection.scalars(select(suppressions.c.reason)))


async def told(scene: Scene) -> list[EventRow]:
    async with scene.database.read() as connection:
        wanted = EventFilter(provider=Provider.WIREROOM.value)
        return (await event_views.page(connection, scene.workspace_id, wanted, limit=50, offset=0))[0]


async def test_what_works_is_not_written_down(scene: Scene) -> None:
    (claim,) = await claimed(scene, await someone(scene))
    assert not claim.endpoint_fails
    await record(scene, [success(claim)])
    assert await counted(scene) == []


async def test_failures_are_counted_until_it_works_again(scene: Scene) -> None:
    contact = await someone(scene)
    other = await someone(scene, "https://hooks.example/b")
    await fail(scene, contact, 3)
    await fail(scene, contact)
    assert await counted(scene) == [4]
    (claim,) = await claimed(scene, contact)
    (of_another,) = await claimed(scene, other)
    assert claim.endpoint_fails
    assert not of_another.endpoint_fails
    await record(scene, [success(claim), success(of_another)])
    assert await counted(scene) == []


async def test_a_recording_that_is_repeated_counts_once(scene: Scene) -> None:
    (claim,) = await claimed(scene, await someone(scene))
    for _ in range(2):
        await record(scene, [ended(claim)])
    assert await counted(scene) == [1]


@pytest.mark.parametrize(
    ("days", "failures", "is_off"), [(4.99, 30, False), (5.0, 9, False), (5.0, 10, True), (9.0, 12, True)]
)
async def test_it_is_off_after_five_days_and_ten_failures(
    scene: Scene, days: float, failures: int, is_off: bool
) -> None:
    contact = await someone(scene)
    await fail(scene, contact, failures - 1)
    await days_pass(scene, days)
    assert await suppressed(scene) == []
    await fail(scene, contact)
    assert await suppressed(scene) == ([SuppressionReason.ENDPOINT_FAILING] if is_off else [])
    assert [event.reason for event in await told(scene)] == ([SuppressionReason.ENDPOINT_FAILING] if is_off else [])
    assert await counted(scene) == ([] if is_off else [failures])


async def test_failures_before_a_long_silence_are_forgotten(scene: Scene) -> None:
    contact = await someone(scene)
    await fail(scene, contact, 9)
    await days_pass(scene, 7, quiet=5.1)
    await fail(scene, contact)
    assert await suppressed(scene) == []
    assert await counted(scene) == [1]


async def test_what_waits_for_an_endpoint_that_is_off_ends_and_the_workspace_is_told(scene: Scene) -> None:
    contact = await someone(scene)
    waiting = await scene.send(contact, channel=Channel.WEBHOOK)
    async with scene.database.write() as connection:
        await connection.execute(update(messages).where(messages.c.id == waiting.id).values(turn=None))
    await fail(scene, contact, 9)
    await days_pass(scene, 5)
    await fail(scene, contact)
    async with scene.database.write() as connection:
        await connection.execute(update(messages).where(messages.c.id == waiting.id).values(turn=1))
        sent, _ = await claims.claim(connection, Channel.WEBHOOK, Lane.TRANSACTIONAL, UUID(int=1), 10)
    assert sent == []
    assert (await scene.row(waiting.id)).failure_reason is FailureReason.SUPPRESSED
    (event,) = await told(scene)
    assert (event.type, event.provider_event, event.recipient) == (EventType.IGNORED, endpoints.DISABLED, URL)
    assert event.source_id == scene.workspace_id


async def test_without_its_suppression_it_begins_anew(scene: Scene) -> None:
    contact = await someone(scene)
    await fail(scene, contact, 9)
    await days_pass(scene, 5)
    await fail(scene, contact)
    async with scene.database.write() as connection:
        await connection.execute(delete(suppressions))
    await fail(scene, contact)
    assert await counted(scene) == [1]
    assert await suppressed(scene) == []
    # Should it be switched off once more, that is news.
    await fail(scene, contact, 8)
    await days_pass(scene, 5)
    await fail(scene, contact)
    assert len(await told(scene)) == 2


async def test_another_url_of_the_contact_is_not_concerned(scene: Scene) -> None:
    contact = await someone(scene)
    (claim,) = await claimed(scene, contact)
    await record(scene, [gone(claim)])
    async with scene.database.write() as connection:
        await connection.execute(update(contacts).values(webhook_url="https://hooks.example/new"))
    assert len(await claimed(scene, contact)) == 1


async def test_410_switches_off_at_once_and_tells_once(scene: Scene) -> None:
    contact = await someone(scene)
    await fail(scene, contact)
    first, second = await claimed(scene, contact, 2)
    await record(scene, [gone(first)])
    await record(scene, [gone(second)])
    assert await suppressed(scene) == [FailureReason.ENDPOINT_GONE]
    (event,) = await told(scene)
    assert (event.provider_event, event.reason) == (endpoints.DISABLED, FailureReason.ENDPOINT_GONE)
    assert await counted(scene) == []
    assert (await scene.row(first.id)).status is Status.BOUNCED


async def test_410_counts_also_where_the_message_has_been_taken_away(scene: Scene) -> None:
    (claim,) = await claimed(scene, await someone(scene))
    async with scene.database.write() as connection:
        await workers.rescue(connection, UUID(int=1))
    await record(scene, [gone(claim)])
    await record(scene, [gone(claim)])
    assert await suppressed(scene) == [FailureReason.ENDPOINT_GONE]
    (event,) = await told(scene)
    assert event.provider_event == endpoints.DISABLED
    assert (await scene.row(claim.id)).status is not Status.BOUNCED


async def test_the_event_is_among_the_messages_own_and_changes_nothing(scene: Scene) -> None:
    (claim,) = await claimed(scene, await someone(scene))
    await record(scene, [gone(claim)])
    async with scene.database.write() as connection:
        raw = await events.take(connection, 10)
        await applying.apply(connection, raw, await events.match(connection, raw))
    (event,) = await told(scene)
    assert event.message_id == claim.id
    assert (await scene.row(claim.id)).status is Status.BOUNCED


async def test_workspaces_fail_apart(scene: Scene) -> None:
    other = await scene.workspace()
    contact = await someone(scene)
    guest = await scene.contact(workspace_id=other, webhook_url=URL, webhook_secret=SECRET)
    await scene.send(guest, workspace_id=other, channel=Channel.WEBHOOK)
    both = await claimed(scene, contact, 2)
    await record(scene, [ended(each) for each in both])
    assert await counted(scene) == [1, 1]


async def test_of_an_erased_person_nothing_is_told(scene: Scene) -> None:
    contact = await someone(scene)
    first, second = await claimed(scene, contact, 2)
    await record(scene, [gone(first)])
    async with scene.database.write() as connection:
        digest = (await connection.scalars(select(suppressions.c.address_digest))).one()
        await erasing.erase(connection, scene.workspace_id, contact, lambda _: [(Channel.WEBHOOK, digest)])
        await erasing.wipe(connection, scene.workspace_id, contact, after=None, most=10)
    await record(scene, [gone(second)])
    (event,) = await told(scene)
    assert (event.recipient, event.reason) == (None, None)
    assert await suppressed(scene) == [FailureReason.ENDPOINT_GONE]


async def test_the_keeper_forgets_what_is_used_no_more(scene: Scene) -> None:
    await fail(scene, await someone(scene))
    async with scene.database.write() as connection:
        await endpoints.forget(connection)
    assert await counted(scene) == [1]
    await days_pass(scene, 31, quiet=31)
    async with scene.database.write() as connection:
        await endpoints.forget(connection)
    assert await counted(scene) == []


async def test_attempts_and_times_are_the_databases(scene: Scene) -> None:
    (claim,) = await claimed(scene, await someone(scene))
    await record(scene, [ended(claim)])
    async with scene.database.read() as connection:
        now = await clock.read(connection)
        row = (await connection.execute(select(failing_endpoints))).one()
        assert await connection.scalar(select(func.count()).select_from(attempts)) == 1
    assert now - 60_000 <= row.first_failed_at == row.last_failed_at <= now


async def test_two_who_learn_the_opposite_of_two_endpoints_do_not_wait_for_each_other(scene: Scene) -> None:
    first, second = [(scene.workspace_id, bytes([number]) * 16) for number in (1, 2)]

    async def judge(failed: endpoints.Key, works: Collection[endpoints.Key]) -> None:
        async with scene.database.write() as connection:
            assert await endpoints.judge(connection, {failed: 1}, works) == set()

    for _ in range(20):
        await judge(first, [])
        await judge(second, [])
        await asyncio.gather(judge(first, [second]), judge(second, [first]))
