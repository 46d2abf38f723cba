"""Mails whose links lead through us, sent to a server and followed by their reader."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import delete

from models import ids
from models.ids import Kind
from models.secrets import Keyring
from models.session import Database
from models.tables import message_details, messages
from models.tokens import Links, Purpose, Ref
from tests.support.api import Api, Tenant
from tests.support.mailing import mailing
from tests.support.no_tls import NO_TLS
from tests.support.smtp_sink import SmtpSink

SHOP = "https://shop.example.org"
HREF = re.compile(r'href="([^"]*)"')
PIXEL = re.compile(r'<img src="([^"]*/t/o/[^"]*)"')
BODY = (
    '<html><body><a href="{{attributes.page}}">Yours</a><a href="https://shop.example.org/?a=1&amp;b={{firstName}}">Shop</a>'
    '<a href="mailto:help@example.org">Write</a><a href="{{unsubscribeUrl}}">Stop</a>'
    '<a href="https://{{attributes.host}}/x">Elsewhere</a></body></html>'
)
LIQUID = (
    '<body>{% for each in attributes.items %}<a href="https://shop.example.org/{{ each }}">{{ each }}</a>{% endfor %}'
    '{% if unsubscribeUrl != "" %}<a href="{{ unsubscribeUrl }}">Stop</a>{% endif %}<a href="https://shop.example.org/end">'
)
Send = Callable[[], Awaitable[None]]


@pytest.fixture
async def send(
    api: Api, database: Database, keyring: Keyring, redis_url: str, mail_sink: SmtpSink
) -> AsyncIterator[Send]:
    async with mailing(database, keyring, redis_url, mail_sink.port, api.url) as sender:
        yield sender


@pytest.fixture
async def reader() -> AsyncIterator[httpx.AsyncClient]:
    """Anybody: no key, no cookie, and led nowhere without being told."""
    async with httpx.AsyncClient(trust_env=False, verify=NO_TLS, timeout=20) as anybody:
        yield anybody


@pytest.fixture
def mailed(tenant: Tenant, send: Send, mail_sink: SmtpSink) -> Callable[..., Awaitable[dict[str, str]]]:
    """What arrives of a mail with such a body: its texts by their type."""

    async def arrive(body: str, contact: dict[str, Any] | None = None, **fields: Any) -> dict[str, str]:
        contact_id = await tenant.contact(**(contact or {}))
        await tenant.send(contact_id, body=body, **fields)
        before = len(mail_sink.mails)
        await send()
        (mail,) = mail_sink.mails[before:]
        parts = mail.parsed().walk()
        return {part.get_content_type(): part.get_content() for part in parts if not part.is_multipart()}

    return arrive


async def places(reader: httpx.AsyncClient, links: list[str]) -> list[str]:
    """Where they lead to, one after the other."""
    answers = [await reader.get(link) for link in links]
    assert [answer.status_code for answer in answers] == [302] * len(links)
    return [answer.headers["Location"] for answer in answers]


async def test_links_of_a_mail_lead_to_where_the_mail_said(
    tenant: Tenant, mailed: Any, api: Api, reader: httpx.AsyncClient
) -> None:
    attributes = {"page": f"{SHOP}/yours?x='1'&y=2", "host": "partner.example.net"}
    read = await mailed(BODY, {"firstName": "Zoë & Co", "attributes": attributes})
    found = HREF.findall(read["text/html"])
    assert found[2] == "mailto:help@example.org"
    assert found[3].startswith(f"{api.url}/u/")
    tracked = [found[0], found[1], found[4]]
    assert all(link.startswith(f"{api.url}/t/c/") for link in tracked)
    wanted = [attributes["page"], f"{SHOP}/?a=1&b=Zo%C3%AB%20&%20Co", "https://partner.example.net/x"]
    assert await places(reader, tracked) == wanted
    # What the contact is called today changes nothing of what was said.
    (contact,) = (await tenant.get("/contacts"))["data"]
    changed = {"attributes": {"page": "https://evil.example", "host": "evil.example"}}
    assert (await tenant.call("PATCH", f"/contacts/{contact['id']}", json=changed)).status_code == 200
    assert await places(reader, tracked) == wanted
    assert f"({SHOP}/?a=1&b=Zoë & Co)" in read["text/plain"]


async def test_links_of_a_liquid_mail_are_found_again(mailed: Any, api: Api, reader: httpx.AsyncClient) -> None:
    read = await mailed(LIQUID, {"attributes": {"items": ["a", "b"]}})
    first, second, way_out, last = HREF.findall(read["text/html"])
    assert way_out.startswith(f"{api.url}/u/")
    assert await places(reader, [first, second, last]) == [f"{SHOP}/a", f"{SHOP}/b", f"{SHOP}/end"]


async def test_the_picture_is_a_picture(mailed: Any, reader: httpx.AsyncClient) -> None:
    (url,) = PIXEL.findall((await mailed("<p>Hi</p>"))["text/html"])
    for method in ("GET", "HEAD"):
        answer = await reader.request(method, url)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/gif")
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Length"] == "42"
    assert (await reader.get(url)).content.startswith(b"GIF89a\1\0\1\0")


@pytest.mark.parametrize(
    ("fields", "pictures", "links"),
    [
        ({"essential": True}, 0, 0),
        ({"tracking": {"opens": False, "clicks": False}}, 0, 0),
        ({"tracking": {"opens": False}}, 0, 1),
        ({"tracking": {"clicks": False}}, 1, 0),
        ({}, 1, 1),
    ],
    ids=["essential", "neither", "clicks", "opens", "both"],
)
async def test_only_what_is_to_be_tracked_is(
    mailed: Any, api: Api, fields: dict[str, Any], pictures: int, links: int
) -> None:
    body = f'<body><a href="{SHOP}">x</a></body>'
    html = (await mailed(body, **fields))["text/html"]
    assert (len(PIXEL.findall(html)), html.count(f"{api.url}/t/c/")) == (pictures, links)
    if not pictures and not links:
        assert html.strip() == body


@pytest.mark.parametrize("page", ["javascript:alert(1)", "data:text/html,<script>alert(1)</script>", "//evil.example"])
async def test_nobody_is_ever_led_to_what_is_no_web_page(
    mailed: Any, tenant: Tenant, api: Api, keyring: Keyring, reader: httpx.AsyncClient, page: str
) -> None:
    html = (await mailed('<a href="{{attributes.page}}">x</a>', {"attributes": {"page": page}}))["text/html"]
    assert f"{api.url}/t/c/" not in html
    (message,) = (await tenant.get("/messages"))["data"]
    # Not even with a token that only we could make.
    answer = await reader.get(links_of(message, keyring, api).click(0))
    assert (answer.status_code, answer.headers.get("Location")) == (404, None)


def links_of(message: dict[str, Any], keyring: Keyring, api: Api) -> Links:
    return Links(keyring.tokens, api.url, uuid_of(message), 1)


def uuid_of(message: dict[str, Any]) -> UUID:
    found = ids.parse(Kind.MESSAGE, message["id"])
    assert found is not None
    return found


async def test_what_is_wrong_says_no_more_than_that(
    mailed: Any, api: Api, keyring: Keyring, tenant: Tenant, reader: httpx.AsyncClient
) -> None:
    (url,) = PIXEL.findall((await mailed("<p>Hi</p>"))["text/html"])
    (message,) = (await tenant.get("/messages"))["data"]
    other_purpose = keyring.tokens.make(Purpose.OPT_OUT, Ref(ids.new_id(), 1))
    forged = url[:-1] + ("A" if url[-1] != "A" else "Q")
    no_link = links_of(message, keyring, api).click(7)
    wrong = (f"{api.url}/t/o/{other_purpose}", f"{api.url}/t/o/x", forged, no_link)
    answers = [await reader.get(each) for each in wrong]
    assert {answer.status_code for answer in answers} == {404}
    assert len({(answer.content, answer.headers["Content-Type"]) for answer in answers}) == 1


async def test_a_link_of_a_message_that_is_gone_has_ended(
    mailed: Any, database: Database, reader: httpx.AsyncClient, tenant: Tenant
) -> None:
    (link,) = HREF.findall((await mailed(f'<a href="{SHOP}">x</a>'))["text/html"])
    assert await places(reader, [link]) == [SHOP]
    async with database.write() as connection:
        await connection.execute(delete(message_details))
        await connection.execute(delete(messages))
    for method in ("GET", "HEAD"):
        answer = await reader.request(method, link)
        assert (answer.status_code, answer.headers.get("Location")) == (410, None)
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "evil" not in (await reader.get(f"{link}?url=https://evil.example")).text


async def test_a_link_says_nothing_of_where_it_was_followed(mailed: Any, reader: httpx.AsyncClient) -> None:
    (link,) = HREF.findall((await mailed(f'<a href="{SHOP}">x</a>'))["text/html"])
    for method in ("GET", "HEAD"):
        answer = await reader.request(
            method, f"{link}?url=https://evil.example", headers={"Referer": "https://a.example"}
        )
        assert answer.headers["Location"] == SHOP
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "noindex" in answer.headers["X-Robots-Tag"]
        assert "Set-Cookie" not in answer.headers


async def test_the_links_of_one_who_was_erased_have_ended(
    mailed: Any, database: Database, reader: httpx.AsyncClient, tenant: Tenant
) -> None:
    html = (await mailed(LIQUID, {"attributes": {"items": ["a"]}}))["text/html"]
    links = [link for link in HREF.findall(html) if "/t/c/" in link]
    (contact,) = (await tenant.get("/contacts"))["data"]
    assert (await tenant.call("DELETE", f"/contacts/{contact['id']}")).status_code in (200, 204)
    assert [(await reader.get(link)).status_code for link in links] == [410, 410]
