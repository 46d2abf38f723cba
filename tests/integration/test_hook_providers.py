"""What ten providers report, over HTTP and on both databases: from their request to the message's status."""

import base64
import gzip
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from sqlalchemy import func, insert, select, update

from channels.errors import Transient
from channels.guarded_http import Answer
from channels.providers.contract import HookRequest
from models import ids
from models.ids import Kind
from models.session import Database
from models.store import hook_tokens as token_store
from models.tables import attempts, hook_tokens
from tests.support import provider_requests as requests
from tests.support.api import Api, Tenant, serving
from tests.support.provider_requests import SECRET, TOPIC, WHSEC
from tests.support.waiting import wait_until
from worker.tracker import Tracker

CREDENTIALS: Final[dict[str, dict[str, Any]]] = {
    "mailgun": {"signingKey": SECRET},
    "resend": {"signingKey": WHSEC},
    "mandrill": {"signingKey": SECRET},
    "telegram": {"signingKey": SECRET},
    "ses": {"topicArns": [TOPIC]},
}


class Amazon:
    """What lies at Amazon's addresses: a certificate and the confirmation of a subscription."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.is_away = False

    async def fetch(self, url: str) -> Answer:
        """What SNS answers, unless it is away."""
        self.asked.append(url)
        if self.is_away:
            raise Transient("no connection")
        return Answer(200, "OK", {}, requests.certificate(int(time.time()) - 86_400))


@pytest.fixture
def amazon() -> Amazon:
    return Amazon()


@pytest.fixture
async def api(tmp_path: Path, database_url: str, redis_url: str, amazon: Amazon) -> AsyncIterator[Api]:
    telegram = "http://127.0.0.1:1"
    async with serving(tmp_path, database_url, redis_url, telegram_url=telegram, fetch=amazon.fetch) as running:
        yield running


class Hook:
    """A hook of a provider, and who posts to it."""

    def __init__(self, tenant: Tenant, made: dict[str, Any]) -> None:
        self.tenant = tenant
        self.made = made
        self.path = httpx.URL(made["url"]).path

    async def post(self, request: HookRequest, **headers: str) -> httpx.Response:
        """Post it as it was made, without the tenant's own key."""
        given = {"authorization": ""} | dict(request.headers) | headers
        return await self.tenant.root.post(self.path, content=request.body, headers=given)

    async def total(self) -> int:
        """How many events came in by it."""
        return int((await self.tenant.get("/events", hookId=self.made["id"]))["pagination"]["total"])


async def hook_of(tenant: Tenant, provider: str, **fields: Any) -> Hook:
    known = CREDENTIALS.get(provider, {})
    if provider == "sendgrid":
        known = {"signingKey": requests.public_text(requests.sendgrid_key())}
    return Hook(tenant, await tenant.post("/hooks", {"provider": provider} | known | fields))


def ses(event: dict[str, Any], now: float) -> HookRequest:
    return requests.sns(json.dumps(event), now)


def reports(hook: Hook, token: str, now: float) -> dict[str, Callable[[], HookRequest]]:
    """A click, by provider, of the message that ``token`` names."""
    sendgrid = [{"event": "click", "timestamp": now, "wireroom": token, "sg_message_id": "a.b"}]
    sparkpost = [{"msys": {"track_event": {"type": "click", "event_id": "1", "rcpt_meta": {"wireroom": token}}}}]
    mandrill = [{"event": "click", "_id": "m1", "ts": now, "msg": {"metadata": {"wireroom": token}}}]
    return {
        "sendgrid": lambda: requests.sendgrid(json.dumps(sendgrid).encode(), now),
        "mailgun": lambda: requests.mailgun(
            {"event": "clicked", "id": "1", "user-variables": {"wireroom": token}}, now
        ),
        "postmark": lambda: requests.plain({"RecordType": "Click", "Metadata": {"wireroom": token}}),
        "ses": lambda: ses({"eventType": "Click", "mail": {"tags": {"wireroom": [token]}}, "click": {}}, now),
        "resend": lambda: requests.resend(
            json.dumps({"type": "email.clicked", "data": {"tags": {"wireroom": token}}}).encode(), now
        ),
        "brevo": lambda: requests.plain([{"event": "click", "X-Mailin-custom": f"wireroom:{token}", "ts_event": now}]),
        "mailjet": lambda: requests.plain({"event": "click", "CustomID": token, "time": now}),
        "sparkpost": lambda: requests.plain(sparkpost),
        "mandrill": lambda: requests.mandrill(mandrill, url=hook.made["url"]),
    }


