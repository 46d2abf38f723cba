"""What subscriptions are told: each first fact once, with the row that changes, on both databases."""

import asyncio
import hashlib
import itertools
from collections import Counter
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, delete, insert, update

from models import lifecycle
from models.events import ParsedEvent
from models.evidence import Provider
from models.ids import new_id
from models.store import (
    commands,
    due_subscriptions,
    erasing,
    event_views,
    events,
    pruning,
    status_event_views,
    status_events,
    subscriptions,
)
from models.store.event_views import EventFilter
from models.store.outcomes import Ended
from models.store.pruning import STATUS_EVENTS_KEPT_MS, STATUS_EVENTS_WAIT_MS
from models.store.status_event_views import MOST_LISTED
from models.store.status_events import HIDDEN_MS, Told
from models.suppression_reasons import SuppressionReason
from models.tables import failing_endpoints, messages
from models.tables import status_events as status_events_table
from models.vocabulary import (
    BounceType,
    EventType,
    Fact,
    FailureReason,
    NoticeState,
    Outcome,
    State,
    Status,
    StatusEvent,
)
from tests.support.scene import Scene
from tests.support.subscribing import change, noted, subscribe, time_passes
from tests.support.taken import take
from worker.tracker import Tracker

HOOK = UUID(int=7)
DAY_MS = 86_400_000


async def report(scene: Scene, kind: EventType, message_id: UUID, *, copies: int = 1, **fields: Any) -> None:
    parsed = [
        ParsedEvent(
            type=kind,
            provider_event=kind.value,
            dedupe=hashlib.sha256(new_id().bytes).digest(),
            raw=b"{}",
            at=None,
            message_ref=message_id,
            bounce_type=BounceType.SOFT if kind is EventType.BOUNCED else None,
            **fields,
        )
        for _ in range(copies)
    ]
    async with scene.database.write() as connection:
        await events.insert(
            connection, workspace_id=scene.workspace_id, source_id=HOOK, provider="generic", events_=parsed
        )
    await Tracker(scene.database).pull()


async def told(scene: Scene) -> list[str]:
    """The types of all that is noted, in alphabetical order."""
    return sorted(row.type.removeprefix("message.") for row in await noted(scene))


async def claim(scene: Scene, most: int = 100) -> list[Told]:
    claimed = []
    async with scene.database.write() as connection:
        for subscription in await due_subscriptions.waiting(connection, most):
            claimed += await status_events.claim(connection, subscription, most)
    return claimed


def ended(each: Told, **fields: Any) -> tuple[Told, Ended]:
    given: dict[str, Any] = {"state": State.DONE, "outcome": Outcome.ACCEPTED, "code": "200"} | fields
    return each, Ended(message_id=each.message_id, token=each.token, run=1, started_at=each.claimed_at, **given)


def failed(each: Told, **fields: Any) -> tuple[Told, Ended]:
    again: dict[str, Any] = {"state": State.QUEUED, "outcome": Outcome.TRANSIENT, "code": "500", "delay_ms": DAY_MS}
    return ended(each, **(again | {"endpoint_works": False} | fields))


async def record(scene: Scene, *chunk: tuple[Told, Ended]) -> None:
    async with scene.database.write() as connection:
        await status_events.record(connection, chunk)


async def test_without_a_subscription_nothing_is_noted(scene: Scene) -> None:
    await subscribe(scene, workspace_id=await scene.workspace())
    message = await scene.send(await scene.contact())
    await take(scene)
    await report(scene, EventType.OPENED, message.id)
    assert (await scene.row(message.id)).status is Status.OPENED
    assert await noted(scene) == []


async def test_each_fact_is_told_once_however_often_and_late_it_is_reported(scene: Scene) -> None:
    subscription = await subscribe(scene)
    message = await scene.send(await scene.contact())
    await take(scene)
    assert await told(scene) == ["sent"]
    # A click shows that it was opened and delivered, too; what comes late tells nothing new.
    await report(scene, EventType.CLICKED, message.id, copies=3)
    assert await told(scene) == ["clicked", "delivered", "opened", "sent"]
    for kind in (EventType.DELIVERED, EventType.OPENED, EventType.CLICKED, EventType.DEFERRED):
        await report(scene, kind, message.id, copies=2)
    assert await told(scene) == ["clicked", "delivered", "opened", "sent"]
    await report(scene, EventType.COMPLAINED, message.id)
    assert await told(scene) == ["clicked", "complained", "delivered", "opened", "sent"]
    for row in await noted(scene):
        assert (row.subscription_id, row.message_id, row.state) == (subscription.id, message.id, NoticeState.PENDING)
        assert row.workspace_id == scene.workspace_id
        assert row.created_at >= row.at >= message.queued_at


