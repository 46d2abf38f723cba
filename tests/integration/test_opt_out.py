"""The reader's way out: a page that changes nothing, one click that counts at once, and what a mail says of both."""

import asyncio
import re
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, update

from models import ids
from models.secrets import Keyring
from models.session import Database
from models.tables import events, suppressions
from models.tokens import Purpose, Ref
from models.vocabulary import SuppressionKind
from tests.support import scene as scenes
from tests.support.api import Tenant
from tests.support.house import House
from tests.support.reader_links import refused, token_of, uuid_of
from tests.support.smtp_sink import SmtpSink
from tests.support.waiting import wait_until
from worker.tracker import Tracker

ONE_CLICK = "List-Unsubscribe=One-Click"
URLENCODED = {"Content-Type": "application/x-www-form-urlencoded"}


async def count(database: Database, table: Any) -> int:
    async with database.read() as connection:
        return int(await connection.scalar(select(func.count()).select_from(table)) or 0)


async def test_looking_at_the_page_changes_nothing(
    tenant: Tenant, reader: httpx.AsyncClient, database: Database, keyring: Keyring
) -> None:
    contact = await tenant.contact(email="annette@example.org")
    path = f"/u/{token_of(await tenant.send(contact, topic='news <b>'), keyring)}"
    shown = await reader.get(path)
    assert shown.status_code == 200
    assert shown.headers["content-type"] == "text/html; charset=utf-8"
    assert "a•••@example.org" in shown.text
    assert "annette" not in shown.text
    assert "news &lt;b&gt;" in shown.text
    assert shown.text.count("<button") == 1
    assert re.search(r'<form method="post">(?!.*<form)', shown.text)
    assert "<script" not in shown.text
    assert "http" not in shown.text  # nothing comes from elsewhere
    policy = shown.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert shown.headers["x-robots-tag"].startswith("noindex")
    assert shown.headers["referrer-policy"] == "no-referrer"
    assert shown.headers["cache-control"] == "no-store"
    head = await reader.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == shown.headers["content-length"]
    assert (await count(database, events), await count(database, suppressions)) == (0, 0)
    assert await refused(tenant, contact, topic="news <b>") is None


@pytest.mark.parametrize(
    ("request_", "is_button"),
    [
        ({"content": ONE_CLICK, "headers": URLENCODED}, False),
        ({"files": {"List-Unsubscribe": (None, "One-Click")}}, False),
        ({"data": {"unsubscribe": "yes"}, "headers": {"Origin": "null", "Cookie": "a=b"}}, True),
        ({}, True),
    ],
    ids=["urlencoded", "multipart", "button", "nothing"],
)
async def test_a_post_counts_at_once_although_the_tracker_sleeps(
    tenant: Tenant,
    reader: httpx.AsyncClient,
    database: Database,
    keyring: Keyring,
    request_: dict[str, Any],
    is_button: bool,
) -> None:
    contact = await tenant.contact()
    message = await tenant.send(contact, topic="news")
    token = token_of(message, keyring)
    for _ in range(2):
        answer = await reader.post(f"/u/{token}", **request_)
        assert answer.status_code == 200
        assert ("You are unsubscribed" in answer.text) is is_button
        assert is_button or answer.content == b""
        assert "set-cookie" not in answer.headers
    assert await refused(tenant, contact, topic="news") == "opted_out"
    assert await refused(tenant, contact, topic="invoices") is None
    assert await refused(tenant, contact, topic="news", essential=True) is None
    assert (await count(database, events), await count(database, suppressions)) == (1, 1)

    await Tracker(database).pull()
    assert (await tenant.get(f"/messages/{message['id']}"))["status"] == "UNSUBSCRIBED"
    assert await count(database, suppressions) == 1
    (suppression,) = (await tenant.get("/suppressions"))["data"]
    assert (suppression["kind"], suppression["topic"], suppression["reason"]) == ("opt_out", "news", "unsubscribed")
    (event,) = (await tenant.get("/events"))["data"]
    assert (event["provider"], event["type"], event["messageId"]) == ("wireroom", "unsubscribed", message["id"])


async def test_without_a_topic_the_whole_channel_is_meant(
    tenant: Tenant, reader: httpx.AsyncClient, keyring: Keyring
) -> None:
    contact = await tenant.contact()
    token = token_of(await tenant.send(contact), keyring)
    assert "from this sender" in (await reader.get(f"/u/{token}")).text
    await reader.post(f"/u/{token}", content=ONE_CLICK, headers=URLENCODED)
    assert await refused(tenant, contact) == "opted_out"
    assert await refused(tenant, contact, topic="news") == "opted_out"


async def test_an_opt_out_that_would_end_becomes_one_that_does_not(
    tenant: Tenant, reader: httpx.AsyncClient, database: Database, keyring: Keyring
) -> None:
    contact = await tenant.contact()
    token = token_of(await tenant.send(contact), keyring)
    for expires_at in (1, 4_000_000_000_000):
        await reader.post(f"/u/{token}", content=ONE_CLICK)
        async with database.write() as connection:
            await connection.execute(update(suppressions).values(expires_at=expires_at))
        await reader.post(f"/u/{token}", content=ONE_CLICK)
        async with database.read() as connection:
            (row,) = (await connection.execute(select(suppressions))).all()
        assert (row.expires_at, row.kind) == (None, SuppressionKind.OPT_OUT.value)
        assert await refused(tenant, contact) == "opted_out"


