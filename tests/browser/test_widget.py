"""The widget as its reader meets it: on a page of another site, under a strict policy, in a real browser."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from playwright.async_api import Locator, Route, expect

from tests.browser.visits import Shown, Visit
from tests.support.api_process import api_process
from tests.support.browser import needs_chromium
from tests.support.house import House
from tests.support.waiting import wait_until

pytestmark = [needs_chromium, pytest.mark.asyncio(loop_scope="session")]


async def in_time(shown: Shown, awaited: Locator) -> None:
    """Let time pass in the page, and faster than here, until that is visible: it asks again after 30 s at most."""

    async def is_there() -> bool:
        await shown.page.clock.run_for(1_000)
        return await awaited.is_visible()

    await wait_until(is_there, interval=0.1)


async def test_any_page_may_load_it(visit: Visit) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{visit.api.url}/widget.js")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_a_message_arrives_is_read_followed_and_put_away(
    visit: Visit, tmp_path: Path, database_url: str, redis_url: str
) -> None:
    house = House(tmp_path, database_url=database_url, redis_url=redis_url, smtp_port=25)
    try:
        house.start_worker()
        target = visit.site.put("/parcel", "<title>Parcel</title>")
        shown, other = await visit.open(), await visit.open()
        await expect(shown.bell()).to_be_visible()
        message = await visit.send(
            "Your parcel", "<p>It is <b>on its way</b>, {{firstName}}.</p>", options={"url": target}
        )
        for tab in (shown, other):
            await expect(tab.bell(unread=1)).to_be_visible()
        await expect(shown.page.get_by_role("status")).to_have_text("New: Your parcel")

        await shown.bell(unread=1).click()
        await expect(shown.item("Your parcel").locator("b")).to_have_text("on its way")
        for tab in (shown, other):
            await expect(tab.bell()).to_be_visible()

        async def status() -> Any:
            return (await visit.tenant.get(f"/messages/{message}"))["status"]

        await wait_until(lambda: _is(status, "OPENED"))
        async with shown.page.expect_popup() as popup:
            await shown.panel.get_by_role("link", name="Your parcel", exact=True).click()
        opened = await popup.value
        await opened.wait_for_url(target)
        assert await opened.evaluate("window.opener") is None
        await wait_until(lambda: _is(status, "CLICKED"))

        await other.bell().click()
        await other.item("Your parcel").hover()
        await other.panel.get_by_role("button", name="Archive: Your parcel").click()
        for tab in (shown, other):
            await expect(tab.items).to_have_count(0)
            await expect(tab.panel.get_by_text("You are all caught up")).to_be_visible()
            assert tab.watch.faults == []
            assert tab.watch.hosts <= {visit.api.url, visit.site.url}
    finally:
        house.close()


async def _is(value: Any, wanted: object) -> bool:
    return bool(await value() == wanted)


async def test_it_is_used_by_keyboard_alone(visit: Visit) -> None:
    for number in range(3):
        await visit.deliver(f"Item {number}", '<p>See <a href="https://example.org/">this</a></p>')
    shown = await visit.open(token=await visit.token(), mount="#bell")
    page = shown.page
    await expect(shown.bell(unread=3)).to_have_attribute("aria-expanded", "false")
    await page.keyboard.press("Tab")
    await expect(shown.bell(unread=3)).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(shown.panel).to_be_focused()
    await expect(shown.items).to_have_count(3)
    for key, subject in (
        ("ArrowDown", "Item 2"),
        ("ArrowDown", "Item 1"),
        ("End", "Item 0"),
        ("ArrowDown", "Item 0"),
        ("PageUp", "Item 1"),
        ("Home", "Item 2"),
    ):
        await page.keyboard.press(key)
        await expect(shown.item(subject)).to_be_focused()
    await page.keyboard.press("Tab")
    await expect(shown.item("Item 2").get_by_role("link", name="this")).to_be_focused()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name="Archive: Item 2")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(shown.items).to_have_count(2)
    await expect(shown.item("Item 1")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(shown.panel).to_have_count(0)
    await expect(shown.bell()).to_be_focused()
    await page.keyboard.press("Enter")
    await page.locator("#before").focus()
    await expect(shown.panel).to_have_count(0)
    await expect(page.locator("#before")).to_be_focused()
    assert shown.watch.faults == []


async def test_a_screen_reader_finds_names_and_roles(visit: Visit) -> None:
    await visit.deliver("Second", "<ul><li>one</li></ul>", options={"url": "https://example.org/second"})
    shown = await visit.open()
    await shown.bell(unread=1).click()
    await expect(shown.bell()).to_have_attribute("aria-expanded", "true")
    await expect(shown.panel).to_match_aria_snapshot("""
        - dialog "Notifications":
          - heading "Notifications" [level=2]
          - button "Close"
          - feed "Notifications":
            - article "Second":
              - heading "Second" [level=3]:
                - link "Second"
              - list:
                - listitem: one
              - paragraph:
                - time: this minute
                - 'link "Unsubscribe: Second"'
              - 'button "Archive: Second"'
    """)
    await expect(shown.items.first).to_have_attribute("aria-posinset", "1")
    await expect(shown.items.first).to_have_attribute("aria-setsize", "1")
    unnamed = [each for each in await shown.host.get_by_role("button").all() if not await _name(each)]
    assert unnamed == []


async def _name(button: Any) -> str:
    return str(await button.get_attribute("aria-label") or await button.inner_text())


async def test_it_goes_on_after_the_server_was_away(
    visit_to_be_cut: Visit, tmp_path: Path, database_url: str, redis_url: str
) -> None:
    visit = visit_to_be_cut
    await visit.context.clock.install()
    shown = await visit.open()
    await shown.bell().click()
    await expect(shown.panel.get_by_text("You are all caught up")).to_be_visible()
    await visit.server.kill()
    await expect(shown.panel.get_by_text("Connection lost. Trying again…")).to_be_visible()
    async with api_process(tmp_path, database_url, redis_url, visit.server.port):
        await visit.deliver("While you were away")
        await in_time(shown, shown.item("While you were away"))
        await visit.deliver("And now")
        await in_time(shown, shown.item("And now"))
        await expect(shown.panel.get_by_text("Connection lost")).to_have_count(0)
        await expect(shown.bell()).to_be_visible()


async def test_many_come_page_by_page_and_are_read_at_once(visit: Visit) -> None:
    body = [{"contactId": visit.contact, "channel": "ONSITE", "subject": f"N {n}", "body": "B"} for n in range(44)]
    await visit.tenant.post("/messages/batch", body, 200)
    await visit.deliver("Last")
    shown = await visit.open()
    await expect(shown.bell(unread=45)).to_be_visible()
    await shown.bell(unread=45).click()
    await expect(shown.items).to_have_count(20)
    await expect(shown.items.first).to_have_attribute("aria-setsize", "-1")
    older = shown.panel.get_by_role("button", name="Show older")
    await older.click()
    await expect(shown.items).to_have_count(40)
    await expect(shown.items.nth(20)).to_be_focused()
    await shown.panel.get_by_role("button", name="Mark all as read").click()
    await expect(shown.bell()).to_be_visible()
    await expect(shown.items).to_have_count(45)
    await expect(older).to_have_count(0)
    subjects = await shown.items.get_by_role("heading").all_inner_texts()
    assert len(set(subjects)) == 45


async def test_what_goes_wrong_is_said_and_can_be_tried_again(visit: Visit) -> None:
    await visit.deliver("Hello")
    asked: list[str] = []

    async def away(route: Route) -> None:
        asked.append(route.request.method)
        await route.abort()

    await visit.context.route(f"{visit.api.url}/inbox?*", away)
    shown = await visit.open()
    await shown.bell().click()
    await expect(shown.panel.get_by_text("Your notifications cannot be loaded")).to_be_visible()
    await visit.context.unroute(f"{visit.api.url}/inbox?*")
    retry = shown.panel.get_by_role("button", name="Try again")
    await retry.click()
    await expect(shown.item("Hello")).to_be_visible()
    assert asked

    async def refuse(route: Route) -> None:
        await route.fulfill(status=500, headers={"Access-Control-Allow-Origin": visit.site.url})

    await visit.context.route(f"{visit.api.url}/inbox/*/archive", refuse)
    await shown.item("Hello").hover()
    await shown.panel.get_by_role("button", name="Archive: Hello").click()
    failed = shown.panel.get_by_text("That did not work. Please try again.")
    await expect(failed).to_be_visible()
    await expect(shown.item("Hello")).to_be_visible()
    # What comes by itself says nothing of it.
    await visit.deliver("Later")
    await expect(shown.item("Later")).to_be_visible()
    await expect(failed).to_be_visible()
    await visit.context.unroute(f"{visit.api.url}/inbox/*/archive")
    await shown.item("Hello").hover()
    await shown.panel.get_by_role("button", name="Archive: Hello").click()
    await expect(shown.item("Hello")).to_have_count(0)
    await expect(failed).to_have_count(0)


async def test_without_a_stream_it_asks_now_and_then(visit: Visit) -> None:
    async def refuse(route: Route) -> None:
        await route.abort()

    await visit.context.route(f"{visit.api.url}/inbox/stream?*", refuse)
    await visit.context.clock.install()
    shown = await visit.open()
    await expect(shown.bell()).to_be_visible()
    await visit.deliver("By asking")
    await in_time(shown, shown.bell(unread=1))


async def test_a_token_that_ended_is_fetched_anew_or_the_reader_is_told(visit: Visit) -> None:
    await visit.deliver("Hello")
    told = await visit.open(path="/ended", token="ended")
    await told.bell().click()
    await expect(told.panel.get_by_text("Your session has ended")).to_be_visible()

    tokens: Sequence[str] = ("ended", await visit.token())
    given: list[str] = []

    async def give(route: Route) -> None:
        given.append(tokens[min(len(given), 1)])
        await route.fulfill(json={"token": given[-1]})

    await visit.context.route(f"{visit.site.url}/inbox-token", give)
    renewed = await visit.open(path="/renewed", token_url="/inbox-token")
    await expect(renewed.bell(unread=1)).to_be_visible()
    assert given == list(tokens)


async def test_words_links_and_place_are_the_pages_own(visit: Visit) -> None:
    await visit.deliver("Hallo", options={"url": "https://example.org/hallo"}, metadata={"order": 7})
    shown = await visit.open(
        csp=False,
        token=await visit.token(),
        mount="#bell",
        text_title="Nachrichten",
        text_unread="{count} neu",
        lang="de",
    )
    page = shown.page
    assert await page.locator("#bell wireroom-inbox").count() == 1
    await page.get_by_role("button", name="Nachrichten, 1 neu").click()
    await expect(page.get_by_role("time")).to_have_text("in dieser Minute")
    await page.evaluate(
        "addEventListener('wireroom:click', (event) => { event.preventDefault(); window.went = event.detail })"
    )
    await page.get_by_role("link", name="Hallo", exact=True).click()
    went = await page.evaluate("window.went")
    assert (went["url"], went["item"]["metadata"]) == ("https://example.org/hallo", {"order": 7})
    await expect(page.get_by_role("dialog")).to_have_count(0)
    assert len(page.context.pages) == 1
    await page.evaluate("document.querySelector('wireroom-inbox').remove()")
    await wait_until(lambda: _is(lambda: page.locator("wireroom-inbox").count(), 0))


async def test_a_hidden_page_keeps_no_connection(visit: Visit) -> None:
    streams: list[str] = []
    visit.context.on("request", lambda request: streams.append(request.url) if "/stream" in request.url else None)
    shown = await visit.open(csp=False)
    await wait_until(lambda: streams)  # so it asks for no other any more
    await visit.deliver("Before")
    await expect(shown.bell(unread=1)).to_be_visible()
    await shown.page.clock.install()
    streams.clear()
    await shown.page.evaluate(
        "Object.defineProperty(document, 'visibilityState', { get: () => window.seen || 'hidden' });"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    await shown.page.clock.run_for(70_000)
    await visit.deliver("Meanwhile")
    await shown.page.clock.run_for(70_000)
    assert streams == []
    await expect(shown.bell(unread=1)).to_be_visible()
    await shown.page.evaluate("window.seen = 'visible'; document.dispatchEvent(new Event('visibilitychange'))")
    await expect(shown.bell(unread=2)).to_be_visible()


async def test_what_is_scrolled_off_the_window_was_not_seen(visit: Visit) -> None:
    shown = await visit.open(token=await visit.token(), mount="#bell")
    await shown.bell().click()
    await expect(shown.panel.get_by_text("You are all caught up")).to_be_visible()
    await shown.page.evaluate("document.body.style.height = '6000px'; scrollTo(0, 5000)")
    read: list[str] = []
    shown.page.on("request", lambda request: read.append(request.url) if request.url.endswith("/read") else None)
    await visit.deliver("Out of sight")
    await expect(shown.items).to_have_count(1)
    await shown.page.evaluate(_FRAMES)
    assert read == []
    await shown.page.evaluate("scrollTo(0, 0)")
    await expect(shown.bell()).to_be_visible()
    await wait_until(lambda: read)
    assert len(read) == 1


_FRAMES = """async () => {
  for (let left = 10; left > 0; left--) await new Promise(requestAnimationFrame);
}"""


async def test_what_is_larger_than_the_list_is_read_where_it_fills_it(visit: Visit) -> None:
    shown = await visit.open()
    await shown.page.set_viewport_size({"width": 900, "height": 300})
    await shown.bell().click()
    await visit.deliver("Long words " * 80, "and more " * 300)
    await expect(shown.items).to_have_count(1)
    inside = await shown.page.evaluate(
        "(({ shadowRoot: root }) => [root.querySelector('article'), root.querySelector('.scroller')]"
        ".map(({ clientHeight }) => clientHeight))(document.querySelector('wireroom-inbox'))"
    )
    assert inside[0] > 2 * inside[1]
    await expect(shown.bell()).to_be_visible()


async def test_it_leaves_no_listener_behind(visit: Visit) -> None:
    await visit.context.add_init_script(_LISTENERS)
    streams: list[str] = []

    async def refuse(route: Route) -> None:
        streams.append(route.request.url)
        await route.fulfill(status=503)

    await visit.context.route(f"{visit.api.url}/inbox/stream?*", refuse)
    shown = await visit.open()
    await wait_until(lambda: len(streams) >= 3)

    await wait_until(lambda: _is(lambda: shown.page.evaluate("listeners.live()"), 0))
    assert await shown.page.evaluate("listeners.added") >= 3


_LISTENERS = """(() => {
  const known = [];
  const { addEventListener, removeEventListener } = document;
  document.addEventListener = function (name, act, options) {
    if (name === "visibilitychange") {
      known.push({ act, signal: options && options.signal });
      listeners.added++;
    }
    return addEventListener.apply(this, arguments);
  };
  document.removeEventListener = function (name, act) {
    const at = known.findIndex((each) => name === "visibilitychange" && each.act === act);
    if (at >= 0) known.splice(at, 1);
    return removeEventListener.apply(this, arguments);
  };
  window.listeners = { added: 0, live: () => known.filter(({ signal }) => !(signal && signal.aborted)).length };
})()"""


async def test_what_expires_leaves(visit: Visit) -> None:
    in_an_hour = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    await visit.deliver("For an hour", expiresAt=in_an_hour)
    await visit.deliver("For ever")
    await visit.context.clock.install()
    shown = await visit.open()
    await shown.bell(unread=2).click()
    await expect(shown.items).to_have_count(2)
    await visit.context.clock.fast_forward("01:01:00")
    await expect(shown.items).to_have_count(1)
    await expect(shown.item("For ever")).to_be_visible()


SIZES = {"desktop": (1280, 800), "phone": (375, 667)}


SCHEMES: Sequence[Literal["light", "dark"]] = ("light", "dark")


async def test_it_fits_the_window(visit: Visit, tmp_path: Path) -> None:
    empty = await visit.open()
    await empty.bell().click()
    for scheme in SCHEMES:
        await empty.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        await expect(empty.panel.get_by_text("You are all caught up")).to_be_visible()
        await empty.page.screenshot(path=tmp_path / f"{scheme}-empty.png")
    await empty.page.close()
    for number in range(9):
        await visit.deliver(
            f"Order {1000 + number} was shipped", "It left our house this morning and arrives on Friday."
        )
    long = (
        "<h4>What changes</h4><ul><li>Prices</li><li>Terms</li></ul><p><a href='https://example.org'>All of it</a></p>"
    )
    await visit.deliver("Our terms change on 1 March, and this is a subject that takes more than one line", long)
    await visit.deliver(
        "Your parcel arrives today", "Between 2 and 4 pm.", options={"url": "https://example.org/parcel"}
    )
    shown = await visit.open()
    for name, (width, height) in SIZES.items():
        await shown.page.set_viewport_size({"width": width, "height": height})
        await shown.page.reload()
        await shown.host.get_by_role("button", expanded=False).click()
        await expect(shown.items).to_have_count(11)
        for scheme in SCHEMES:
            await shown.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            await shown.items.nth(1).hover()
            await shown.page.screenshot(path=tmp_path / f"{scheme}-{name}.png")
            await fits(shown, width, height, whole=name == "phone")
    assert shown.watch.faults == []


async def fits(shown: Shown, width: int, height: int, *, whole: bool) -> None:
    """The panel is inside the window, and as wide as it where it is to be its ``whole``."""
    box = await shown.panel.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["y"] >= 0
    assert box["x"] + box["width"] <= width
    assert box["y"] + box["height"] <= height
    assert (box["width"] == width) == whole
