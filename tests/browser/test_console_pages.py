"""A day's work at the console, in a real browser, with a worker that sends."""

from pathlib import Path

import pytest
from playwright.async_api import Page, expect
from sqlalchemy import update

from models import ids
from models.ids import Kind
from models.session import now_ms
from models.tables import attempts, messages
from models.vocabulary import Outcome, State
from tests.browser.desks import robin
from tests.browser.visits import Visit
from tests.support import smtp_sink
from tests.support.browser import Watch, needs_chromium
from tests.support.house import House
from tests.support.people import PASSWORD

pytestmark = [needs_chromium, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(180)]


async def test_a_person_releases_a_held_message_and_sees_it_sent(
    visit: Visit, tmp_path: Path, database_url: str, redis_url: str
) -> None:
    await _held(visit, "Your order 1017")
    page = await visit.context.new_page()
    watch = Watch.over(page)
    await _sign_in(page, visit)
    lanes = await visit.context.new_page()
    await lanes.goto(f"{visit.api.url}/console/{visit.tenant.workspace}/lanes")
    chart = lanes.get_by_role("region", name="Email").get_by_role("img").first
    await expect(chart).to_have_attribute("aria-label", "transactional 0, at most 0; bulk 0, at most 0")
    await page.get_by_role("link", name="Held messages").press("Enter")
    await page.get_by_role("link", name="Your order 1017").press("Enter")
    await expect(page.get_by_text("Nobody knows whether attempt 1 arrived")).to_be_visible()
    await expect(page.get_by_text("the line broke after the last byte").first).to_be_visible()
    await page.get_by_role("link", name="Release").press("Enter")
    await expect(page.get_by_text("whoever got it gets it twice")).to_be_visible()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("status")).to_have_text("It was released, to be sent again.")
    await expect(chart).to_have_attribute("aria-label", "transactional 1, at most 1; bulk 0, at most 0")
    async with smtp_sink.running() as sink:
        house = House(tmp_path, database_url=database_url, redis_url=redis_url, smtp_port=sink.port)
        try:
            house.start_worker()
            await expect(chart).to_have_attribute("aria-label", "transactional 0, at most 1; bulk 0, at most 0")
        finally:
            house.close()
    await page.reload()
    await expect(page.locator(".standing .status")).to_have_text("Sent")
    assert watch.faults == []


async def _sign_in(page: Page, visit: Visit) -> None:
    email = await robin(visit)
    await page.goto(f"{visit.api.url}/console/{visit.tenant.workspace}")
    await page.get_by_label("Email address").fill(email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


async def _held(visit: Visit, subject: str) -> None:
    """A mail of which nobody knows whether its first attempt arrived."""
    sent = await visit.tenant.send(await visit.tenant.contact(), subject=subject, onUnknown="hold")
    message_id = ids.parse(Kind.MESSAGE, sent["id"])
    at = {"started_at": now_ms(), "ended_at": now_ms()}
    said = {"outcome": Outcome.UNKNOWN.value, "code": None, "detail": "the line broke after the last byte"}
    async with visit.database.write() as connection:
        held = {"state": State.HELD, "turn": None, "sending_at": now_ms(), "tries": 1, "token": 1}
        await connection.execute(update(messages).where(messages.c.id == message_id).values(**held))
        await connection.execute(attempts.insert().values(message_id=message_id, token=1, run=1, **at, **said))