PROVIDERS: Final = ("sendgrid", "mailgun", "postmark", "ses", "resend", "brevo", "mailjet", "sparkpost", "mandrill")


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_report_makes_its_message_clicked_once(tenant: Tenant, database: Database, provider: str) -> None:
    hook = await hook_of(tenant, provider)
    message = await tenant.send(await tenant.contact())
    request = reports(hook, f"{message['id']}-1", int(time.time()))[provider]()
    first, again = await hook.post(request), await hook.post(request)
    assert (first.status_code, first.json()) == (200, {"stored": 1, "repeated": 0, "unreadable": 0})
    assert (again.status_code, again.json()) == (200, {"stored": 0, "repeated": 1, "unreadable": 0})
    await Tracker(database).pull()
    assert (await tenant.get(f"/messages/{message['id']}"))["status"] == "CLICKED"
    (event,) = (await tenant.get("/events", hookId=hook.made["id"], matched="true"))["data"]
    assert (event["provider"], event["type"], event["machine"]) == (provider, "clicked", False)


@pytest.mark.parametrize(("provider", "status"), [*((each, 401) for each in PROVIDERS), ("telegram", 401)])
async def test_what_is_not_proved_is_not_stored(tenant: Tenant, provider: str, status: int) -> None:
    hook = await hook_of(tenant, provider)
    answer = await hook.post(requests.plain({"event": "click"}))
    signs = provider in CREDENTIALS or provider == "sendgrid"
    expected = 406 if provider == "mailgun" else status if signs else 200
    assert answer.status_code == expected
    assert await hook.total() == (0 if signs else 1)
    assert ("www-authenticate" in answer.headers) == (answer.status_code == 401)


async def test_mailguns_tokens_are_good_for_one_body(tenant: Tenant, database: Database) -> None:
    hook, other = await hook_of(tenant, "mailgun"), await hook_of(tenant, "mailgun")
    now = time.time()
    request = requests.mailgun({"event": "opened", "id": "1"}, now)
    changed = requests.mailgun({"event": "complained", "id": "2"}, now)
    answers = [await hook.post(each) for each in (request, changed, request, changed)]
    assert [answer.status_code for answer in answers] == [200, 406, 200, 406]
    assert answers[1].json()["type"] == "/problems/not-acceptable"
    assert (await hook.total(), await other.total()) == (1, 0)
    assert (await other.post(changed)).status_code == 200
    async with database.write() as connection:
        await connection.execute(update(hook_tokens).values(seen_at=hook_tokens.c.seen_at - 3_600_000))
        assert await token_store.forget(connection, 3_700_000, 10) == 0
        assert await token_store.forget(connection, 3_500_000, 1) == 1
        assert await token_store.forget(connection, 3_500_000, 10) == 1
        assert await connection.scalar(select(func.count()).select_from(hook_tokens)) == 0


