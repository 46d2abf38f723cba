"""The console in a real browser: by keyboard, on a phone, by day and by night, and as axe-core sees it."""

import re
from pathlib import Path
from typing import Any, Final, Literal
from uuid import UUID

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, Route, expect
from sqlalchemy import update

from models import ids
from models.ids import Kind
from models.session import now_ms
from models.tables import attempts, messages
from models.vocabulary import Channel, FailureReason, Lane, Outcome, State
from tests.browser.desks import WIDER_THAN_THEIR_CARDS, Desk, robin
from tests.browser.visits import Visit
from tests.support.browser import Watch, needs_chromium
from tests.support.people import PASSWORD

pytestmark = [needs_chromium, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(180)]

HOSTILE: Final = "<img src=x onerror=alert(1)>"
LONG: Final = "Asubjectofonewordthatislongerthananytelephoneiswideandhasnowheretobreakit"


async def happened(desk: Desk) -> None:
    """Messages of every status; ``desk.message`` is one with a history."""
    tenant = desk.visit.tenant
    lee = await tenant.contact(firstName="Ann", lastName="Lee")
    facts: list[tuple[str, dict[str, object]]] = [
        ("Your order 1017 was shipped", {"state": State.QUEUED}),
        ("Welcome aboard", {"state": State.SENDING, "turn": None}),
        ("Did this arrive?", {"state": State.HELD, "turn": None}),
        ("Your invoice for November", {"state": State.DONE, "sent_at": 1}),
        ("Your parcel arrives today", {"state": State.DONE, "sent_at": 1, "delivered_at": 1}),
        ("Spring sale: everything must go", {"state": State.DONE, "opened_at": 1}),
        ("Confirm your address", {"state": State.DONE, "clicked_at": 1}),
        ("News & offers", {"state": State.DONE, "hard_bounced_at": 1}),
        ("Password reset", {"state": State.FAILED, "failure_reason": FailureReason.MAILBOX_FULL}),
        ("Your weekly digest", {"state": State.FAILED, "failure_reason": FailureReason.POLICY}),
        ("A last offer", {"state": State.DONE, "unsubscribed_at": 1}),
        (LONG, {"state": State.QUEUED}),
        (HOSTILE, {"state": State.QUEUED}),
    ]
    for subject, values in facts:
        sent = await tenant.send(lee, subject=subject, channel="EMAIL")
        message_id = ids.parse(Kind.MESSAGE, sent["id"])
        at = {name: now_ms() if name.endswith("_at") else value for name, value in values.items()}
        ended = values["state"] in (State.DONE, State.FAILED)
        over = {"turn": None, "sending_at": now_ms(), "ended_at": now_ms()} if ended else {}
        async with desk.visit.database.write() as connection:
            await connection.execute(update(messages).where(messages.c.id == message_id).values(**over | at))
        if subject == "Password reset":
            desk.message = sent["id"]
            await attempted(desk, message_id)


async def attempted(desk: Desk, message_id: UUID | None) -> None:
    """Two tries of a message that was given up."""
    tries = [
        (Outcome.TRANSIENT, "452", "4.2.2 Mailbox full, try again later"),
        (Outcome.PERMANENT, "552", "5.2.2 Full"),
    ]
    async with desk.visit.database.write() as connection:
        for token, (outcome, code, detail) in enumerate(tries):
            at = {"started_at": now_ms(), "ended_at": now_ms()}
            said = {"outcome": outcome.value, "code": code, "detail": detail}
            await connection.execute(attempts.insert().values(message_id=message_id, token=token, run=1, **at, **said))


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
    await expect(page.get_by_label("E-mail address")).to_be_focused()
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


@pytest.mark.parametrize(("width", "height", "scheme"), [(390, 844, "dark"), (1440, 900, "light")])
async def test_the_pages_fit_and_can_be_read(
    desk: Desk, tmp_path: Path, width: int, height: int, scheme: Literal["light", "dark"]
) -> None:
    await happened(desk)
    page = await desk.open()
    watch = Watch.over(page)
    await page.set_viewport_size({"width": width, "height": height})
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    one = f"/messages/{desk.message}"
    pages = {
        "overview": "",
        "messages": "/messages",
        "nothing": "/messages?subject=zebra",
        "message": one,
        "question": f"{one}/retry",
        "lanes": "/lanes",
        "problem": "/messages/none",
        "sign-in": "",
    }
    for name, path in pages.items():
        if name == "sign-in":
            await page.get_by_role("link", name="Back to the console").click()
            await page.get_by_role("button", name="Sign out").click()
        else:
            await page.goto(desk.url + path)
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
        await page.screenshot(path=tmp_path / f"{name}-{width}-{scheme}.png", full_page=True)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert await page.evaluate(WIDER_THAN_THEIR_CARDS) == 0, name
        found = await Axe().run(page)
        assert found.violations_count == 0, f"{name}: {found.generate_report()}"
    assert watch.faults == []
