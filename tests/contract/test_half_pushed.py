"""A push message that one browser has taken is sent, whatever keeps it from the others; on both databases."""

from collections.abc import Awaitable, Callable
from hashlib import sha256
from uuid import UUID

import pytest
from sqlalchemy import JSON, select, update

from models.progress import Progress
from models.store import campaigns, claims, commands, erasing, keeping, outcomes, push_subscriptions
from models.store import workers as worker_rows
from models.store.claims import Claim
from models.store.outcomes import Ended
from models.tables import attempts
from models.vocabulary import CampaignState, Channel, Fact, Lane, Outcome, State, Status
from tests.support.scene import Scene

WORKER = UUID(int=1)
ENDPOINT = "https://push.example.org/{}"

End = Callable[[Scene, UUID], Awaitable[None]]


async def expires_at_the_keepers(scene: Scene, message_id: UUID) -> None:
    await scene.set(message_id, expires_at=1)
    async with scene.database.write() as connection:
        assert await keeping.expire(connection, 10) == 1


async def expires_at_the_claim(scene: Scene, message_id: UUID) -> None:
    await scene.set(message_id, expires_at=1)
    assert await claim(scene) == []


async def is_cancelled(scene: Scene, message_id: UUID) -> None:
    async with scene.database.write() as connection:
        await commands.cancel(connection, scene.workspace_id, message_id)


async def is_held_and_given_up(scene: Scene, message_id: UUID) -> None:
    await scene.set(message_id, state=State.HELD.value, turn=None)
    async with scene.database.write() as connection:
        await commands.fail(connection, scene.workspace_id, message_id)


async def campaign_is_cancelled(scene: Scene, message_id: UUID) -> None:
    async with scene.database.write() as connection:
        campaign = (await campaigns.create_campaign(connection, scene.workspace_id, "spring")).id
        await campaigns.set_state(connection, scene.workspace_id, campaign, CampaignState.CANCELLED)
    await scene.set(message_id, campaign_id=campaign)
    async with scene.database.write() as connection:
        assert await campaigns.settle(connection, campaign, 10) == 1


async def person_is_erased(scene: Scene, message_id: UUID) -> None:
    contact_id = await scene.column(message_id, "contact_id")
    async with scene.database.write() as connection:
        await erasing.erase(connection, scene.workspace_id, contact_id, lambda _: [])
        await erasing.wipe(connection, scene.workspace_id, contact_id, after=None, most=10)


async def is_poison(scene: Scene, message_id: UUID) -> None:
    await scene.set(message_id, crashes=worker_rows.MOST_CRASHES - 1)
    assert len(await claim(scene, suspects=True)) == 1
    async with scene.database.write() as connection:
        assert await worker_rows.rescue(connection, WORKER) == 1


ENDS: tuple[End, ...] = (
    expires_at_the_keepers,
    expires_at_the_claim,
    is_cancelled,
    is_held_and_given_up,
    campaign_is_cancelled,
    person_is_erased,
    is_poison,
)


async def claim(scene: Scene, *, suspects: bool = False) -> list[Claim]:
    async with scene.database.write() as connection:
        taken = await claims.claim(connection, Channel.PUSH, Lane.TRANSACTIONAL, WORKER, 10, suspects=suspects)
    return taken[0]


async def tried(scene: Scene, *, one_took_it: bool) -> UUID:
    """A message to two browsers that waits for its second try."""
    contact_id = await scene.contact()
    async with scene.database.write() as connection:
        for number in range(2):
            endpoint = ENDPOINT.format(number)
            digest = sha256(endpoint.encode()).digest()
            browser = push_subscriptions.Browser(endpoint, digest, "key", "auth", None)
            await push_subscriptions.put(connection, scene.workspace_id, contact_id, browser)
    sent = await scene.send(contact_id, channel=Channel.PUSH)
    (claimed,) = await claim(scene)
    assert len(claimed.browsers) == 2
    await record(scene, claimed, str(claimed.browsers[0][0]) if one_took_it else None)
    await ready(scene)
    return sent.id


