"""Sandboxes on both databases: each address gives its story end to end, and nothing of it meets what is live."""

import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final
from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from channels.sandbox_stories import STORIES, Story, address_for
from models.errors import Refused
from models.evidence import Provider
from models.ids import new_id
from models.sandboxes import is_sandbox, sandbox_of
from models.session import now_ms
from models.store import claims, commands, keeping, outcomes, pauses, sandboxes, subscriptions
from models.store.message_views import MessageRow
from models.store.recordset import among
from models.store.sandbox_sql import in_sandbox
from models.store.suppressions import create_lasting
from models.tables import events, inbox_items, messages, status_events, suppressions, workspaces
from models.vocabulary import (
    BounceType,
    Channel,
    Fact,
    FailureReason,
    Lane,
    OnUnknown,
    State,
    Status,
    StatusEvent,
    SuppressionKind,
)
from tests.support.dispatching import Dispatching, Drum, dispatching
from tests.support.page_links import ROOT
from tests.support.scene import Scene
from tests.support.sending import mail_credentials, mail_sender, post
from tests.support.smtp_sink import SmtpSink
from worker.retry import SCHEDULES
from worker.sandbox import Sandbox
from worker.tracker import Tracker

PAGE: Final = (ROOT / "docs" / "sandbox.md").read_text()
ROWS: Final = re.findall(r"^\| `([a-z-]+)@sandbox\.invalid` \|(.*)\|[^|]*\|$", PAGE, re.M)
PROMISED: Final[Mapping[str, Sequence[str]]] = {name: [cell.strip() for cell in row.split("|")] for name, row in ROWS}
"""What the page says of each story, by channel."""

Told = tuple[str, Channel]
"""The name of a story, and on which channel it is told."""

BY_STORY: Final = {story.name: story for story in STORIES}


class Yard:
    """Dispatchers of all channels, whose operator's senders are drums, and what keeper and tracker do beside them."""

    def __init__(self, scene: Scene, each: Mapping[Channel, Dispatching]) -> None:
        self.scene = scene
        self.each = each
        self.drums = [one.drum for one in each.values()]

    async def turn(self) -> None:
        """All that waits becomes due, is sent once, and what is reported of it is applied."""
        async with self.scene.database.write() as connection:
            waiting = [messages.c.state == State.QUEUED.value, messages.c.turn.is_(None)]
            await connection.execute(update(messages).where(*waiting).values(due_at=now_ms()))
            for group in await keeping.groups_due(connection):
                await keeping.ready_due(connection, group, 1000)
        for one in self.each.values():
            await one.dispatcher.pull(Lane.TRANSACTIONAL)
        for one in self.each.values():
            assert await one.dispatcher.drain(30)
        await self.track()

    async def track(self) -> None:
        """What is reported is applied, also what is to happen later."""
        async with self.scene.database.write() as connection:
            await connection.execute(update(events).where(events.c.retry_at.is_not(None)).values(retry_at=now_ms() - 1))
            await keeping.retry_parked_events(connection, 1000)
        await Tracker(self.scene.database).pull()

    async def settle(self) -> None:
        """Turn by turn, until nothing waits any more."""
        for _ in range(max(map(len, SCHEDULES.values())) + 2):
            await self.turn()
            async with self.scene.database.read() as connection:
                if not await connection.scalar(select(func.count()).where(messages.c.state == State.QUEUED.value)):
                    return
        raise AssertionError("something waits for ever")


@pytest.fixture
async def yard(scene: Scene) -> AsyncIterator[Yard]:
    async with AsyncExitStack() as stack:
        each = {name: await stack.enter_async_context(dispatching(scene, drum=Drum(name))) for name in Channel}
        yield Yard(scene, each)


@pytest.fixture
async def live(scene: Scene) -> UUID:
    """The workspace; the scene's own is its sandbox from here on."""
    workspace_id = scene.workspace_id
    async with scene.database.write() as connection:
        scene.workspace_id = await sandboxes.ensure(connection, workspace_id)
    return workspace_id


