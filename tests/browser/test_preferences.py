"""The reader's pages in a real browser: by keyboard, on a phone, by day and by night, and without a script."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.browser.visits import Visit
from tests.support.browser import Watch, needs_chromium

pytestmark = [needs_chromium, pytest.mark.asyncio(loop_scope="session")]

LONG = "a-topic-of-one-word-that-is-longer-than-any-telephone-is-wide-and-has-nowhere-to-break-it"


@pytest_asyncio.fixture(loop_scope="session")
async def phone(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A small phone on which scripts are off."""
    context = await browser.new_context(java_script_enabled=False, viewport={"width": 320, "height": 568})
    yield context
    await context.close()


async def link(visit: Visit) -> str:
    """The unsubscribe link of an item about news, of a contact who was also written to about other things."""
    await visit.tenant.send(visit.contact, topic=LONG)
    await visit.tenant.send(visit.contact, topic="offers")
    await visit.deliver("News", topic="News & <b>offers</b>")
    async with httpx.AsyncClient(base_url=visit.api.url, trust_env=False) as client:
        answer = await client.get("/inbox", headers={"Authorization": f"Bearer {await visit.token()}"})
    return str(answer.json()["items"][0]["unsubscribeUrl"])


async def width(page: Page) -> float:
    """How wide the page is laid out."""
    box = await page.locator("main").bounding_box()
    assert box is not None
    return box["x"] + box["width"]


async def test_a_reader_unsubscribes_and_changes_their_mind(visit: Visit, phone: BrowserContext) -> None:
    page = await phone.new_page()
    watch = Watch.over(page)
    await page.goto(await link(visit))
    await expect(page.get_by_role("heading", level=1)).to_have_text("Unsubscribe")
    await expect(page.get_by_role("button")).to_have_count(1)
    await page.get_by_role("button", name="Unsubscribe").press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("You are unsubscribed")

    await page.get_by_role("link").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("What you get")
    news = page.get_by_role("checkbox", name="News & <b>offers</b>", exact=True)
    await expect(news).not_to_be_checked()
    await expect(page.get_by_role("checkbox", name="offers", exact=True)).to_be_checked()
    await news.press("Space")
    await page.get_by_role("checkbox", name="E-mail", exact=True).press("Space")
    await page.get_by_role("button", name="Save").press("Enter")
    await expect(page.get_by_role("status")).to_contain_text("Saved")
    await expect(news).to_be_checked()
    await expect(page.get_by_role("checkbox", name="E-mail", exact=True)).not_to_be_checked()

    body = {"contactId": visit.contact, "channel": "EMAIL", "body": "x"}
    assert (await visit.tenant.post("/messages", body, 422))["failureReason"] == "opted_out"
    await visit.tenant.send(visit.contact, channel="ONSITE", topic="News & <b>offers</b>")
    assert watch.faults == []
    assert watch.hosts == {visit.api.url}


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_pages_fit_a_phone_and_can_be_read(
    visit: Visit, browser: Browser, tmp_path: Path, scheme: Literal["light", "dark"]
) -> None:
    address = await link(visit)
    context = await browser.new_context(viewport={"width": 320, "height": 568}, color_scheme=scheme)
    page = await context.new_page()
    watch = Watch.over(page)
    for name, path in (("unsubscribe", ""), ("preferences", "/preferences"), ("gone", "x")):
        await page.goto(address + path)
        await page.screenshot(path=tmp_path / f"{scheme}-{name}.png", full_page=True)
        assert await width(page) <= 320
        assert await page.evaluate("document.documentElement.scrollWidth") <= 320
        low = await page.evaluate(
            "[...document.querySelectorAll('button, label')].filter(each => each.clientHeight < 44).length"
        )
        assert low == 0  # as tall as a finger (WCAG 2.2, 2.5.5)
    assert watch.faults == []
    await context.close()