async def record(scene: Scene, claimed: Claim, took_it: str | None) -> None:
    """A try that one browser took, or none, and that is to be repeated at once."""
    ended = Ended(
        message_id=claimed.id,
        token=claimed.token,
        run=claimed.run,
        started_at=claimed.claimed_at,
        state=State.QUEUED,
        outcome=Outcome.TRANSIENT,
        progress=Progress(accepted=(took_it,)) if took_it else None,
    )
    async with scene.database.write() as connection:
        await outcomes.record(connection, [ended])


async def ready(scene: Scene) -> None:
    async with scene.database.write() as connection:
        lane = (Channel.PUSH, Lane.TRANSACTIONAL, scene.workspace_id)
        assert await keeping.ready_due(connection, lane, 10) == 1


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
async def test_it_is_sent(scene: Scene, end: End) -> None:
    message_id = await tried(scene, one_took_it=True)
    await end(scene, message_id)
    row = await scene.row(message_id)
    assert (row.state, row.status, row.failure_reason) == (State.DONE, Status.SENT, None)
    sent_at = row.facts[Fact.SENT]
    assert sent_at is not None
    assert await scene.column(message_id, "ended_at") == pytest.approx(sent_at, abs=1)


@pytest.mark.parametrize("stale", [False, True])
async def test_an_attempt_that_was_refused_says_so_though_the_message_is_sent(scene: Scene, stale: bool) -> None:
    message_id = await tried(scene, one_took_it=True)
    (claimed,) = await claim(scene)
    if stale:
        await scene.set(message_id, token=claimed.token + 1, state=State.HELD.value)
    refused = Ended(
        message_id=claimed.id,
        token=claimed.token,
        run=claimed.run,
        started_at=claimed.claimed_at,
        state=State.DONE,
        outcome=Outcome.TRANSIENT,
        code="503",
        sent=True,
    )
    async with scene.database.write() as connection:
        await outcomes.record(connection, [refused])
    row = await scene.row(message_id)
    assert (row.state, row.status, row.failure_reason) == (State.DONE, Status.SENT, None)
    assert row.facts[Fact.SENT] is not None
    async with scene.database.read() as connection:
        written = await connection.execute(
            select(attempts.c.outcome, attempts.c.code).where(attempts.c.token == claimed.token)
        )
    assert written.all() == [(Outcome.TRANSIENT, "503")]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
async def test_what_no_browser_has_is_not(scene: Scene, end: End) -> None:
    message_id = await tried(scene, one_took_it=False)
    await end(scene, message_id)
    row = await scene.row(message_id)
    assert (row.status, row.facts[Fact.SENT]) == (Status.FAILED, None)
    assert row.failure_reason is not None


async def test_what_was_written_as_null_by_earlier_versions_is_nothing(scene: Scene) -> None:
    message_id = await tried(scene, one_took_it=False)
    async with scene.database.write() as connection:
        assert (await connection.execute(update(attempts).values(parts=JSON.NULL))).rowcount == 1
    (claimed,) = await claim(scene)
    assert claimed.accepted == frozenset()
    async with scene.database.write() as connection:
        await worker_rows.rescue(connection, WORKER)
    await expires_at_the_keepers(scene, message_id)
    assert (await scene.row(message_id)).status is Status.FAILED


async def test_parts_that_are_told_of_after_a_rescue_are_not_sent_again(scene: Scene) -> None:
    await tried(scene, one_took_it=False)
    (claimed,) = await claim(scene)
    async with scene.database.write() as connection:
        await worker_rows.rescue(connection, WORKER)
    took_it = str(claimed.browsers[1][0])
    await record(scene, claimed, took_it)
    (again,) = await claim(scene)
    assert again.accepted == {took_it}


async def test_a_new_run_begins_with_nothing_taken(scene: Scene) -> None:
    message_id = await tried(scene, one_took_it=True)
    await scene.set(message_id, run=2)
    await is_cancelled(scene, message_id)
    assert (await scene.row(message_id)).status is Status.FAILED
