"""The PUSH channel against a strict push service: what browsers get, and what a message comes to over all of them."""

import asyncio
import contextlib
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from channels.contract import Content, Envelope, Progress, Receipt
from channels.errors import Limited, Misconfigured, NotStarted, Permanent, SendError, Transient, Unknown
from channels.push import MOST_BYTES, PushChannel, PushConfig
from channels.vapid import Vapid, new_key, parse_key
from models.session import Database
from models.store import push_subscriptions
from models.tokens import Purpose, Ref
from models.vocabulary import Channel, FailureReason, Status
from tests.support import push_service
from tests.support import scene as scenes
from tests.support.broker import ValkeyServer
from tests.support.envelopes import PUBLIC_URL, TOKENS, envelope
from tests.support.house import House
from tests.support.push_service import PushService, Subscription
from tests.support.scene import Scene
from tests.support.waiting import wait_until
from tests.support.webhooks import LOOPBACK

CONTENT = Content(subject="Hello {{firstName}}", body="Your order left, {{firstName}}.")


@pytest.fixture
async def service() -> AsyncIterator[PushService]:
    async with push_service.running() as it:
        yield it


@pytest.fixture
def vapid() -> Vapid:
    return Vapid(parse_key(push_service.encode(new_key()).encode()), "mailto:push@example.org")


@pytest.fixture
async def channel(vapid: Vapid) -> AsyncIterator[PushChannel]:
    channel = PushChannel(PushConfig(LOOPBACK), vapid)
    yield channel
    await channel.close()


def message(*browsers: Subscription, **fields: object) -> Envelope:
    given = {"variables": {"firstName": "Zoë"}, "browsers": tuple(each.browser for each in browsers)}
    return envelope("", **(given | fields))


async def outcome(channel: PushChannel, sent: Envelope, content: Content = CONTENT) -> Receipt | SendError:
    try:
        return await channel.send(sent, channel.prepare(content))
    except SendError as error:
        return error


def progress(accepted: tuple[Subscription, ...] = (), gone: tuple[Subscription, ...] = ()) -> Progress:
    return Progress(accepted=tuple(str(each.id) for each in accepted), gone=tuple(each.id for each in gone))


# --- What a browser gets


async def test_what_the_browser_gets(channel: PushChannel, service: PushService, vapid: Vapid) -> None:
    browser = service.subscribe(key=vapid.public_key)
    sent = message(browser, track_opens=True, track_clicks=True)
    options = {"icon": "https://shop.example.org/icon.png", "url": "https://shop.example.org/orders/7"}
    receipt = await outcome(channel, sent, msgspec.structs.replace(CONTENT, options=options))
    assert receipt == Receipt(code="201", detail="201 Created", progress=progress((browser,)))
    assert service.faults == []
    [push] = service.pushes
    beacon = push.payload.pop("beacon")
    assert push.payload == {
        "messageId": sent.message_id,
        "title": "Hello Zoë",
        "body": "Your order left, Zoë.",
        "report": ["opened", "closed", "clicked"],
        **options,
    }
    prefix, _, token = beacon.rpartition("/")
    assert prefix == f"{PUBLIC_URL}/t/p"
    assert TOKENS.read(Purpose.BEACON, token) == Ref(sent.uuid, sent.run)
    headers = push.request.headers
    assert (headers["ttl"], headers["urgency"], headers["content-encoding"]) == ("86400", "normal", "aes128gcm")
    assert b"order" not in push.request.body


async def test_a_message_without_anything_but_its_id(channel: PushChannel, service: PushService) -> None:
    sent = message(service.subscribe())
    assert isinstance(await outcome(channel, sent, Content()), Receipt)
    assert [push.payload for push in service.pushes] == [{"messageId": sent.message_id}]


async def test_life_and_urgency_are_the_messages(channel: PushChannel, service: PushService) -> None:
    content = Content(body="Hi", options={"ttl": 0, "urgency": "high"})
    assert isinstance(await outcome(channel, message(service.subscribe()), content), Receipt)
    [request] = service.requests
    assert (request.headers["ttl"], request.headers["urgency"]) == ("0", "high")


