"""Opens and clicks of a mail, asked for over HTTP by people and by programs: who moves its status and who does not."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import httpx
import pytest
from structlog.testing import capture_logs

from models import hits, ids
from models.events import ParsedEvent
from models.evidence import Provider
from models.hits import Seen
from models.ids import Kind, new_id
from models.secrets import load_keyring
from models.session import Database
from models.store import events
from models.tokens import Links
from models.vocabulary import EventType
from tests.support.api import Api, Tenant, serving
from tests.support.house import House
from tests.support.mailing import mailing
from tests.support.no_tls import NO_TLS
from tests.support.readers import (
    BROWSER,
    GOOGLES_PROXY,
    MAIL_PROGRAM,
    came_at_once,
    sent_ago,
    sent_at_that_moment,
    settle,
)
from tests.support.scene import storage_settings
from tests.support.smtp_sink import SmtpSink
from tests.support.waiting import wait_until

BODY = "<body>" + "".join(f'<a href="https://shop.example.org/{number}">x</a>' for number in range(4)) + "</body>"
SCANNER = {"User-Agent": "Mozilla/5.0 (compatible; proofpoint)"}
Ask = Callable[..., Awaitable[httpx.Response]]


class Arrived(NamedTuple):
    """A mail, its picture and its links."""

    id: str
    picture: str
    links: list[str]


@pytest.fixture
async def ask() -> AsyncIterator[Ask]:
    async with httpx.AsyncClient(trust_env=False, verify=NO_TLS, timeout=20) as client:

        async def send(url: str, headers: Mapping[str, str], method: str = "GET") -> httpx.Response:
            # Nothing of the client's own.
            request = httpx.Request(method, url, headers=headers)
            return await client.send(request)

        yield send


@pytest.fixture
async def arrived(
    tmp_path: Path, api: Api, tenant: Tenant, database: Database, redis_url: str, mail_sink: SmtpSink
) -> Arrived:
    """A mail that was sent an hour ago."""
    keyring = await load_keyring(database, storage_settings(tmp_path, str(database.engine.url), redis_url))
    message = await tenant.send(await tenant.contact(), body=BODY)
    async with mailing(database, keyring, redis_url, mail_sink.port, api.url) as send:
        await send()
    await sent_ago(database, 3_600)
    return arrived_as(message["id"], mail_sink)


def arrived_as(message_id: str, mail_sink: SmtpSink) -> Arrived:
    (mail,) = mail_sink.mails
    html = next(part.get_content() for part in mail.parsed().walk() if part.get_content_type() == "text/html")
    (picture,) = re.findall(r'src="([^"]*)"', html)
    return Arrived(message_id, picture, re.findall(r'href="([^"]*)"', html))


async def message(tenant: Tenant, arrived: Arrived) -> dict[str, Any]:
    found: dict[str, Any] = await tenant.get(f"/messages/{arrived.id}")
    return found


async def told(tenant: Tenant) -> list[tuple[str, bool, str | None]]:
    return sorted((each["type"], each["machine"], each["reason"]) for each in (await tenant.get("/events"))["data"])


async def test_a_person_opens_and_follows(tenant: Tenant, database: Database, arrived: Arrived, ask: Ask) -> None:
    await ask(arrived.picture, MAIL_PROGRAM)
    assert (await message(tenant, arrived))["status"] == "SENT"
    await settle(database)
    assert (await message(tenant, arrived))["status"] == "OPENED"
    await ask(arrived.links[1], BROWSER)
    assert (await message(tenant, arrived))["status"] == "OPENED"
    await settle(database)
    shown = await message(tenant, arrived)
    assert shown["status"] == "CLICKED"
    assert (shown["machineOpenedAt"], shown["machineClickedAt"]) == (None, None)
    assert [(each["type"], each["machine"]) for each in shown["events"] if each["provider"] == "wireroom"][-2:] == [
        ("opened", False),
        ("clicked", False),
    ]


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        (SCANNER, "scanner, no-page, no-language"),
        ({**BROWSER, "Sec-Purpose": "prefetch;prerender"}, "prefetch"),
        ({**BROWSER, "User-Agent": ""}, "no-agent"),
        ({"User-Agent": BROWSER["User-Agent"]}, "no-page, no-language"),
    ],
    ids=["scanner", "prefetch", "nobody", "no browser"],
)
async def test_a_program_follows_and_moves_nothing(
    tenant: Tenant, database: Database, arrived: Arrived, ask: Ask, headers: dict[str, str], reason: str
) -> None:
    answer = await ask(arrived.links[0], headers)
    assert (answer.status_code, answer.headers["Location"]) == (302, "https://shop.example.org/0")
    await settle(database)
    shown = await message(tenant, arrived)
    assert shown["status"] == "SENT"
    assert shown["clickedAt"] is None
    assert shown["machineClickedAt"] is not None
    assert await told(tenant) == [("clicked", True, reason)]


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [
        (GOOGLES_PROXY, "OPENED", "proxy"),
        ({"User-Agent": "YahooMailProxy; https://help.yahoo.com/"}, "OPENED", "proxy"),
        ({"User-Agent": "Mozilla/5.0"}, "SENT", "apple-prefetch"),
        (SCANNER, "SENT", "scanner"),
        ({**MAIL_PROGRAM, "Purpose": "prefetch"}, "SENT", "prefetch"),
    ],
    ids=["google", "yahoo", "apple", "scanner", "prefetch"],
)
async def test_who_fetches_the_picture(
    tenant: Tenant, database: Database, arrived: Arrived, ask: Ask, headers: dict[str, str], status: str, reason: str
) -> None:
    await ask(arrived.picture, headers)
    await settle(database)
    shown = await message(tenant, arrived)
    assert shown["status"] == status
    assert (shown["machineOpenedAt"] is None) == (status == "OPENED")
    assert await told(tenant) == [("opened", status != "OPENED", reason)]


async def test_who_follows_every_link_at_once_is_a_program(
    tenant: Tenant, database: Database, arrived: Arrived, ask: Ask
) -> None:
    for link in (*arrived.links, arrived.picture):
        await ask(link, BROWSER)
    await came_at_once(database)
    await settle(database)
    assert (await message(tenant, arrived))["status"] == "SENT"
    assert await told(tenant) == [*[("clicked", True, "burst")] * 4, ("opened", True, "burst")]


async def test_who_is_there_as_it_arrives_is_a_program(
    tenant: Tenant, database: Database, arrived: Arrived, ask: Ask
) -> None:
    await ask(arrived.links[0], BROWSER)
    await sent_at_that_moment(database)
    await settle(database)
    assert (await message(tenant, arrived))["status"] == "SENT"
    assert [machine for _, machine, _ in await told(tenant)] == [True]


async def test_a_probe_is_answered_and_leaves_nothing(
    tenant: Tenant, database: Database, arrived: Arrived, ask: Ask
) -> None:
    for url in (arrived.links[0], arrived.picture):
        got, probed = await ask(url, SCANNER), await ask(url, BROWSER, "HEAD")
        assert got.status_code == probed.status_code
        changing = {"date", "content-length"}
        assert {k: v for k, v in got.headers.items() if k not in changing} == {
            k: v for k, v in probed.headers.items() if k not in changing
        }
    await settle(database)
    assert [reason for _, _, reason in await told(tenant)] == ["scanner, no-page, no-language", "scanner"]


async def test_links_of_a_message_that_is_kept_no_longer_have_ended(
    tmp_path: Path, api: Api, tenant: Tenant, database: Database, redis_url: str, ask: Ask
) -> None:
    keyring = await load_keyring(database, storage_settings(tmp_path, str(database.engine.url), redis_url))
    links = Links(keyring.tokens, api.url, new_id(), 1)
    for url in (links.click(0), links.pixel()):
        answers = [await ask(url, BROWSER), await ask(url, BROWSER, "HEAD")]
        assert [each.status_code for each in answers] == [410, 410]
        assert answers[0].headers["content-type"] == "text/html; charset=utf-8"
        forged = url[:-3] + ("B" if url[-3] == "A" else "A") + url[-2:]
        assert (await ask(forged, BROWSER)).status_code == 404
    assert await told(tenant) == []


async def test_links_of_an_erased_person_have_ended_and_leave_nothing(
    tenant: Tenant, arrived: Arrived, ask: Ask
) -> None:
    person = (await message(tenant, arrived))["contactId"]
    assert (await tenant.call("DELETE", f"/contacts/{person}")).status_code == 204
    for url in (arrived.links[0], arrived.picture):
        assert (await ask(url, BROWSER)).status_code == 410
    assert await told(tenant) == []


async def test_who_asks_without_end_fills_no_table(
    tenant: Tenant, database: Database, arrived: Arrived, ask: Ask
) -> None:
    message_id = ids.parse(Kind.MESSAGE, arrived.id)
    workspace_id = ids.parse(Kind.WORKSPACE, tenant.workspace)
    assert message_id is not None
    assert workspace_id is not None
    flood = [
        ParsedEvent(
            type=EventType.CLICKED,
            provider_event=hits.CLICK,
            dedupe=number.to_bytes(32, "big"),
            raw=hits.keep(Seen(0)),
            at=None,
            message_ref=message_id,
            run=1,
            settles=True,
        )
        for number in range(hits.MOST_KEPT - 1)
    ]
    async with database.write() as connection:
        await events.insert(
            connection,
            workspace_id=workspace_id,
            source_id=workspace_id,
            provider=Provider.WIREROOM.value,
            events_=flood,
        )
    for url, status in ((arrived.links[0], 302), (arrived.links[1], 302), (arrived.picture, 200)):
        assert (await ask(url, BROWSER)).status_code == status
    assert (await tenant.get("/events"))["pagination"]["total"] == hits.MOST_KEPT


async def test_nobody_is_kept(tenant: Tenant, database: Database, arrived: Arrived, ask: Ask) -> None:
    with capture_logs() as logs:
        await ask(arrived.links[0], BROWSER)
        await ask(arrived.picture, SCANNER)
        await settle(database)
    kept = repr((await tenant.get("/events"))["data"]) + repr(await message(tenant, arrived)) + repr(logs)
    assert "127.0.0.1" not in kept.replace(tenant.root.base_url.netloc.decode(), "")
    assert not re.search("Firefox|proofpoint|Gecko", kept)


async def test_an_operators_network_is_a_programs(
    tmp_path: Path, database: Database, redis_url: str, tenant: Tenant, arrived: Arrived, ask: Ask
) -> None:
    nets = "office filter=127.0.0.0/8"
    async with serving(tmp_path, str(database.engine.url), redis_url, WIREROOM_MACHINE_NETS=nets) as other:
        path = arrived.links[0].partition("/t/c/")[2]
        await ask(f"{other.url}/t/c/{path}", BROWSER)
    await settle(database)
    assert await told(tenant) == [("clicked", True, "network office filter")]
    assert (await message(tenant, arrived))["status"] == "SENT"


async def test_worker_and_keeper_need_nobody_to_settle_it(
    tmp_path: Path, api: Api, tenant: Tenant, database: Database, redis_url: str, mail_sink: SmtpSink, ask: Ask
) -> None:
    url = database.engine.url.render_as_string(hide_password=False)
    house = House(tmp_path, database_url=url, redis_url=redis_url, smtp_port=mail_sink.port)
    try:
        house.start_worker(WIREROOM_PUBLIC_URL=api.url)
        house.start_keeper()
        sent = await tenant.send(await tenant.contact(), body=BODY)
        await wait_until(lambda: bool(mail_sink.mails), 40)

        async def stands(status: str) -> bool:
            return bool((await tenant.get(f"/messages/{sent['id']}"))["status"] == status)

        async def scanner_is_told() -> bool:
            shown = (await tenant.get(f"/messages/{sent['id']}"))["events"]
            return {each["machine"] for each in shown if each["type"] == "clicked" and "id" in each} == {False, True}

        await wait_until(lambda: stands("SENT"), 40)
        await sent_ago(database, 3_600)
        found = arrived_as(sent["id"], mail_sink)
        asked_at = monotonic()
        await ask(found.links[0], BROWSER)
        await ask(found.links[1], SCANNER)
        await wait_until(lambda: stands("CLICKED"), 40)
        assert monotonic() - asked_at > 9
        # The program came after the person, and is judged after them.
        await wait_until(scanner_is_told, 40)
    finally:
        house.close()