async def test_programs_and_settled_hits_are_told_apart(scene: Scene) -> None:
    await subscribe(scene)
    message = await scene.send(await scene.contact())
    await take(scene)
    await report(scene, EventType.OPENED, message.id, machine=True)
    await report(scene, EventType.CLICKED, message.id, machine=True)
    assert await told(scene) == ["sent"]


async def test_history_begins_with_the_subscription(scene: Scene) -> None:
    message = await scene.send(await scene.contact())
    await take(scene)
    await subscribe(scene)
    await report(scene, EventType.DELIVERED, message.id)
    assert await told(scene) == ["delivered"]


async def test_each_subscription_is_told_what_it_wants_and_no_other_workspace(scene: Scene) -> None:
    every = await subscribe(scene)
    some = await subscribe(scene, events=[StatusEvent.DELIVERED, StatusEvent.BOUNCED])
    await subscribe(scene, workspace_id=await scene.workspace())
    message = await scene.send(await scene.contact())
    await take(scene)
    await report(scene, EventType.DELIVERED, message.id)
    assert Counter(row.subscription_id for row in await noted(scene)) == {every.id: 2, some.id: 1}


async def test_a_message_that_fails_again_is_told_of_once_under_the_same_id(scene: Scene) -> None:
    await subscribe(scene)
    message = await scene.send(await scene.contact())
    await take(scene)
    await report(scene, EventType.BOUNCED, message.id)
    async with scene.database.write() as connection:
        await commands.retry(connection, scene.workspace_id, message.id)
    await take(scene)
    await report(scene, EventType.BOUNCED, message.id)
    assert await told(scene) == ["bounced", "sent"]


async def test_reasons_are_told(scene: Scene) -> None:
    await subscribe(scene)
    contact = await scene.contact()
    bounced, given_up, cancelled = [await scene.send(contact) for _ in range(3)]
    await report(scene, EventType.BOUNCED, bounced.id)
    await report(scene, EventType.FAILED, given_up.id)
    async with scene.database.write() as connection:
        await commands.cancel(connection, scene.workspace_id, cancelled.id)
    reasons = {(row.message_id, row.type): row.reason for row in await noted(scene)}
    assert reasons[bounced.id, StatusEvent.BOUNCED] == "soft"
    assert reasons[given_up.id, StatusEvent.FAILED] == FailureReason.PROVIDER_FAILED
    assert reasons[cancelled.id, StatusEvent.FAILED] == FailureReason.CANCELLED
    assert reasons[bounced.id, StatusEvent.SENT] is None


async def test_what_is_rolled_back_is_not_told(scene: Scene) -> None:
    await subscribe(scene)
    message = await scene.send(await scene.contact())
    async with scene.database.engine.connect() as connection:
        await connection.execute(update(messages).where(messages.c.id == message.id).values(sent_at=5))
        await connection.rollback()
    assert await noted(scene) == []


_SHOWN = {
    StatusEvent.SENT: Fact.SENT,
    StatusEvent.DELIVERED: Fact.DELIVERED,
    StatusEvent.OPENED: Fact.OPENED,
    StatusEvent.CLICKED: Fact.CLICKED,
    StatusEvent.UNSUBSCRIBED: Fact.UNSUBSCRIBED,
    StatusEvent.COMPLAINED: Fact.COMPLAINED,
}


def expected(facts: lifecycle.Facts, state: State, ended_at: int) -> dict[StatusEvent, int | None]:
    """The time of each event, as a reader of the message is shown it."""
    times = {event: lifecycle.effective(facts, fact) for event, fact in _SHOWN.items()}
    bounces = [at for fact in (Fact.SOFT_BOUNCED, Fact.HARD_BOUNCED) if (at := facts[fact]) is not None]
    times[StatusEvent.BOUNCED] = min(bounces, default=None)
    over = ended_at if lifecycle.status_of(facts, state) is Status.FAILED else None
    times[StatusEvent.FAILED] = facts[Fact.FAILED] or over
    return times