@pytest.mark.parametrize("body", [b"", b"garbage", b"\xff\xfe", b'{"signature": 5}', b"[" * 100_000])
async def test_unsigned_garbage_does_not_come_back_from_mailgun(tenant: Tenant, body: bytes) -> None:
    hook = await hook_of(tenant, "mailgun")
    for kind in ("application/json", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = await hook.post(HookRequest(headers={"content-type": kind}, body=body))
        assert answer.status_code == 406
    assert await hook.total() == 0


@pytest.mark.parametrize("body", [b"", b"garbage", b"\xff\xfe", b"[" * 100_000, b'{"a":\x00}'])
async def test_what_a_proved_sender_garbles_is_kept(tenant: Tenant, database: Database, body: bytes) -> None:
    hook = await hook_of(tenant, "sendgrid")
    answer = await hook.post(requests.sendgrid(body, time.time()))
    assert (answer.status_code, answer.json()) == (200, {"stored": 1, "repeated": 0, "unreadable": 1})
    await Tracker(database).pull()
    (event,) = (await tenant.get("/events"))["data"]
    assert event["type"] == "ignored"
    assert event["reason"].startswith("not readable")


async def test_compressed_reports(tenant: Tenant) -> None:
    hook = await hook_of(tenant, "postmark")
    body = json.dumps({"RecordType": "Open", "MessageID": "1"}).encode()

    async def answer(content: bytes, encoding: str) -> int:
        return (await hook.post(HookRequest(headers={"content-encoding": encoding}, body=content))).status_code

    halves = gzip.compress(body[:10]) + gzip.compress(body[10:])
    assert [await answer(each, "gzip") for each in (gzip.compress(body), halves)] == [200, 200]
    assert await answer(gzip.compress(body), "X-GZIP") == 200
    assert await answer(body, "") == 200
    assert await hook.total() == 1
    assert await answer(gzip.compress(b" " * (5 << 20)), "gzip") == 200
    assert await answer(gzip.compress(b" " * (5 << 20) + b" "), "gzip") == 413
    assert await answer(gzip.compress(b"\0" * (200 << 20)), "gzip") == 413
    for content, encoding in (
        (body, "gzip"),
        (gzip.compress(body)[:-9], "gzip"),
        (gzip.compress(body), "br"),
        (gzip.compress(gzip.compress(body)), "gzip, gzip"),
        (gzip.compress(body), "deflate"),
        (gzip.compress(b"") * 250_000, "gzip"),
    ):
        assert await answer(content, encoding) == 415
    assert await hook.total() == 2


async def test_bodies_to_five_mebibytes(tenant: Tenant) -> None:
    hook = await hook_of(tenant, "postmark")
    for size, expected in ((5 << 20, 200), ((5 << 20) + 1, 413)):
        assert (await hook.post(HookRequest(headers={}, body=b" " * size))).status_code == expected


async def test_amazons_certificate_is_fetched_once_it_has_proved_something(tenant: Tenant, amazon: Amazon) -> None:
    hook, now = await hook_of(tenant, "ses"), time.time()
    amazon.is_away = True
    answer = await hook.post(requests.sns("{}", now))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "20")
    amazon.is_away = False
    forged = requests.sns("{}", now)
    forged = HookRequest(headers=forged.headers, body=forged.body.replace(b'"Message": "{}"', b'"Message": "[]"'))
    assert (await hook.post(forged)).status_code == 401
    for sent in (now, now - 3600):
        assert (await hook.post(requests.sns("{}", sent, MessageId=f"m{sent}"))).status_code == 200
    assert amazon.asked == [requests.CERTIFICATE_URL] * 3
    assert await hook.total() == 2


async def test_nothing_is_fetched_for_a_topic_that_is_not_ours(tenant: Tenant, amazon: Amazon) -> None:
    hook, now = await hook_of(tenant, "ses"), time.time()
    foreign = "arn:aws:sns:eu-west-1:999999999999:theirs"
    for kind in ("Notification", "SubscriptionConfirmation"):
        assert (await hook.post(requests.sns("{}", now, kind=kind, TopicArn=foreign))).status_code == 401
    for url in ("https://evil.example.net/SimpleNotificationService-1.pem", "http://127.0.0.1/x.pem"):
        assert (await hook.post(requests.sns("{}", now, SigningCertURL=url))).status_code == 401
    assert amazon.asked == []