@pytest.mark.parametrize(
    ("opens", "clicks", "report"), [(True, False, ["opened", "closed"]), (False, True, ["clicked"])]
)
async def test_only_what_is_tracked_is_to_be_reported(
    channel: PushChannel, service: PushService, opens: bool, clicks: bool, report: list[str]
) -> None:
    await outcome(channel, message(service.subscribe(), track_opens=opens, track_clicks=clicks))
    [push] = service.pushes
    assert push.payload["report"] == report


async def test_a_notification_shows_the_text_of_html(channel: PushChannel, service: PushService) -> None:
    content = Content(subject="A & B", body="<p>Dear <b>{{firstName}}</b>,</p><p>it left.</p>", format="html")
    await outcome(channel, message(service.subscribe(), variables={"firstName": "Anna & <Bob>"}), content)
    [push] = service.pushes
    assert (push.payload["title"], push.payload["body"]) == ("A & B", "Dear Anna & <Bob>,\n\nit left.")


async def test_a_repeat_has_the_topic_of_the_first(channel: PushChannel, service: PushService) -> None:
    browser = service.subscribe()
    first, other = message(browser), message(browser)
    for sent in (first, first, other):
        await outcome(channel, sent)
    topics = [request.headers["topic"] for request in service.requests]
    assert topics[0] == topics[1] != topics[2]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{32}", each) for each in topics)


async def test_all_that_a_push_service_takes_is_taken_and_not_a_byte_more(
    channel: PushChannel, service: PushService
) -> None:
    sent = message(service.subscribe())
    room = MOST_BYTES - len(msgspec.json.encode({"messageId": sent.message_id, "body": ""}))
    assert isinstance(await outcome(channel, sent, Content(body="x" * room)), Receipt)
    assert len(service.requests[0].body) == 4096
    refused = await outcome(channel, sent, Content(body="x" * (room - 1) + "é"))
    assert isinstance(refused, Permanent)
    assert (refused.reason, refused.bounced) == (FailureReason.TOO_LARGE, False)
    assert len(service.requests) == 1


async def test_a_service_gets_one_token_for_all_its_browsers(channel: PushChannel, service: PushService) -> None:
    await outcome(channel, message(service.subscribe(), service.subscribe()))
    await outcome(channel, message(service.subscribe()))
    assert len({request.headers["authorization"] for request in service.requests}) == 1
    assert service.faults == []


# --- What one answer means


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_accepted(channel: PushChannel, service: PushService, status: int) -> None:
    browser = service.subscribe()
    service.script(status)
    receipt = await outcome(channel, message(browser))
    assert isinstance(receipt, Receipt)
    assert (receipt.code, receipt.delivered, receipt.progress) == (str(status), False, progress((browser,)))


@pytest.mark.parametrize("status", [404, 410])
async def test_the_last_browser_is_gone(channel: PushChannel, service: PushService, status: int) -> None:
    browser = service.subscribe()
    service.script(status)
    ended = await outcome(channel, message(browser))
    assert isinstance(ended, Permanent)
    assert (ended.reason, ended.bounced, ended.hard) == (FailureReason.ADDRESS_DEAD, True, False)
    assert ended.progress == progress(gone=(browser,))


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_our_fault_removes_nothing(channel: PushChannel, service: PushService, status: int) -> None:
    service.script(status)
    ended = await outcome(channel, message(service.subscribe()))
    assert isinstance(ended, Misconfigured)
    assert (ended.code, ended.progress) == (str(status), None)


async def test_one_stranger_that_refuses_us_is_not_our_fault(vapid: Vapid) -> None:
    channel = PushChannel(PushConfig(LOOPBACK), vapid, witnesses=3)
    ends = []
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(channel.close)
        for _ in range(3):
            stranger = await stack.enter_async_context(push_service.running())
            stranger.script(401)
            ends += [type(await outcome(channel, message(stranger.subscribe()))) for _ in range(2)]
    assert ends == [Transient] * 4 + [Misconfigured] * 2