async def test_the_triggers_are_the_pure_function_from_every_row_to_every_other(scene: Scene) -> None:
    """Rows of every choice of facts and state become others, at random; told is what was not shown before."""
    await subscribe(scene)
    states = [State.DONE, State.FAILED, State.QUEUED]
    facts = [fact for fact in Fact if not fact.startswith("machine")]
    rows = [
        ({fact: 10 + place if bits >> place & 1 else None for place, fact in enumerate(facts)}, state)
        for bits, state in itertools.product(range(2 ** len(facts)), states)
    ]
    before = {new_id(): row for row in rows}
    after = dict(zip(before, [rows[(7 * number + 3) % len(rows)] for number in range(len(rows))], strict=True))
    whole = {"workspace_id": scene.workspace_id, "contact_id": new_id(), "channel": "EMAIL", "lane": "bulk"}

    def values(known: lifecycle.Facts, state: State) -> dict[str, Any]:
        return {"state": state.value, "ended_at": 90, **{f"{fact.value}_at": at for fact, at in known.items()}}

    async with scene.database.write() as connection:
        await connection.execute(
            insert(messages),
            [{"id": each, "due_at": 0, "queued_at": 0, **whole, **values(*row)} for each, row in before.items()],
        )
        names = values(*rows[0])
        await connection.execute(
            update(messages)
            .where(messages.c.id == bindparam("this"))
            .values({n: bindparam(f"new_{n}") for n in names}),
            [{"this": each, **{f"new_{n}": at for n, at in values(*row).items()}} for each, row in after.items()],
        )
    found = {(row.message_id, StatusEvent(row.type)): row.at for row in await noted(scene)}
    wanted = {
        (each, event): at
        for each in before
        for event, at in expected(*after[each], 90).items()
        if at is not None and expected(*before[each], 90)[event] is None
    }
    assert found == wanted
    assert len(wanted) > 2_000
    async with scene.database.write() as connection:
        await connection.execute(delete(messages).where(messages.c.id.in_(list(before)[:10])))


async def test_what_is_claimed_comes_back_by_itself_unless_its_end_is_recorded(scene: Scene) -> None:
    await subscribe(scene)
    await scene.send(await scene.contact())
    await take(scene)
    (first,) = await claim(scene)
    assert await claim(scene) == []  # whoever has it in hand has died
    await time_passes(scene, HIDDEN_MS)
    (second,) = await claim(scene)
    assert (second.message_id, second.type, second.token) == (first.message_id, first.type, first.token + 1)
    # What the first one knows too late is not its business any more, unless it was told.
    await record(scene, failed(first))
    (row,) = await noted(scene)
    assert (row.tries, row.attempts, row.token) == (0, None, 2)
    await record(scene, ended(first), failed(second))
    await record(scene, ended(first), failed(second))
    (row,) = await noted(scene)
    assert row.state == NoticeState.DELIVERED
    assert [(each["outcome"], each["code"]) for each in row.attempts] == [("accepted", "200")]
    await time_passes(scene, DAY_MS)
    assert await claim(scene) == []


async def test_two_claims_at_once_take_no_event_twice(scene: Scene) -> None:
    await subscribe(scene)
    contact = await scene.contact()
    for _ in range(20):
        await scene.send(contact)
    await take(scene, 20)
    both = await asyncio.gather(claim(scene, 15), claim(scene, 15))
    taken = [each.message_id for each in itertools.chain(*both)]
    assert len(taken) == len(set(taken)) == 20


async def test_what_is_due_is_counted_up_to_what_is_asked_for(scene: Scene) -> None:
    await subscribe(scene)
    await scene.send(await scene.contact())
    await take(scene)
    async with scene.database.read() as connection:
        assert [each.due for each in await due_subscriptions.waiting(connection, 100)] == [1]
        assert [each.due for each in await due_subscriptions.waiting(connection, 0)] == []
    await claim(scene)
    async with scene.database.read() as connection:
        assert await due_subscriptions.waiting(connection, 100) == []


