"""The inbox API: a page of the workspace's site reads its visitor's inbox, and nobody else does."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from models import ids, timestamps
from models.ids import Kind
from models.inbox_tokens import Grant
from models.secrets import load_keyring
from models.session import Database
from models.store import applying, events
from tests.support.api import Api, Tenant, serving
from tests.support.house import House
from tests.support.inboxes import deliver
from tests.support.no_tls import NO_TLS
from tests.support.scene import storage_settings
from tests.support.waiting import wait_until

SITE = "https://www.example.org"


class Page:
    """A page that shows the inbox of one contact."""

    def __init__(self, url: str, token: str, **headers: str) -> None:
        self.client = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"} | headers,
            timeout=20,
            trust_env=False,
            verify=NO_TLS,
        )

    async def get(self, status: int = 200, **query: Any) -> Any:
        answer = await self.client.get("/inbox", params=query)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def post(self, message: str, act: str, status: int = 200) -> Any:
        answer = await self.client.post(f"/inbox/{message}/{act}")
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture
async def api(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Api]:
    async with serving(tmp_path, database_url, redis_url) as running:
        yield running


async def token_of(tenant: Tenant, contact: str, **body: Any) -> str:
    return str((await tenant.post(f"/contacts/{contact}/inbox-token", body))["token"])


async def page_of(tenant: Tenant, contact: str, **headers: str) -> Page:
    return Page(str(tenant.root.base_url), await token_of(tenant, contact), **headers)


async def send(tenant: Tenant, contact: str, **fields: Any) -> str:
    return str((await tenant.send(contact, channel="ONSITE", **fields))["id"])


async def track(database: Database) -> None:
    async with database.write() as connection:
        raw = await events.take(connection, 500)
        await applying.apply(connection, raw, await events.match(connection, raw))


async def test_a_message_is_shown_read_followed_and_put_away(api: Api, database: Database) -> None:
    tenant = await api.tenant()
    contact = await tenant.contact()
    page = await page_of(tenant, contact)
    empty: dict[str, Any] = {"items": [], "next": None, "unread": 0, "cursor": "0"}
    assert await page.get() == empty
    message = await send(tenant, contact, body="<p>Hi {{firstName}}<script>x</script></p>", metadata={"a": 1})
    await deliver(database)
    shown = await page.get()
    (item,) = shown["items"]
    assert (shown["unread"], shown["cursor"], shown["next"]) == (1, "1", None)
    assert (item["id"], item["subject"], item["body"], item["format"]) == (message, "Hello", "<p>Hi Ann</p>", "html")
    assert (item["metadata"], item["readAt"], item["expiresAt"]) == ({"a": 1}, None, None)
    assert item["unsubscribeUrl"].startswith(f"{api.url}/u/")

    for act, status, names in (
        ("read", "OPENED", ["readAt"]),
        ("click", "CLICKED", ["readAt", "clickedAt"]),
        ("archive", "CLICKED", ["readAt", "clickedAt", "archivedAt"]),
    ):
        first, again = await page.post(message, act), await page.post(message, act)
        assert first == again
        assert [name for name in ("readAt", "clickedAt", "archivedAt") if first["item"][name]] == names
        assert first["unread"] == 0
        await track(database)
        assert (await tenant.get(f"/messages/{message}"))["status"] == status
    assert await page.get() == empty | {"cursor": "4"}
    assert [item["id"] for item in (await page.get(archived=True))["items"]] == [message]
    found = (await tenant.get("/events", messageId=message))["data"]
    assert sorted((each["provider"], each["type"]) for each in found) == [
        ("wireroom", "clicked"),
        ("wireroom", "opened"),
    ]
    await page.client.aclose()


async def test_a_thousand_items_page_by_page(api: Api, database: Database) -> None:
    tenant = await api.tenant()
    contact = await tenant.contact()
    body = [{"contactId": contact, "channel": "ONSITE", "subject": f"{n}", "body": "B"} for n in range(1000)]
    sent = (await tenant.post("/messages/batch", body, 200))["data"]
    await deliver(database)
    page = await page_of(tenant, contact)
    found: list[str] = []
    before: dict[str, Any] = {}
    while True:
        shown = await page.get(limit=200, **before)
        assert shown["unread"] == 1000
        found += [item["id"] for item in shown["items"]]
        if shown["next"] is None:
            break
        before = {"before": shown["next"]}
    assert len(found) == 1000
    assert set(found) == {each["message"]["id"] for each in sent}
    assert (await page.get(limit=1))["cursor"] == "1000"
    await page.client.aclose()


async def test_parameters_are_checked(api: Api) -> None:
    tenant = await api.tenant()
    page = await page_of(tenant, await tenant.contact())
    for query in ({"limit": 0}, {"limit": 201}, {"archived": "maybe"}, {"page": 1}):
        assert (await page.get(400, **query))["type"] == "/problems/invalid-parameter"
    assert (await page.get(before="no id"))["items"] == []
    await page.client.aclose()


async def test_others_inboxes_are_closed(api: Api, database: Database) -> None:
    tenant, other = await api.tenant(), await api.tenant()
    ann, bob = await tenant.contact(), await tenant.contact()
    eve = await other.contact()
    hers = await send(tenant, ann)
    await deliver(database)
    for page in (await page_of(tenant, bob), await page_of(other, eve)):
        assert (await page.get())["items"] == []
        assert (await page.get(before=hers))["items"] == []
        for act in ("read", "click", "archive"):
            assert (await page.post(hers, act, 404))["type"] == "/problems/not-found"
            await page.post("msg_unknown", act, 404)
        await page.client.aclose()
    page = await page_of(tenant, ann)
    assert (await page.get())["unread"] == 1
    await page.client.aclose()
    answer = await other.call("POST", f"/contacts/{ann}/inbox-token", json={})
    assert answer.status_code == 404


async def test_a_token_is_made_for_a_time(api: Api) -> None:
    tenant = await api.tenant()
    contact = await tenant.contact()
    for body, seconds in (({}, 86_400), ({"ttl": 60}, 60), ({"ttl": 2_592_000}, 2_592_000)):
        before = int(time.time())
        made = await tenant.post(f"/contacts/{contact}/inbox-token", body)
        ends_at = timestamps.parse(made["expiresAt"]) / 1000
        assert before + seconds <= ends_at <= time.time() + seconds
    for ttl in (59, 2_592_001, "60", None, 1.5):
        await tenant.post(f"/contacts/{contact}/inbox-token", {"ttl": ttl}, 400)


async def test_bad_tokens_are_all_answered_alike(
    api: Api, tmp_path: Path, database: Database, database_url: str, redis_url: str
) -> None:
    tenant = await api.tenant()
    contact, erased = await tenant.contact(), await tenant.contact()
    keyring = await load_keyring(database, storage_settings(tmp_path, database_url, redis_url))
    contact_id = ids.parse(Kind.CONTACT, contact)
    assert contact_id is not None
    tokens = [
        keyring.inbox_tokens.make(Grant(contact_id, int(time.time()) - 1)),
        keyring.inbox_tokens.make(Grant(UUID(int=5), int(time.time()) + 99)),
        await token_of(tenant, erased),
        (await token_of(tenant, contact))[:-1],
        tenant.token,
        "x",
    ]
    assert (await tenant.call("DELETE", f"/contacts/{erased}")).status_code == 204
    answers = []
    async with httpx.AsyncClient(base_url=api.url, trust_env=False, verify=NO_TLS) as anybody:
        for token in tokens:
            headers = {"Authorization": f"Bearer {token}"}
            answers.append(await anybody.get("/inbox", headers=headers))
            answers.append(await anybody.post("/inbox/msg_x/read", headers=headers))
            answers.append(await anybody.get("/inbox/stream", params={"token": token}))
        answers += [await anybody.get("/inbox"), await anybody.get("/inbox/stream")]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert all(answer.headers["www-authenticate"] == "Bearer" for answer in answers)
    assert (await tenant.call("POST", f"/contacts/{erased}/inbox-token", json={})).status_code == 404


async def test_pages_of_allowed_sites_alone_read_it(api: Api) -> None:
    tenant, other = await api.tenant(), await api.tenant()
    for each, origin in ((tenant, SITE), (other, "https://other.example.org")):
        answer = await each.call("PATCH", "/settings", json={"allowedOrigins": [origin]})
        assert answer.status_code == 200
    contact = await tenant.contact()
    token = {"Authorization": f"Bearer {await token_of(tenant, contact)}"}
    async with httpx.AsyncClient(base_url=api.url, trust_env=False, verify=NO_TLS) as browser:
        for origin, status, may_see in (
            (SITE, 200, True),
            (api.url, 200, True),
            ("https://other.example.org", 403, True),  # it may know that it may not
            ("https://evil.example.org", 403, False),
            (SITE.replace("https", "http"), 403, False),
            ("null", 403, False),
        ):
            answer = await browser.get("/inbox", headers={"Origin": origin, **token})
            assert answer.status_code == status, origin
            assert answer.headers.get("access-control-allow-origin") == (origin if may_see else None)
            assert answer.headers["vary"] == "Origin"
            assert "access-control-allow-credentials" not in answer.headers
            assert answer.headers["cache-control"] == "no-store"
            asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            for path in ("/inbox", "/inbox/stream", "/inbox/msg_x/read", "/inbox/msg_x/click", "/inbox/msg_x/archive"):
                answer = await browser.options(path, headers=asked)
                assert answer.status_code == (204 if may_see else 403), origin
                assert answer.headers.get("access-control-allow-origin") == (origin if may_see else None)
                if may_see:
                    allowed = answer.headers["access-control-allow-headers"].lower().split(", ")
                    assert {"authorization", "last-event-id"} <= set(allowed)
                    assert answer.headers["access-control-allow-methods"] == "GET, POST"
        answer = await browser.get("/inbox", headers={"Origin": SITE})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (401, SITE)


async def test_the_export_of_a_person_shows_their_inbox(api: Api, database: Database) -> None:
    tenant = await api.tenant()
    contact = await tenant.contact()
    assert (await tenant.get(f"/contacts/{contact}/export"))["inbox"] == []
    sent = [await send(tenant, contact) for _ in range(60)]
    await deliver(database)
    exported = (await tenant.get(f"/contacts/{contact}/export"))["inbox"]
    assert sorted(item["id"] for item in exported) == sorted(sent)
    assert (await tenant.call("DELETE", f"/contacts/{contact}")).status_code == 204


async def test_a_worker_delivers_it_and_the_tracker_opens_it(
    api: Api, tmp_path: Path, database_url: str, redis_url: str
) -> None:
    house = House(tmp_path, database_url=database_url, redis_url=redis_url, smtp_port=25)
    try:
        house.start_worker()
        house.start_keeper()  # a wake-up may get lost; the keeper repeats it
        await wait_until(lambda: "worker.serves" in house.log("worker"))
        tenant = await api.tenant()
        contact = await tenant.contact()
        answer = await tenant.call(
            "POST",
            "/messages",
            json={"contactId": contact, "channel": "ONSITE", "subject": "S", "body": "B"},
            headers={"Prefer": "wait=20"},
        )
        sent = answer.json()
        assert (answer.status_code, sent["status"]) == (200, "DELIVERED")
        page = await page_of(tenant, contact)
        assert [item["id"] for item in (await page.get())["items"]] == [sent["id"]]
        await page.post(sent["id"], "read")

        async def opened() -> bool:
            return bool((await tenant.get(f"/messages/{sent['id']}"))["status"] == "OPENED")

        await wait_until(opened)
        await page.client.aclose()
    finally:
        house.close()
