"""The console in a real browser: by keyboard, and what its scripts do."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from models.vocabulary import Channel, Lane
from tests.browser.console_world import HOSTILE
from tests.browser.desks import Desk, robin
from tests.browser.visits import Visit
from tests.support.browser import Watch, needs_chromium
from tests.support.people import PASSWORD

pytestmark = [needs_chromium, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(180)]


async def test_a_person_finds_and_cancels_a_message_by_keyboard(visit: Visit) -> None:
    contact = await visit.tenant.contact()
    for subject in ("Spring sale", HOSTILE, "Your order 1017"):
        await visit.tenant.send(contact, subject=subject)
    page = await visit.context.new_page()
    watch = Watch.over(page)
    address = f"{visit.api.url}/console/{visit.tenant.workspace}/messages"
    await page.goto(address)
    await sign_in_by_keyboard(page, await robin(visit))
    await expect(page.get_by_role("heading", level=1)).to_have_text("Messages")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await expect(page.get_by_label("Words of the subject")).to_be_focused()
    rows = page.get_by_role("table").get_by_role("row")
    await expect(rows).to_have_count(4)
    await page.keyboard.type("order")
    await expect(rows).to_have_count(2)
    await expect(page).to_have_url(f"{address}?subject=order")
    await expect(page.locator("#said")).to_have_text("1 message")
    await page.get_by_role("link", name="Your order 1017").press("Enter")
    await page.get_by_role("link", name="Cancel").press("Enter")
    await expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("status")).to_have_text("It was called back.")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Your order 1017")
    await expect(page.get_by_role("link", name="Retry")).to_be_visible()
    assert watch.faults == []
    assert watch.hosts == {visit.api.url}


async def sign_in_by_keyboard(page: Page, email: str) -> None:
    """Type what the sign-in page asks for."""
    await expect(page.get_by_label("Email address")).to_be_focused()
    await page.keyboard.type(email)
    await page.keyboard.press("Tab")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")


async def test_the_lanes_follow_what_comes(desk: Desk) -> None:
    page = await desk.open("/lanes")
    watch = Watch.over(page)
    card = page.get_by_role("region", name="Email")
    ready = card.get_by_role("row", name="Transactional").get_by_role("cell").first
    await expect(ready).to_have_text("0")
    await expect(card.get_by_role("img").first).to_have_attribute(
        "aria-label", "transactional 0, at most 0; bulk 0, at most 0"
    )
    await desk.visit.tenant.send(await desk.visit.tenant.contact())
    await expect(ready).to_have_text("1")
    await expect(card.get_by_role("img").first).to_have_attribute(
        "aria-label", "transactional 1, at most 1; bulk 0, at most 0"
    )
    assert watch.faults == []


async def test_what_left_is_what_came_less_what_there_is_more_of(desk: Desk, tmp_path: Path) -> None:
    asked: list[str] = []

    async def answer(route: Route) -> None:
        number = len(asked)
        asked.append(route.request.url)
        await route.fulfill(json=numbers(number))

    await desk.context.route("**/lanes.json?*", answer)
    await desk.context.clock.install(time=0)
    await desk.context.clock.pause_at(1_000)
    page = await desk.open("/lanes")
    watch = Watch.over(page)
    card = page.get_by_role("region", name="Email")
    left = card.get_by_role("img").last
    await expect(card.get_by_role("row", name="Bulk")).to_contain_text("10,000+")
    await expect(left).to_have_attribute("aria-label", "two samples are needed")
    for number in range(1, 30):
        await expect(card.locator("polyline.bulk").first).to_have_attribute("points", points(number))
        await desk.context.clock.run_for(3_000)
    await expect(card.locator("polyline.bulk").first).to_have_attribute("points", points(30))
    # Of three seconds: 60 of 60 that came in one lane, and 600 of 300 in the other.
    label = "transactional 20 a second, at most 20; bulk 200 a second, at most 200"
    await expect(left).to_have_attribute("aria-label", label)
    assert asked[29].endswith("after=msg_28")
    await page.screenshot(path=tmp_path / "charts.png", full_page=True)
    assert watch.faults == []


def points(number: int) -> re.Pattern[str]:
    """So many points of a line."""
    return re.compile(rf"^\S+( \S+){{{number - 1}}}$")


def numbers(number: int) -> dict[str, Any]:
    """The answer of that number: 20 a second come and leave in one lane; in the other 100 come, and 200 leave."""
    waiting = 50_000 - 300 * number
    first = {"lane": "transactional", "ready": 40, "later": 0, "inFlight": 2, "waitedMs": 900, "accepted": 60}
    second = {"lane": "bulk", "ready": min(10_000, waiting), "later": 3, "inFlight": 200, "waitedMs": 61_000}
    lanes = [first, second | {"accepted": 300}]
    idle = [{"lane": lane, "ready": 0, "later": 0, "inFlight": 0, "waitedMs": None, "accepted": 0} for lane in Lane]
    email = {"channel": "EMAIL", "unended": waiting + 245, "restsUntil": None, "lanes": lanes}
    others = [{"channel": each, "unended": 0, "restsUntil": None, "lanes": idle} for each in list(Channel)[1:]]
    return {"cursor": f"msg_{number}", "mostCounted": 10_000, "channels": [email, *others]}


async def test_the_theme_is_chosen_and_stays(desk: Desk) -> None:
    page = await desk.open()
    watch = Watch.over(page)
    await page.emulate_media(color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = await page.evaluate(ground)
    await page.get_by_label("Theme").select_option("dark")
    dark = await page.evaluate(ground)
    assert dark != light
    await page.reload()
    assert await page.evaluate(ground) == dark
    await page.get_by_label("Theme").select_option("")
    assert await page.evaluate(ground) == light
    assert watch.faults == []