async def test_a_link_of_nothing_opens_nothing(
    tenant: Tenant, reader: httpx.AsyncClient, database: Database, keyring: Keyring
) -> None:
    message = await tenant.send(await tenant.contact())
    good = token_of(message, keyring)
    other_purpose = keyring.tokens.make(Purpose.CLICK, Ref(uuid_of(message), 1))
    nobodys = keyring.tokens.make(Purpose.OPT_OUT, Ref(ids.new_id(), 1))
    for token in (good[:-2] + ("AA" if good[-2:] != "AA" else "BB"), other_purpose, nobodys, "x", "x" * 500, "ü"):
        shown = await reader.get(f"/u/{token}")
        posted = await reader.post(f"/u/{token}", content=ONE_CLICK, headers=URLENCODED)
        assert (shown.status_code, posted.status_code) == (404, 404)
        assert shown.text == posted.text
        assert "This link does not work" in shown.text
        assert token not in shown.text or token == "x"
    assert (await count(database, events), await count(database, suppressions)) == (0, 0)


async def test_other_methods_and_long_bodies_are_refused(
    tenant: Tenant, reader: httpx.AsyncClient, database: Database, keyring: Keyring
) -> None:
    token = token_of(await tenant.send(await tenant.contact()), keyring)
    assert (await reader.put(f"/u/{token}")).status_code == 405
    assert (await reader.post(f"/u/{token}", content=b"x" * 5000)).status_code == 413
    assert await count(database, suppressions) == 0


async def test_who_was_erased_can_still_opt_out_and_is_not_named(
    tenant: Tenant, reader: httpx.AsyncClient, keyring: Keyring
) -> None:
    contact = await tenant.contact()
    token = token_of(await tenant.send(contact), keyring)
    assert "•••" in (await reader.get(f"/u/{token}")).text
    assert (await tenant.call("DELETE", f"/contacts/{contact}")).status_code == 204
    assert "•••" not in (await reader.get(f"/u/{token}")).text
    assert (await reader.post(f"/u/{token}")).status_code == 200
    assert await refused(tenant, await tenant.contact()) == "opted_out"


async def test_a_text_may_ask_for_the_link(tenant: Tenant) -> None:
    elsewhere = "https://elsewhere.example"
    contact = await tenant.contact(attributes={"unsubscribeUrl": elsewhere, "preferencesUrl": elsewhere})
    body = "Go: {{unsubscribeUrl}} {{preferencesUrl}}"
    assert (await tenant.send(contact, body=body)).get("warnings", []) == []
    template = await tenant.post("/templates", {"name": "t", "subject": "S", "body": body})
    preview = await tenant.post(f"/templates/{template['id']}/preview", {}, 200)
    assert re.fullmatch(r"Go: (http://127\.0\.0\.1:\d+/u/preview) \1/preferences", preview["body"])
    assert preview["warnings"] == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_what_is_sent_leads_to_the_page_unless_it_is_essential(
    tmp_path: Path, database: Database, redis_url: str, mail_sink: SmtpSink
) -> None:
    house = House(tmp_path, database_url=str(database.engine.url), redis_url=redis_url, smtp_port=mail_sink.port)
    async with scenes.opened(tmp_path, database, redis_url, scenes.channel_settings(mail_sink.port)) as scene:
        contact = await scene.contact()
        body = "<p>Hi <a href='{{unsubscribeUrl}}'>leave</a> <a href='{{preferencesUrl}}'>choose</a></p>"
        usual = await scene.send(contact, subject="usual", body=body)
        liquid = await scene.send(contact, subject="liquid", body=f"{{% if true %}}{body}{{% endif %}}")
        essential = await scene.send(contact, subject="essential", body=body, essential=True)
        house.start_worker(
            WIREROOM_PUBLIC_URL="https://wireroom.example.org", WIREROOM_BOUNCE_DOMAIN="bounces.example.org"
        )
        house.start_keeper()
        try:
            await wait_until(lambda: len(mail_sink.mails) == 3, timeout=30)
        finally:
            await asyncio.to_thread(house.close)  # the mail server, on this loop, must answer to the last
    mails = {mail.parsed()["Subject"]: mail for mail in mail_sink.mails}
    tokens = scene.keyring.tokens
    for name, row in (("usual", usual), ("liquid", liquid)):
        parsed = mails[name].parsed()
        url = parsed["List-Unsubscribe"].strip("<>")
        assert tokens.read(Purpose.OPT_OUT, url.rpartition("/")[2]) == Ref(row.id, 1)
        assert url.startswith("https://wireroom.example.org/u/")
        assert parsed["List-Unsubscribe-Post"] == ONE_CLICK
        assert f"'{url}'" in content(parsed)
        (chosen,) = re.findall(r"'https://wireroom\.example\.org/u/([^/']+)/preferences'", content(parsed))
        assert tokens.read(Purpose.PREFERENCES, chosen) == Ref(row.id, 1)
    parsed = mails["essential"].parsed()
    assert (parsed["List-Unsubscribe"], parsed["List-Unsubscribe-Post"]) == (None, None)
    assert "https://" not in content(parsed)
    for name, row in (("usual", usual), ("essential", essential)):
        local, _, domain = mails[name].sender.partition("@")
        assert domain == "bounces.example.org"
        assert tokens.read_return_path(local) == Ref(row.id, 1)


def content(mail: EmailMessage) -> str:
    part = mail.get_body(("html", "plain"))
    assert isinstance(part, EmailMessage)
    return str(part.get_content())