async def test_a_subscription_that_is_paused_or_removed_is_not_claimed_for(scene: Scene) -> None:
    subscription = await subscribe(scene, paused=True)
    await scene.send(await scene.contact())
    await take(scene)
    assert await claim(scene) == []
    async with scene.database.read() as connection:
        assert not await due_subscriptions.any_waits(connection)
    await change(scene, subscription, paused=False)
    async with scene.database.read() as connection:
        assert await due_subscriptions.any_waits(connection)
    assert len(await claim(scene)) == 1  # what happened meanwhile is told
    await time_passes(scene, HIDDEN_MS)
    async with scene.database.write() as connection:
        assert await subscriptions.remove(connection, scene.workspace_id, subscription.id)
    assert await claim(scene) == []
    async with scene.database.write() as connection:
        await pruning.remove_status_events(connection, 100)
    assert await noted(scene) == []


async def test_what_was_told_is_forgotten_after_a_week_and_what_waits_is_not(scene: Scene) -> None:
    await subscribe(scene)
    message = await scene.send(await scene.contact())
    await take(scene)
    await record(scene, *(ended(each) for each in await claim(scene)))
    await report(scene, EventType.OPENED, message.id)
    await time_passes(scene, STATUS_EVENTS_KEPT_MS - DAY_MS)
    async with scene.database.write() as connection:
        await pruning.remove_status_events(connection, 100)
    assert await told(scene) == ["delivered", "opened", "sent"]
    await time_passes(scene, 2 * DAY_MS)
    async with scene.database.write() as connection:
        await pruning.remove_status_events(connection, 100)
    assert await told(scene) == ["delivered", "opened"]


async def test_what_waits_is_kept_for_a_month_however_long_it_is_paused(scene: Scene) -> None:
    await subscribe(scene, paused=True)
    contact = await scene.contact()
    for _ in range(5):
        await scene.send(contact)
    await take(scene, 5)
    await time_passes(scene, STATUS_EVENTS_WAIT_MS - DAY_MS)
    async with scene.database.write() as connection:
        assert await pruning.remove_status_events(connection, 3) == 0
    await time_passes(scene, 2 * DAY_MS)
    await scene.send(contact)
    await take(scene)
    for left in (3, 1, 1):
        async with scene.database.write() as connection:
            await pruning.remove_status_events(connection, 3)
        assert len(await noted(scene)) == left


async def test_of_what_is_listed_no_more_is_counted_than_can_be_read(scene: Scene) -> None:
    subscription = await subscribe(scene)
    rows = {
        "workspace_id": scene.workspace_id,
        "subscription_id": subscription.id,
        "type": StatusEvent.SENT.value,
        "at": 1,
        "created_at": 1,
        "due_at": 1,
    }
    ids = [new_id() for _ in range(MOST_LISTED + 5)]
    async with scene.database.write() as connection:
        await connection.execute(insert(status_events_table), [rows | {"message_id": each} for each in ids])
        await connection.execute(
            update(status_events_table).where(status_events_table.c.message_id == ids[0]).values(state="failed")
        )

    async def page(offset: int, **wanted: Any) -> tuple[list[UUID], int]:
        given: dict[str, Any] = {"state": None, "message_id": None} | wanted
        async with scene.database.read() as connection:
            found, total = await status_event_views.page(
                connection, scene.workspace_id, subscription.id, limit=50, offset=offset, **given
            )
        return [each.message_id for each in found], total

    assert await page(0) == (ids[::-1][:50], MOST_LISTED)
    assert await page(MOST_LISTED - 10) == (ids[14:4:-1], MOST_LISTED)
    assert await page(MOST_LISTED) == ([], MOST_LISTED)
    assert await page(0, state=NoticeState.FAILED) == ([ids[0]], 1)
    assert await page(0, message_id=ids[3]) == ([ids[3]], 1)


async def test_what_is_told_goes_with_its_message(scene: Scene) -> None:
    await subscribe(scene)
    message = await scene.send(await scene.contact())
    await take(scene)
    async with scene.database.write() as connection:
        await connection.execute(update(messages).values(ended_at=1))
        later = message.queued_at + DAY_MS
        await pruning.remove_messages(connection, scene.workspace_id, later, after=pruning.FIRST, most=10)
    assert await noted(scene) == []