async def contact_of(scene: Scene, channel: Channel, story: Story, **columns: Any) -> UUID:
    address = address_for(channel, story)
    match channel:
        case Channel.TELEGRAM:
            return await scene.contact(telegram_chat_id=address, **columns)
        case Channel.WEBHOOK:
            return await scene.contact(webhook_url=address, **columns)
        case _:
            return await scene.contact(email=address, **columns)


async def tell(scene: Scene, name: str, channel: Channel = Channel.EMAIL, **fields: Any) -> MessageRow:
    """Send to the address of a story."""
    return await scene.send(await contact_of(scene, channel, BY_STORY[name]), channel=channel, **fields)


async def count(scene: Scene, column: Any, *conditions: Any) -> int:
    async with scene.database.read() as connection:
        return int(await connection.scalar(select(func.count(column)).where(*conditions)) or 0)


async def send_to_all(scene: Scene) -> tuple[dict[UUID, Told], set[tuple[str, Channel, FailureReason]]]:
    """Two messages to each story's address on each of its channels: what each is, and what was refused."""
    sent: dict[UUID, Told] = {}
    refused = set()
    for story in STORIES:
        for channel in sorted(story.channels):
            contact = await contact_of(scene, channel, story)
            try:
                two = [await scene.send(contact, channel=channel) for _ in range(2)]
            except Refused as error:
                refused.add((story.name, channel, error.reason))
            else:
                sent |= {each.id: (story.name, channel) for each in two}
    return sent, refused


async def test_every_address_gives_its_story_end_to_end_again_and_again(yard: Yard, live: UUID) -> None:
    sent, refused = await send_to_all(yard.scene)
    await yard.settle()
    seen = await yard.scene.rows()
    assert {row.id for row in seen} == sent.keys()
    got = {(*sent[row.id], row.status.value) for row in seen} | {(name, channel, "422") for name, channel, _ in refused}
    assert got == {
        (story.name, channel, PROMISED[story.name][place])
        for story in STORIES
        for place, channel in enumerate(Channel)
        if channel in story.channels
    }
    assert {(name, reason) for name, _, reason in refused} == {
        ("suppressed", FailureReason.SUPPRESSED),
        ("opted-out", FailureReason.OPTED_OUT),
    }
    assert [drum.sent for drum in yard.drums] == [[]] * len(Channel)
    assert await count(yard.scene, suppressions.c.id) == 0
    # In the inbox as ever: that is in the house.
    in_inboxes = await count(yard.scene, inbox_items.c.message_id)
    assert in_inboxes == sum(channel is Channel.ONSITE for _, channel in sent.values())
    check_details({told: [row for row in seen if sent[row.id] == told] for told in sent.values()})


def check_details(rows: Mapping[Told, Sequence[MessageRow]]) -> None:
    """What is known beside the status, of both messages."""
    assert {
        (told, row.failure_reason) for told, both in rows.items() for row in both if told[0] in ("bounced", "rejected")
    } == {
        (("bounced", Channel.EMAIL), None),
        (("bounced", Channel.PUSH), FailureReason.ADDRESS_DEAD),
        (("bounced", Channel.TELEGRAM), FailureReason.BLOCKED),
        (("bounced", Channel.WEBHOOK), FailureReason.ENDPOINT_GONE),
        (("rejected", Channel.EMAIL), FailureReason.POLICY),
        (("rejected", Channel.PUSH), FailureReason.TOO_LARGE),
        (("rejected", Channel.TELEGRAM), FailureReason.REJECTED),
    }
    mails = {name: both for (name, channel), both in rows.items() if channel is Channel.EMAIL}
    assert {row.failure_reason for row in mails["unavailable"]} == {FailureReason.EXHAUSTED}
    assert [row.tries for row in (*mails["deferred"], *mails["unknown"], *mails["slow"])] == [1, 1, 1, 1, 0, 0]
    known = [{fact for fact, at in row.facts.items() if at is not None} for row in mails["machine-opened"]]
    assert known == [{Fact.SENT, Fact.DELIVERED, Fact.MACHINE_OPENED}] * 2
    assert [row.soft_bounced_at is not None for row in mails["mailbox-full"]] == [True, True]
    assert [row.complained_at is not None for row in mails["complained"]] == [True, True]
    for row in mails["clicked"]:
        times = [at or 0 for at in (row.sent_at, row.delivered_at, row.opened_at, row.clicked_at)]
        assert 0 < times[0] <= times[1] < times[2] < times[3]


