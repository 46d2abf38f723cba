"""Links that are followed through us: where they lead to, and what is noted."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from api_shim.intake import Intake
from channels import registry
from models import ids
from models.admission import Draft
from models.ids import Kind
from models.secrets import load_keyring
from models.session import Database
from models.tokens import Links
from models.vocabulary import Channel
from tests.support.api import Api, Tenant
from tests.support.no_tls import NO_TLS
from tests.support.readers import BROWSER, settle
from tests.support.scene import channel_settings, storage_settings
from worker.wakeups import Wakeups

NOWHERE = "http://127.0.0.1:1"
BUTTONS = [
    [{"text": "Pay", "url": "https://shop.example.org/pay?a=1&b=2"}, {"text": "Not now", "callbackData": "later"}],
    [{"text": "Help", "url": "https://shop.example.org/help"}],
    [{"text": "Far", "url": "http://пример.example/д?q=é#ф"}],
]


@pytest.fixture
async def message(tmp_path: Path, tenant: Tenant, database: Database, redis_url: str) -> AsyncIterator[Links]:
    """The links of a Telegram message with buttons."""
    keyring = await load_keyring(database, storage_settings(tmp_path, str(database.engine.url), redis_url))
    wakeups = Wakeups(redis_url)
    intake = Intake(database, keyring, wakeups, registry.configured(channel_settings(telegram_url=NOWHERE)))
    draft = Draft(
        id=ids.new_id(),
        workspace_id=uuid_of(Kind.WORKSPACE, tenant.workspace),
        contact_id=uuid_of(Kind.CONTACT, await tenant.contact(telegramChatId="4711")),
        channel=Channel.TELEGRAM,
        body="Hello",
        options={"buttons": BUTTONS},
    )
    await intake.submit(draft)
    yield Links(keyring.tokens, "", draft.id, 1)
    wakeups.close()


def uuid_of(kind: Kind, text: str) -> UUID:
    found = ids.parse(kind, text)
    assert found is not None
    return found


@pytest.fixture
def links(api: Api, message: Links) -> Callable[[int], str]:
    return lambda number: api.url + message.click(number)


async def follow(url: str, method: str = "GET", **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, verify=NO_TLS) as reader:
        return await reader.request(method, url, headers=BROWSER | headers)


async def noted(tenant: Tenant, database: Database) -> list[tuple[str, bool]]:
    await settle(database)
    page = (await tenant.call("GET", "/events")).json()
    return [(event["type"], event["machine"]) for event in page["data"]]


async def test_a_button_leads_on_and_the_click_counts(
    tenant: Tenant, database: Database, links: Callable[[int], str]
) -> None:
    first, second = await follow(links(0)), await follow(links(1))
    assert [each.status_code for each in (first, second)] == [302, 302]
    assert first.headers["Location"] == "https://shop.example.org/pay?a=1&b=2"
    assert second.headers["Location"] == "https://shop.example.org/help"
    assert first.headers["Cache-Control"] == "no-store"
    assert (await tenant.get("/messages"))["data"][0]["status"] != "CLICKED"
    assert await noted(tenant, database) == [("clicked", False)] * 2
    (shown,) = (await tenant.get("/messages"))["data"]
    assert shown["status"] == "CLICKED"


async def test_the_target_is_led_to_in_ascii(links: Callable[[int], str]) -> None:
    answer = await follow(links(2))
    assert answer.headers["location"] == "http://xn--e1afmkfd.example/%D0%B4?q=%C3%A9#%D1%84"


async def test_a_scanner_and_a_prefetch_are_no_person(
    tenant: Tenant, database: Database, links: Callable[[int], str]
) -> None:
    assert (await follow(links(0), "HEAD")).headers["Location"].startswith("https://shop.example.org/pay")
    await follow(links(1), **{"Sec-Purpose": "prefetch;prerender"})
    assert await noted(tenant, database) == [("clicked", True)]


@pytest.mark.parametrize("wrong", ["unknown", "no such link", "another purpose", "empty"])
async def test_what_is_no_link_of_ours_leads_nowhere(
    tenant: Tenant, database: Database, api: Api, links: Callable[[int], str], message: Links, wrong: str
) -> None:
    url = {
        "unknown": f"{api.url}/t/c/{'A' * 54}",
        "no such link": links(3),
        "another purpose": api.url + message.opt_out().replace("/u/", "/t/c/"),
        "empty": f"{api.url}/t/c/x",
    }[wrong]
    answer = await follow(url)
    assert answer.status_code == 404
    assert "Location" not in answer.headers
    assert await noted(tenant, database) == []