async def test_subscriptions_of_our_topics_are_confirmed(tenant: Tenant, amazon: Amazon) -> None:
    hook, now = await hook_of(tenant, "ses"), time.time()
    kind = "SubscriptionConfirmation"
    assert (await hook.post(requests.sns("You have chosen", now, kind=kind))).status_code == 200
    await wait_until(lambda: requests.SUBSCRIBE_URL in amazon.asked)
    elsewhere = requests.sns("x", now, kind=kind, MessageId="m2", SubscribeURL="https://evil.example.net/")
    assert (await hook.post(elsewhere)).status_code == 200
    assert set(amazon.asked) == {requests.CERTIFICATE_URL, requests.SUBSCRIBE_URL}
    assert {event["type"] for event in (await tenant.get("/events"))["data"]} == {"ignored"}


async def test_a_pressed_button_is_answered_and_a_click_of_its_message(tenant: Tenant, database: Database) -> None:
    hook = await hook_of(tenant, "telegram")
    contact = await tenant.contact(telegramChatId="42")
    message = await tenant.send(contact, channel="TELEGRAM", subject=None)
    async with database.write() as connection:
        attempt = {"message_id": ids.parse(Kind.MESSAGE, message["id"]), "token": 0, "run": 1, "provider_id": "42:5"}
        await connection.execute(insert(attempts).values(**attempt, started_at=1, ended_at=2, outcome="accepted"))
    press = {"id": "q1", "data": "yes", "message": {"message_id": 5, "chat": {"id": 42}}}
    answer = await hook.post(requests.telegram({"update_id": 1, "callback_query": press}))
    assert answer.json() == {
        "stored": 1,
        "repeated": 0,
        "unreadable": 0,
        "method": "answerCallbackQuery",
        "callback_query_id": "q1",
    }
    await Tracker(database).pull()
    assert (await tenant.get(f"/messages/{message['id']}"))["status"] == "CLICKED"


async def test_a_chat_that_blocks_the_bot_is_suppressed_until_it_lets_it_in_again(tenant: Tenant) -> None:
    hook = await hook_of(tenant, "telegram")
    contact = await tenant.contact(telegramChatId="42")
    body = {"contactId": contact, "channel": "TELEGRAM", "body": "x"}

    async def becomes(update_id: int, status: str, chat: int = 42) -> None:
        member = {"chat": {"id": chat}, "date": int(time.time()), "new_chat_member": {"status": status}}
        answer = await hook.post(requests.telegram({"update_id": update_id, "my_chat_member": member}))
        assert answer.status_code == 200

    await becomes(1, "kicked")
    assert (await tenant.post("/messages", body, 422))["failureReason"] == "suppressed"
    (entry,) = (await tenant.get("/suppressions"))["data"]
    assert (entry["channel"], entry["kind"], entry["reason"], entry["address"]) == ("TELEGRAM", "dead", "blocked", "42")
    await becomes(2, "member", chat=43)
    await tenant.post("/messages", body, 422)
    await becomes(3, "member")
    await tenant.post("/messages", body, 200)
    await becomes(1, "kicked")  # a repetition of what was long overtaken
    await tenant.post("/messages", body, 200)


async def test_bounces_that_pass_suppress_nobody(tenant: Tenant, database: Database) -> None:
    hook = await hook_of(tenant, "sparkpost")
    contact = await tenant.contact()
    for bounce_class, status in (("22", 200), ("51", 200), ("10", 422)):
        message = await tenant.send(contact)
        event = {"type": "bounce", "bounce_class": bounce_class, "event_id": bounce_class}
        named = event | {"rcpt_meta": {"wireroom": f"{message['id']}-1"}}
        assert (await hook.post(requests.plain([{"msys": {"message_event": named}}]))).status_code == 200
        await Tracker(database).pull()
        read = await tenant.get(f"/messages/{message['id']}")
        assert (read["status"], read["bounceType"]) == ("BOUNCED", "hard" if status == 422 else "soft")
        await tenant.post("/messages", {"contactId": contact, "channel": "EMAIL", "body": "x"}, status)