async def test_of_who_is_erased_nothing_is_kept_that_an_endpoint_said(scene: Scene) -> None:
    await subscribe(scene)
    contact = await scene.contact(external_id="customer-7")
    message = await scene.send(contact, metadata={"name": "Ann"})
    await take(scene)
    (before,) = await claim(scene)
    assert (before.external_id, before.metadata) == ("customer-7", {"name": "Ann"})
    await record(scene, failed(before, detail="Ann is unknown here"))
    async with scene.database.write() as connection:
        assert await erasing.erase(connection, scene.workspace_id, contact, lambda _: [])
        await erasing.wipe(connection, scene.workspace_id, contact, after=None, most=10)
    await time_passes(scene, DAY_MS)
    (after,) = await claim(scene)
    assert (after.message_id, after.attempts, after.external_id, after.metadata) == (message.id, (), None, {})


async def test_an_endpoint_that_fails_for_days_is_switched_off_and_the_workspace_told(scene: Scene) -> None:
    subscription = await subscribe(scene)
    contact = await scene.contact()
    for _ in range(20):
        await scene.send(contact)
    await take(scene, 20)
    tried = await claim(scene)
    await record(scene, *(failed(each) for each in tried[:9]))
    async with scene.database.write() as connection:
        await connection.execute(update(failing_endpoints).values(first_failed_at=1))
    await record(scene, failed(tried[9]))
    (row,) = [await _subscription(scene, subscription.id)]
    assert row.disabled_reason == SuppressionReason.ENDPOINT_FAILING
    assert row.disabled_at is not None
    async with scene.database.read() as connection:
        wanted = EventFilter(provider=Provider.WIREROOM.value)
        said = (await event_views.page(connection, scene.workspace_id, wanted, limit=50, offset=0))[0]
    assert [(each.provider_event, each.recipient, each.reason) for each in said] == [
        ("endpoint.disabled", subscription.url, SuppressionReason.ENDPOINT_FAILING)
    ]
    await record(scene, *(failed(each) for each in tried[10:]))
    await time_passes(scene, 2 * DAY_MS)
    assert await claim(scene) == []
    await scene.send(contact)
    await take(scene)
    assert len(await noted(scene)) == 20  # nothing is noted for it meanwhile
    await change(scene, subscription, **subscriptions.switched_on())
    assert len(await claim(scene)) == 20


async def test_another_url_is_not_switched_off_for_what_the_former_one_failed(scene: Scene) -> None:
    subscription = await subscribe(scene)
    contact = await scene.contact()
    for _ in range(20):
        await scene.send(contact)
    await take(scene, 20)
    tried = await claim(scene, 15)
    await record(scene, *(failed(each) for each in tried[:9]))
    async with scene.database.write() as connection:
        await connection.execute(update(failing_endpoints).values(first_failed_at=1))
    await change(scene, subscription, url="https://hooks.example/moved")
    await record(scene, *(failed(each) for each in await claim(scene)))
    assert (await _subscription(scene, subscription.id)).disabled_at is None
    # What was under way to the former one says nothing of this one, either.
    await record(scene, *(failed(each) for each in tried[9:]))
    assert (await _subscription(scene, subscription.id)).disabled_at is None


async def test_an_endpoint_that_works_again_is_not_counted_any_more(scene: Scene) -> None:
    subscription = await subscribe(scene)
    contact = await scene.contact()
    for _ in range(3):
        await scene.send(contact)
    await take(scene, 3)
    first, second, third = await claim(scene)
    await record(scene, failed(first))
    await record(scene, failed(first))  # repeated, it is counted once
    await record(scene, ended(second), failed(third))
    async with scene.database.read() as connection:
        assert (await connection.execute(failing_endpoints.select())).all() == []
    assert (await _subscription(scene, subscription.id)).disabled_at is None


async def test_an_endpoint_that_is_gone_is_switched_off_at_once(scene: Scene) -> None:
    subscription = await subscribe(scene)
    await scene.send(await scene.contact())
    await take(scene)
    (only,) = await claim(scene)
    gone = {"state": State.FAILED, "outcome": Outcome.PERMANENT, "reason": FailureReason.ENDPOINT_GONE}
    await record(scene, ended(only, **gone, code="410", dead_address=True))
    assert (await _subscription(scene, subscription.id)).disabled_reason == FailureReason.ENDPOINT_GONE
    (row,) = await noted(scene)
    assert (row.state, row.attempts[0]["outcome"]) == (NoticeState.FAILED, "permanent")


async def _subscription(scene: Scene, subscription_id: UUID) -> subscriptions.SubscriptionRow:
    async with scene.database.read() as connection:
        found = await subscriptions.get(connection, scene.workspace_id, subscription_id)
    assert found is not None
    return found