async def test_what_is_live_reaches_the_operators_senders_alone(yard: Yard, live: UUID) -> None:
    scene = yard.scene
    addresses: dict[str, Any] = {"email": address_for(Channel.EMAIL, BY_STORY["bounced"])} | {
        "telegram_chat_id": address_for(Channel.TELEGRAM, BY_STORY["bounced"]),
        "webhook_url": address_for(Channel.WEBHOOK, BY_STORY["bounced"]),
    }
    contact = await scene.contact(workspace_id=live, **addresses)
    usable = [Channel.EMAIL, Channel.ONSITE, Channel.WEBHOOK]
    rows = [await scene.send(contact, workspace_id=live, channel=channel) for channel in usable]
    mixed = [await tell(scene, "delivered") for _ in range(3)]
    await yard.settle()
    assert {drum.name: len(drum.sent) for drum in yard.drums} == dict.fromkeys(Channel, 0) | dict.fromkeys(usable, 1)
    async with scene.database.read() as connection:
        found = await connection.execute(select(messages.c.id, messages.c.status, messages.c.workspace_id))
        status = {row.id: (row.status, row.workspace_id) for row in found}
        reported = set(await connection.scalars(select(events.c.workspace_id)))
    assert [status[each.id] for each in rows] == [(Status.SENT.value, live)] * 3
    assert [status[each.id] for each in mixed] == [(Status.DELIVERED.value, scene.workspace_id)] * 3
    assert reported == {scene.workspace_id}


async def test_suppressions_stay_on_their_side(yard: Yard, live: UUID) -> None:
    scene = yard.scene
    stopped = {live: "live@example.org", scene.workspace_id: "tested@example.org"}
    rows = [
        {
            "id": new_id(),
            "workspace_id": owner,
            "channel": Channel.EMAIL.value,
            "address_digest": scene.keyring.address_digest(Channel.EMAIL.value, address),
            "kind": SuppressionKind.DEAD.value,
            "topic": "",
            "address": address,
            "reason": "manual",
            "message_id": None,
        }
        for owner, address in stopped.items()
    ]
    async with scene.database.write() as connection:
        await create_lasting(connection, rows)
    for owner in stopped:
        contact = await scene.contact(workspace_id=owner)
        for whose, address in stopped.items():
            if whose == owner:
                with pytest.raises(Refused, match="suppressed"):
                    await scene.send(contact, workspace_id=owner, to=address)
            else:
                await scene.send(contact, workspace_id=owner, to=address)


async def test_a_worker_that_is_killed_after_the_answer_loses_no_report(yard: Yard, live: UUID) -> None:
    scene = yard.scene
    message = await tell(scene, "opened")
    mail = yard.each[Channel.EMAIL]
    services = mail.dispatcher._services
    sandbox = Sandbox(Channel.EMAIL, services)
    async with scene.database.write() as connection:
        (claimed,), _ = await claims.claim(connection, Channel.EMAIL, Lane.TRANSACTIONAL, mail.lease.worker_id, 1)
    route = (await sandbox.routes([claimed]))[message.id]
    lost = [await route.runner.run(claimed, route.prepared) for _ in range(2)]  # by it, and by who has its message then
    assert {each.state for each in lost} == {State.DONE}
    await yard.track()
    row = await scene.row(message.id)
    assert (row.status, row.state) == (Status.OPENED, State.SENDING)
    reported = await count(scene, events.c.id, events.c.provider == Provider.SANDBOX.value)
    assert reported == 2
    async with scene.database.write() as connection:
        await outcomes.record(connection, lost[:1])
    assert ((await scene.row(message.id)).state, yard.drums[0].sent) == (State.DONE, [])