async def test_mandrill_looks_before_it_posts_and_signs_the_address_with_its_credentials(tenant: Tenant) -> None:
    hook = await hook_of(tenant, "mandrill", basicAuth="ann:secret")
    authorization = "Basic " + base64.b64encode(b"ann:secret").decode()
    looks = [await tenant.root.head(hook.path, headers={"authorization": each}) for each in (authorization, "")]
    assert [(answer.status_code, answer.content) for answer in looks] == [(200, b""), (401, b"")]
    assert (await tenant.root.head("/hooks/mandrill/x")).status_code == 404
    there = await tenant.root.get(hook.path, headers={"authorization": authorization})
    assert there.json() == {"provider": "mandrill"}
    url = str(hook.made["url"])
    for known in (url, url.replace("://", "://ann:secret@")):
        assert (await hook.post(requests.mandrill([], url=known), authorization=authorization)).status_code == 200
    assert (await hook.post(requests.mandrill([], url=url))).status_code == 401


async def test_sparkposts_ping(tenant: Tenant) -> None:
    answer = await (await hook_of(tenant, "sparkpost")).post(requests.plain([{"msys": {}}]))
    assert (answer.status_code, answer.json()["stored"]) == (200, 0)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"provider": "mailgun"}, "#/signingKey"),
        ({"provider": "mailgun", "signingKey": "short"}, "#/signingKey"),
        ({"provider": "sendgrid", "signingKey": WHSEC}, "#/signingKey"),
        ({"provider": "resend", "signingKey": SECRET}, "#/signingKey"),
        ({"provider": "mandrill", "signingKey": "a key"}, "#/signingKey"),
        ({"provider": "telegram", "signingKey": "a key!"}, "#/signingKey"),
        *(({"provider": each, "signingKey": SECRET}, "#/signingKey") for each in ("postmark", "brevo", "mailjet")),
        ({"provider": "sparkpost", "signingKey": SECRET}, "#/signingKey"),
        ({"provider": "ses", "signingKey": SECRET, "topicArns": [TOPIC]}, "#/signingKey"),
        ({"provider": "ses"}, "#/topicArns"),
        ({"provider": "ses", "topicArns": [TOPIC, "mail-events"]}, "#/topicArns/1"),
        ({"provider": "generic", "topicArns": [TOPIC]}, "#/topicArns"),
        ({"provider": "brevo", "basicAuth": "nobody"}, "#/basicAuth"),
    ],
)
async def test_what_a_hook_cannot_be_made_of(tenant: Tenant, fields: dict[str, Any], pointer: str) -> None:
    problem = await tenant.post("/hooks", fields, 400)
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert not any(str(value) in json.dumps(problem) for value in (SECRET, WHSEC))


async def test_keys_that_come_later_and_change(tenant: Tenant) -> None:
    made = await tenant.post("/hooks", {"provider": "resend"})
    assert "signingKey" not in made
    hook = Hook(tenant, made)
    request = requests.resend(b'{"type":"email.sent"}', time.time())
    assert (await hook.post(request)).status_code == 401
    path = f"/hooks/{made['id']}"
    assert (await tenant.call("PATCH", path, json={"signingKey": WHSEC})).json()["signingKey"] == WHSEC
    assert (await hook.post(request)).status_code == 200
    assert (await tenant.call("PATCH", path, json={"signingKey": None})).status_code == 400
    made_up = (await tenant.post("/hooks", {"provider": "telegram"}))["signingKey"]
    assert len(made_up) == 43
    topics = await hook_of(tenant, "ses")
    for arns, status in (([TOPIC, f"{TOPIC}-2"], 200), ([], 400), (["x"], 400)):
        answer = await tenant.call("PATCH", f"/hooks/{topics.made['id']}", json={"topicArns": arns})
        assert answer.status_code == status