async def test_a_push_service_that_hangs_keeps_no_more_than_its_share(vapid: Vapid, service: PushService) -> None:
    channel = PushChannel(PushConfig(LOOPBACK), vapid, slots=40)
    async with push_service.running() as hanging:
        hanging.script(delay_s=60)
        sent = [message(hanging.subscribe()) for _ in range(40)]
        sending = [asyncio.create_task(outcome(channel, each)) for each in sent]
        await wait_until(lambda: len(hanging.requests) == 4 and sum(each.done() for each in sending) == 36)
        assert {type(each.result()) for each in sending if each.done()} == {Limited}
        assert isinstance(await outcome(channel, message(service.subscribe())), Receipt)
        await channel.close()
        await asyncio.gather(*sending)
        assert len(hanging.requests) == 4


@pytest.mark.parametrize("status", [301, 308, 402, 406, 408, 429, 500, 503])
async def test_refused_for_now(channel: PushChannel, service: PushService, status: int) -> None:
    service.script(status, headers={"Retry-After": "40", "Location": service.url("/elsewhere")})
    ended = await outcome(channel, message(service.subscribe()))
    assert isinstance(ended, Transient)
    assert (ended.code, ended.retry_after_s, ended.progress) == (str(status), 40.0, None)
    assert len(service.requests) == 1


async def test_too_large_for_one_service(channel: PushChannel, service: PushService) -> None:
    service.script(413)
    ended = await outcome(channel, message(service.subscribe()))
    assert isinstance(ended, Permanent)
    assert (ended.reason, ended.bounced, ended.progress) == (FailureReason.TOO_LARGE, False, None)


async def test_no_browser(channel: PushChannel) -> None:
    ended = await outcome(channel, message())
    assert isinstance(ended, Permanent)
    assert (ended.bounced, ended.hard, ended.progress) == (True, False, None)


@pytest.mark.parametrize(
    "changed",
    [
        {"p256dh": "BAAA"},
        {"p256dh": push_service.encode(b"\x04" + bytes(64))},
        {"p256dh": "no base64url!"},
        {"p256dh": ""},
        {"auth": ""},
        {"endpoint": "https://"},
        {"endpoint": "no URL"},
    ],
)
async def test_a_malformed_browser_is_refused_and_spoils_no_other(
    channel: PushChannel, service: PushService, changed: dict[str, str]
) -> None:
    good, bad = service.subscribe(), service.subscribe()
    malformed = msgspec.structs.replace(bad.browser, **changed)
    alone = await outcome(channel, message(browsers=(malformed,)))
    assert isinstance(alone, Permanent)
    assert (alone.reason, alone.hard) == (FailureReason.INVALID_ADDRESS, False)
    both = await outcome(channel, message(browsers=(malformed, good.browser)))
    assert isinstance(both, Receipt)
    assert both.progress == progress((good,))
    assert len(service.requests) == 1


async def test_a_browser_that_another_key_subscribed(channel: PushChannel, service: PushService) -> None:
    ended = await outcome(channel, message(service.subscribe(key="another")))
    assert isinstance(ended, Misconfigured)
    assert service.faults == ["the subscription was made with another key (RFC 8292, section 4)"]


async def test_who_registers_such_a_browser_stops_nobodys_channel(channel: PushChannel, service: PushService) -> None:
    assert isinstance(await outcome(channel, message(service.subscribe())), Receipt)
    ended = await outcome(channel, message(service.subscribe(key="another")))
    assert isinstance(ended, Transient)
    assert ended.code == "403"


# --- What it comes to over all browsers


async def test_one_of_three_is_gone(channel: PushChannel, service: PushService) -> None:
    browsers = [service.subscribe() for _ in range(3)]
    service.script(410, path=browsers[1].path)
    receipt = await outcome(channel, message(*browsers))
    assert isinstance(receipt, Receipt)
    assert (receipt.code, receipt.detail) == ("201", "2 of 3 browsers took it, 1 exist no more")
    assert receipt.progress == progress((browsers[0], browsers[2]), gone=(browsers[1],))
    assert len({push.payload["messageId"] for push in service.pushes}) == 1


