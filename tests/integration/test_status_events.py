"""Status events on their way to a real server: signed as any receiver verifies, each once, whatever dies meanwhile."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import update
from standardwebhooks import Webhook, WebhookVerificationError

from models import ids
from models.ids import Kind
from models.sealing import SealedFor
from models.session import Database
from models.store import counts, settings
from models.tables import messages, subscriptions
from models.vocabulary import Channel, FailureReason, NoticeState
from tests.support import scene as scenes
from tests.support.api import Tenant
from tests.support.broker import ValkeyServer
from tests.support.house import House
from tests.support.http_sink import HttpSink, Request
from tests.support.scene import Scene
from tests.support.smtp_sink import SmtpSink
from tests.support.subscribing import SECRET, change, courier, noted, subscribe, time_passes
from tests.support.taken import take
from tests.support.waiting import wait_until

OTHER_SECRET = "whsec_" + "b" * 32


@pytest.fixture
async def post(tmp_path: Path, database: Database, valkey: ValkeyServer, mail_sink: SmtpSink) -> AsyncIterator[Scene]:
    """A scene on a Valkey of its own."""
    async with scenes.opened(tmp_path, database, valkey.url, scenes.channel_settings(mail_sink.port)) as opened:
        yield opened


@pytest.fixture
async def house(tmp_path: Path, database_url: str, valkey: ValkeyServer, mail_sink: SmtpSink) -> AsyncIterator[House]:
    """The processes; none runs yet."""
    house = House(tmp_path, database_url=database_url, redis_url=valkey.url, smtp_port=mail_sink.port)
    yield house
    await asyncio.to_thread(house.close)


def verified(request: Request, *secrets: str) -> Any:
    """What the request says, proved by each of the secrets."""
    said = [Webhook(secret).verify(request.body, dict(request.headers)) for secret in secrets]
    return said[0]


async def states(scene: Scene) -> Counter[str]:
    return Counter(row.state for row in await noted(scene))


async def tell(scene: Scene, until: int) -> None:
    """Send all that is due; ``until`` so many have ended."""
    async with courier(scene) as made:
        made.pull()

        async def over() -> bool:
            return (await states(scene)).total() - (await states(scene))[NoticeState.PENDING] == until

        await wait_until(over)


async def test_a_receiver_verifies_what_it_is_told(scene: Scene, web_sink: HttpSink) -> None:
    await subscribe(scene, web_sink.url("/events"))
    contact = await scene.contact(external_id="customer-7")
    message = await scene.send(contact, metadata={"order": 7}, subject="The subject", body="What is said")
    await take(scene)
    await tell(scene, 1)
    (request,) = web_sink.requests
    message_id = ids.show(Kind.MESSAGE, message.id)
    assert (request.method, request.path) == ("POST", "/events")
    assert request.headers["webhook-id"] == f"{message_id}:sent"
    said = verified(request, SECRET)
    assert said["data"] == {
        "messageId": message_id,
        "workspaceId": ids.show(Kind.WORKSPACE, scene.workspace_id),
        "contactId": ids.show(Kind.CONTACT, contact),
        "externalId": "customer-7",
        "channel": "EMAIL",
        "campaignId": None,
        "journeyId": None,
        "status": "SENT",
        "bounceType": None,
        "failureReason": None,
        "metadata": {"order": 7},
    }
    assert said["type"] == "message.sent"
    assert said["timestamp"].endswith("Z")
    for private in (b"ann@example.org", b"The subject", b"What is said"):
        assert private not in request.body
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER_SECRET).verify(request.body, dict(request.headers))


async def test_while_secrets_rotate_both_prove_it(scene: Scene, web_sink: HttpSink) -> None:
    subscription = await subscribe(scene, web_sink.url())
    sealed = scene.keyring.seal(OTHER_SECRET.encode(), SealedFor.SUBSCRIPTION)
    await change(scene, subscription, secret=sealed, secret_previous=subscription.secret, secret_previous_until=2**42)
    await scene.send(await scene.contact())
    await take(scene)
    await tell(scene, 1)
    verified(web_sink.requests[0], SECRET, OTHER_SECRET)


async def test_what_fails_is_tried_again_under_the_same_id_with_the_same_body(scene: Scene, web_sink: HttpSink) -> None:
    await subscribe(scene, web_sink.url())
    web_sink.script(503, headers={"Retry-After": "1"}, body=b"later", times=1)
    web_sink.script(500, times=1)
    await scene.send(await scene.contact())
    await take(scene)

    async def attempts() -> int:
        return len((await noted(scene))[0].attempts or ())

    async with courier(scene) as made:
        for number in range(1, 4):
            made.pull()

            async def tried(number: int = number) -> bool:
                return await attempts() == number

            await wait_until(tried)
            if number < 3:
                (row,) = await noted(scene)
                assert row.due_at - row.created_at > 3_500  # as WEBHOOK's schedule has it: about five seconds
            await time_passes(scene, 3_600_000)
    first, *others = web_sink.requests
    assert len(others) == 2
    for other in others:
        assert (other.headers["webhook-id"], other.body) == (first.headers["webhook-id"], first.body)
    (row,) = await noted(scene)
    assert (row.state, row.tries) == (NoticeState.DELIVERED, 2)
    assert [(each["outcome"], each["code"]) for each in row.attempts] == [
        ("transient", "500"),
        ("transient", "503"),
        ("accepted", "200"),
    ]


async def test_events_of_webhooks_tell_of_no_events(scene: Scene, web_sink: HttpSink) -> None:
    """What a subscription is told is no message: it is told of nothing about itself, and stands in no total."""
    await subscribe(scene, web_sink.url("/events"))
    contact = await scene.contact(webhook_url=web_sink.url("/in"), webhook_secret=SECRET)
    message = await scene.send(contact, channel=Channel.WEBHOOK)
    async with scene.database.write() as connection:
        await connection.execute(
            update(messages)
            .where(messages.c.id == message.id)
            .values(state="done", turn=None, sent_at=1, delivered_at=2)
        )
    await tell(scene, 2)
    said = [verified(each, SECRET)["type"] for each in web_sink.received_at("/events")]
    assert sorted(said) == ["message.delivered", "message.sent"]
    assert len(await noted(scene)) == 2
    async with scene.database.read() as connection:
        assert await counts.total(connection, scene.workspace_id) == 1


async def test_the_guard_refuses_what_it_refuses_for_messages(scene: Scene, web_sink: HttpSink) -> None:
    hosts = ["169.254.169.254", "10.0.0.1", "[::1]", "[fd00:ec2::254]", "192.168.0.1"]
    for host in hosts:
        await subscribe(scene, f"http://{host}:{web_sink.port}/")
    await scene.send(await scene.contact())
    await take(scene)
    await tell(scene, len(hosts))
    assert web_sink.requests == []
    for row in await noted(scene):
        assert row.state == NoticeState.FAILED
        assert [each["outcome"] for each in row.attempts] == ["permanent"]


async def test_an_endpoint_that_is_gone_is_told_nothing_more_and_the_others_are(
    scene: Scene, web_sink: HttpSink
) -> None:
    web_sink.script(410, path="/gone")
    await subscribe(scene, web_sink.url("/gone"))
    await subscribe(scene, web_sink.url("/here"))
    contact = await scene.contact()
    for number in (1, 2):
        await scene.send(contact)
        await take(scene)
        await tell(scene, number + 1)
    assert len(web_sink.received_at("/gone")) == 1
    assert len(web_sink.received_at("/here")) == 2


async def test_a_killed_worker_loses_no_event(
    post: Scene, house: House, mail_sink: SmtpSink, web_sink: HttpSink
) -> None:
    """The keeper asks, a worker sends; one is killed while its requests hang."""
    web_sink.script(delay_s=0.2)
    await subscribe(post, web_sink.url("/events"))
    contact = await post.contact()
    sent = await post.intake.submit_many([post.draft(contact) for _ in range(60)])
    house.start_keeper()
    first = house.start_worker()
    await wait_until(lambda: len(web_sink.requests) >= 10, timeout=60)
    house.kill_worker(first)
    house.start_worker()
    wanted = {f"{ids.show(Kind.MESSAGE, each.message.id)}:sent" for each in sent if not isinstance(each, Exception)}

    async def told() -> bool:
        await time_passes(post, 15_000)  # what the dead worker had in hand comes back in two minutes
        return (await states(post))[NoticeState.DELIVERED] == len(wanted)

    await wait_until(told, timeout=90, interval=0.5)
    arrived = Counter(each.headers["webhook-id"] for each in web_sink.requests)
    assert set(arrived) == wanted
    for request in web_sink.requests:
        verified(request, SECRET)


async def test_what_was_told_is_listed(
    tenant: Tenant, web_sink: HttpSink, database: Database, tmp_path: Path, redis_url: str
) -> None:
    made = await tenant.post("/subscriptions", {"url": web_sink.url("/events"), "events": ["message.failed"]})
    other = await tenant.post("/subscriptions", {"url": "https://example.org/", "paused": True})
    message = await tenant.send(await tenant.contact())
    assert (await tenant.call("POST", f"/messages/{message['id']}/cancel")).status_code == 200
    path = f"/subscriptions/{made['id']}/deliveries"
    (waiting,) = (await tenant.get(path))["data"]
    assert (waiting["state"], waiting["attempts"]) == ("pending", [])
    assert waiting["nextAttemptAt"] is not None
    async with scenes.opened(tmp_path, database, redis_url) as scene, courier(scene) as sender:
        sender.pull()

        async def told() -> bool:
            return bool((await tenant.get(path, state="delivered"))["data"])

        await wait_until(told)
    (listed,) = (await tenant.get(path, messageId=message["id"]))["data"]
    assert listed["id"] == f"{message['id']}:failed" == web_sink.requests[0].headers["webhook-id"]
    assert (listed["type"], listed["messageId"], listed["nextAttemptAt"]) == ("message.failed", message["id"], None)
    assert [(each["number"], each["outcome"], each["code"]) for each in listed["attempts"]] == [(1, "accepted", "200")]
    said = json.loads(web_sink.requests[0].body)
    assert said["timestamp"] == listed["at"]
    assert said["data"]["failureReason"] == FailureReason.CANCELLED
    for nothing in ({"state": "pending"}, {"messageId": other["id"]}, {"page": 2}):
        assert (await tenant.get(path, **nothing))["data"] == []
    # Of the one that is paused everything waits, and is listed.
    (kept,) = (await tenant.get(f"/subscriptions/{other['id']}/deliveries"))["data"]
    assert (kept["id"], kept["state"]) == (listed["id"], "pending")
    assert (await tenant.call("GET", path.replace(made["id"], "sub_x"))).status_code == 404


async def test_a_subscription_that_was_switched_off_is_switched_on_by_hand(tenant: Tenant, database: Database) -> None:
    path = f"/subscriptions/{(await tenant.post('/subscriptions', {'url': 'https://example.org/'}))['id']}"
    for body, still_off in (
        ({"paused": False}, False),
        ({"url": "https://example.net/"}, False),
        ({"events": ["message.sent"]}, True),
    ):
        async with database.write() as connection:
            await connection.execute(update(subscriptions).values(disabled_at=1, disabled_reason="endpoint_gone"))
        before = await tenant.get(path)
        assert (before["disabledAt"], before["disabledReason"]) == ("1970-01-01T00:00:00.001Z", "endpoint_gone")
        answer = await tenant.call("PATCH", path, json=body)
        assert (answer.json()["disabledAt"] is not None) is still_off


async def test_a_workspace_has_twenty_subscriptions_at_most(tenant: Tenant) -> None:
    body = {"url": "https://example.org/", "paused": True}
    answers = await asyncio.gather(*(tenant.call("POST", "/subscriptions", json=body) for _ in range(23)))
    assert Counter(each.status_code for each in answers) == {201: 20, 409: 3}
    (kept, *_) = (await tenant.get("/subscriptions"))["data"]
    assert (await tenant.call("DELETE", f"/subscriptions/{kept['id']}")).status_code == 204
    await tenant.post("/subscriptions", body)


async def test_a_workspace_whose_events_have_to_wait_leaves_room_to_another(scene: Scene, web_sink: HttpSink) -> None:
    """Each of its endpoints gets one event in a hundred seconds, and all that it has in hand wait for their turn."""
    many, few = 15, 10
    async with scene.database.write() as connection:
        await settings.change(connection, scene.workspace_id, lambda old: replace(old, endpoint_rate=0.01))
    for _ in range(20):
        await subscribe(scene, web_sink.url("/slow"))
    theirs = await scene.contact()
    for _ in range(many):
        await scene.send(theirs)
    await take(scene, many)
    other = await scene.workspace()
    late = await subscribe(scene, web_sink.url("/events"), workspace_id=other, paused=True)
    contact = await scene.contact(workspace_id=other)
    for _ in range(few):
        await scene.send(contact, workspace_id=other)
    await take(scene, few)
    async with courier(scene) as made:
        made.pull()

        async def in_hand() -> bool:
            return bool(sum(row.token for row in await noted(scene)) >= 75)

        await wait_until(in_hand)
        await change(scene, late, workspace_id=other, paused=False)
        await wait_until(lambda: len(web_sink.received_at("/events")) == few, timeout=3)
    assert len(web_sink.received_at("/slow")) <= 1