async def test_what_is_sent_again_by_hand_tells_its_story_again(yard: Yard, live: UUID) -> None:
    scene = yard.scene
    bounced = await tell(scene, "bounced")
    unknown = await tell(scene, "unknown", on_unknown=OnUnknown.HOLD)
    await yard.turn()
    assert (await scene.row(bounced.id)).status is Status.BOUNCED
    assert (await scene.row(unknown.id)).state is State.HELD
    async with scene.database.write() as connection:
        await commands.retry(connection, scene.workspace_id, bounced.id)
        await commands.release(connection, scene.workspace_id, unknown.id)
    await yard.turn()
    again = await scene.row(bounced.id)
    assert (again.status, again.run) == (Status.BOUNCED, 2)
    assert (await scene.row(unknown.id)).status is Status.DELIVERED
    assert [drum.sent for drum in yard.drums] == [[]] * len(Channel)


async def test_a_resting_channel_rests_for_what_is_live_alone(yard: Yard, live: UUID) -> None:
    scene = yard.scene
    waiting = await scene.send(await scene.contact(workspace_id=live), workspace_id=live)
    async with scene.database.write() as connection:
        await pauses.rest(connection, Channel.EMAIL, 60_000, "no login")
    message = await tell(scene, "delivered")
    await yard.turn()
    assert (await scene.row(message.id)).status is Status.DELIVERED
    assert await scene.column(waiting.id, "state") == State.QUEUED.value
    assert yard.drums[0].sent == []


async def test_a_sandbox_is_told_apart_in_sql_too(scene: Scene, live: UUID) -> None:
    async with scene.database.read() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        told = in_sandbox(workspaces.c.id, is_sqlite=is_sqlite)
        rows = await connection.execute(
            select(workspaces.c.id, told).where(among(workspaces.c.id, {live, sandbox_of(live)}, is_sqlite=is_sqlite))
        )
    assert {row[0]: bool(row[1]) for row in rows} == {live: False, sandbox_of(live): True}


async def test_no_sender_of_a_workspaces_own_sends_for_a_sandbox(scene: Scene, live: UUID, mail_sink: SmtpSink) -> None:
    for owner in (live, scene.workspace_id):
        await mail_sender(scene, mail_credentials(mail_sink.port), workspace_id=owner)
    await scene.send(await scene.contact(workspace_id=live, email="live@example.org"), workspace_id=live)
    tested = await scene.send(await scene.contact(email="tested@example.org"))
    async with post(scene, operator=False) as opened:

        async def both_sent() -> bool:
            return not await count(scene, messages.c.id, messages.c.state != State.DONE.value)

        await opened.until(both_sent)
    assert [mail.recipients for mail in mail_sink.mails] == [("live@example.org",)]
    assert (await scene.row(tested.id)).state is State.DONE


async def test_subscriptions_are_told_of_their_own_sides_messages(yard: Yard, live: UUID) -> None:
    scene = yard.scene
    owners = {}
    async with scene.database.write() as connection:
        for owner in (live, scene.workspace_id):
            made = await subscriptions.create(
                connection, owner, url="https://app.example.org/", events=list(StatusEvent), secret=b"", paused=False
            )
            owners[made.id] = owner
    await tell(scene, "opened")
    await scene.send(await scene.contact(workspace_id=live), workspace_id=live)
    await yard.settle()
    async with scene.database.read() as connection:
        told = await connection.execute(select(status_events.c.subscription_id, status_events.c.type))
    assert Counter((is_sandbox(owners[row.subscription_id]), row.type) for row in told) == Counter(
        {
            (False, "message.sent"): 1,
            (True, "message.sent"): 1,
            (True, "message.delivered"): 1,
            (True, "message.opened"): 1,
        }
    )


async def test_what_is_reported_in_a_sandbox_suppresses_nobody(yard: Yard, live: UUID) -> None:
    scene = yard.scene
    message = await tell(scene, "bounced-late")
    await yard.settle()
    row = await scene.row(message.id)
    assert (row.status, row.delivered_at is not None, row.hard_bounced_at is not None) == (Status.BOUNCED, True, True)
    async with scene.database.write() as connection:
        await outcomes.suppress_dead(connection, [(message.id, "bounced")])
    assert await count(scene, events.c.id, events.c.bounce_type == BounceType.HARD.value) == 1
    assert await count(scene, suppressions.c.id) == 0