async def test_a_retry_sends_what_was_not_accepted(channel: PushChannel, service: PushService) -> None:
    browsers = [service.subscribe() for _ in range(4)]
    service.script(503, path=browsers[0].path, headers={"Retry-After": "7"}, times=1)
    service.script(429, path=browsers[2].path, headers={"Retry-After": "30"}, times=1)
    service.script(404, path=browsers[3].path)
    sent = message(*browsers)
    first = await outcome(channel, sent)
    assert isinstance(first, Transient)
    assert first.retry_after_s == 30.0
    assert first.progress == progress((browsers[1],), gone=(browsers[3],))
    again = msgspec.structs.replace(
        sent, browsers=tuple(each.browser for each in browsers[:3]), accepted=frozenset(first.progress.accepted)
    )
    second = await outcome(channel, again)
    assert isinstance(second, Receipt)
    assert second.progress == progress((browsers[0], browsers[2]))
    assert [len(service.pushes_to(each)) for each in browsers] == [2, 1, 2, 1]


@pytest.mark.parametrize("status", [410, 403, 413])
async def test_what_an_earlier_try_got_through_is_sent(channel: PushChannel, service: PushService, status: int) -> None:
    has_it, late = service.subscribe(), service.subscribe()
    service.script(status, path=late.path)
    receipt = await outcome(channel, message(has_it, late, accepted=frozenset({str(has_it.id)})))
    assert isinstance(receipt, Receipt)
    assert receipt.progress == progress(gone=(late,) if status == 410 else ())
    assert [push.to for push in service.pushes] == [late]


async def test_nothing_left_to_send_is_sent(channel: PushChannel, service: PushService) -> None:
    browser = service.subscribe()
    assert isinstance(await outcome(channel, message(browser, accepted=frozenset({str(browser.id)}))), Receipt)
    assert service.requests == []


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([201, 403], Receipt),
        ([201, 413], Receipt),
        ([410, 403], Misconfigured),
        ([410, 413], Permanent),
        ([413, 403], Misconfigured),
        ([403, 503], Transient),
        ([413, 503], Transient),
        ([201, 503], Transient),
        ([410, 503], Transient),
        ([404, 410], Permanent),
    ],
)
async def test_what_counts_where_browsers_differ(
    channel: PushChannel, service: PushService, statuses: list[int], expected: type
) -> None:
    for turned in (statuses, statuses[::-1]):
        fresh = PushChannel(PushConfig(LOOPBACK), channel._vapid)
        browsers = [service.subscribe() for _ in turned]
        for status, browser in zip(turned, browsers, strict=True):
            service.script(status, path=browser.path)
        ended = await outcome(fresh, message(*browsers))
        await fresh.close()
        assert type(ended) is expected
        known = dict(zip(turned, browsers, strict=True))
        taken = tuple(known[status] for status in turned if status == 201)
        gone = tuple(known[status] for status in turned if status in (404, 410))
        assert ended.progress == (progress(taken, gone) if taken or gone else None)


async def test_a_line_cut_is_unknown_whatever_the_others_say(channel: PushChannel, service: PushService) -> None:
    browsers = [service.subscribe() for _ in range(3)]
    service.script(path=browsers[1].path, drop="after")
    service.script(503, path=browsers[2].path)
    ended = await outcome(channel, message(*browsers))
    assert isinstance(ended, Unknown)
    assert ended.progress == progress((browsers[0],))
    assert len(service.requests) == 3


async def test_a_worker_that_must_stop_keeps_what_was_accepted(channel: PushChannel, service: PushService) -> None:
    browsers = [service.subscribe() for _ in range(3)]
    asked = 0

    def proceed() -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise NotStarted("the lease runs low")

    ended = await outcome(channel, message(*browsers, proceed=proceed))
    assert type(ended) is NotStarted
    [push] = service.pushes
    assert ended.progress == progress((push.to,))
    assert asked == 3


async def test_the_guard_judges_every_endpoint(channel: PushChannel, service: PushService) -> None:
    good = service.subscribe()
    inside = msgspec.structs.replace(good.browser, endpoint="https://169.254.169.254/latest")
    alone = await outcome(channel, message(browsers=(inside,)))
    assert isinstance(alone, Permanent)
    assert (alone.reason, alone.bounced) == (FailureReason.FORBIDDEN_DESTINATION, False)
    assert isinstance(await outcome(channel, message(browsers=(inside, good.browser))), Receipt)


async def test_one_contact_takes_no_more_than_its_share(channel: PushChannel, service: PushService) -> None:
    many = [service.subscribe() for _ in range(40)]
    assert isinstance(await outcome(channel, message(*many)), Receipt)  # its push service may have many now
    service.script(delay_s=60)
    sending = asyncio.create_task(outcome(channel, message(*many)))
    await wait_until(lambda: len(service.requests) == 40 + 16)
    await channel.close()
    assert isinstance(await sending, Unknown)
    assert len(service.requests) == 40 + 16


# --- Through the whole house


@pytest.fixture
async def post(tmp_path: Path, database: Database, valkey: ValkeyServer) -> AsyncIterator[Scene]:
    async with scenes.opened(tmp_path, database, valkey.url) as opened:
        yield opened


@pytest.fixture
async def house(tmp_path: Path, database_url: str, valkey: ValkeyServer) -> AsyncIterator[House]:
    house = House(tmp_path, database_url=database_url, redis_url=valkey.url, smtp_port=25)
    house.start_keeper()
    yield house
    await asyncio.to_thread(house.close)


async def subscribe(post: Scene, service: PushService, contact_id: UUID) -> Subscription:
    made = service.subscribe()
    digest = hashlib.sha256(made.endpoint.encode()).digest()
    keys = made.browser
    browser = push_subscriptions.Browser(made.endpoint, digest, keys.p256dh, keys.auth, None)
    async with post.database.write() as connection:
        assert await push_subscriptions.put(connection, post.workspace_id, contact_id, browser) is not None
    return made


async def endpoints(post: Scene, contact_id: UUID) -> set[str]:
    async with post.database.read() as connection:
        rows, _ = await push_subscriptions.page(
            connection, post.workspace_id, contact_id=contact_id, limit=200, offset=0
        )
    return {row.endpoint for row in rows}


async def test_a_contact_with_three_browsers_in_the_house(post: Scene, house: House, service: PushService) -> None:
    contact = await post.contact()
    there, busy, gone = [await subscribe(post, service, contact) for _ in range(3)]
    service.script(503, path=busy.path, times=1)
    service.script(410, path=gone.path)
    house.start_worker()
    sent = await post.send(contact, channel=Channel.PUSH)

    async def is_sent() -> bool:
        return (await post.row(sent.id)).status is Status.SENT

    await wait_until(is_sent, timeout=40)
    assert [len(service.pushes_to(each)) for each in (there, busy, gone)] == [1, 2, 1]
    assert await endpoints(post, contact) == {there.endpoint, busy.endpoint}
    assert service.faults == []
    [key] = {request.headers["authorization"].rpartition("k=")[2] for request in service.requests}
    assert len(key) == 87

    for each in (there, busy):
        service.script(404, path=each.path)
    last = await post.send(contact, channel=Channel.PUSH)

    async def is_bounced() -> bool:
        return (await post.row(last.id)).status is Status.BOUNCED

    await wait_until(is_bounced, timeout=40)
    assert (await post.row(last.id)).failure_reason is FailureReason.ADDRESS_DEAD
    assert await endpoints(post, contact) == set()

    back = await subscribe(post, service, contact)
    again = await post.send(contact, channel=Channel.PUSH)

    async def is_back() -> bool:
        return (await post.row(again.id)).status is Status.SENT

    await wait_until(is_back, timeout=40)
    assert len(service.pushes_to(back)) == 1
