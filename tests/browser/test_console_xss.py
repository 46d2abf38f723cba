"""Hostile strings in every text that the console shows: nothing of them runs, loads or becomes an element.

Written into the database itself, past all that would refuse them.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import urljoin

import pytest
from playwright.async_api import Page, expect

from tests.browser import hostile_world
from tests.browser.desks import Desk
from tests.browser.tabs import side_by_side
from tests.support.browser import Site, Watch, needs_chromium, site
from tests.support.xss import STRINGS, aimed

pytestmark = [needs_chromium, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(180)]

_LISTS: Final = ("/messages", "/campaigns", "/templates", "/suppressions", "/keys", "/users", "/audit")
_PAGES: Final = -(-(len(STRINGS) + 1) // 50)
_HOOKS: Final = """
window.fired = [];
for (const name of ["canary", "alert", "prompt", "confirm", "print", "open"]) {
  window[name] = (...values) => void fired.push([name, ...values].join(" "));
}
document.addEventListener("securitypolicyviolation", (event) => fired.push(`stopped ${event.effectiveDirective}`));
"""
_SURVEY: Final = """
() => {
  const all = [...document.querySelectorAll("*")];
  return {
    elements: [...new Set(all.map(({ localName }) => localName))],
    attributes: [...new Set(all.flatMap((element) => element.getAttributeNames()))],
    scripts: [...document.scripts].map(({ src }) => new URL(src).pathname),
    links: [...new Set([...document.links].map(({ origin }) => origin))],
    rows: [...document.querySelectorAll("main tbody tr")].map(({ textContent }) => textContent),
    fired,
  };
}
"""
_ELEMENTS: Final = {
    *("html", "head", "meta", "title", "link", "script", "body", "header", "nav", "main", "footer", "section", "form"),
    *("div", "span", "p", "a", "b", "i", "code", "pre", "h1", "h2", "ul", "ol", "li", "dl", "dt", "dd", "time", "br"),
    *(
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "details",
        "summary",
        "label",
        "select",
        "option",
        "button",
        "input",
    ),
    *("textarea", "figure", "figcaption", "optgroup", "svg", "text", "rect", "iframe", "fieldset", "legend", "wbr"),
    *("line", "polyline", "circle"),
}
_ATTRIBUTES: Final = {
    *("lang", "charset", "name", "content", "rel", "href", "type", "src", "class", "id", "for", "value", "method"),
    *("action", "role", "tabindex", "hidden", "scope", "datetime", "selected", "checked", "required", "maxlength"),
    *("placeholder", "autocomplete", "autofocus", "spellcheck", "rows", "sandbox", "title", "open", "label"),
    *("x", "y", "rx", "width", "height", "viewBox", "x1", "x2", "y1", "y2", "points", "cx", "cy", "r"),
}


def _known(attribute: str) -> bool:
    return attribute in _ATTRIBUTES or attribute.startswith(("data-", "aria-"))


async def test_every_page_shows_them_as_text(desk: Desk) -> None:
    async with site() as canary:
        strings = aimed(canary.url)
        assert len(strings) >= 300
        paths = await hostile_world.fill(desk.visit, strings)
        lists = (*_LISTS, paths.pop("endpoint"))
        others = ("", "/lanes", "/endpoints", *paths.values())
        watches: list[Watch] = []

        async def look(left: Iterator[str]) -> None:
            page = await desk.context.new_page()
            watches.append(Watch.over(page))
            for path in left:
                if path in lists:
                    await _walk(page, desk, path, strings)
                else:
                    await _harmless(page, desk, desk.url + path)
            await _choose(page, desk)

        await desk.context.add_init_script(_HOOKS)
        try:
            await side_by_side((*lists, *others), look)
        finally:
            await hostile_world.cool(desk.visit.database)
        assert [watch.faults for watch in watches if watch.faults] == []
        assert [watch.hosts for watch in watches] == [{desk.visit.api.url}] * len(watches)
        assert canary.asked == []


async def _walk(page: Page, desk: Desk, path: str, strings: Sequence[str]) -> None:
    """Every page of a list; each text stands in a row of its own, as it is."""
    whole = sum(map(len, strings))
    shown = await _harmless(page, desk, desk.url + path)
    rows = list(shown["rows"])
    for _ in range(_PAGES):
        older = page.get_by_role("link", name="Older")
        if not await older.count():
            break
        shown = await _harmless(page, desk, urljoin(page.url, await older.get_attribute("href")))
        rows += shown["rows"]
    said = ["".join(row.split()) for row in rows if len(row) < whole]
    missed = [text for text in strings if not any("".join(text.split()) in row for row in said)]
    assert missed == [], path


async def _choose(page: Page, desk: Desk) -> None:
    """The choice of a workspace, for a person who has several, names them too."""
    await page.goto(f"{desk.visit.api.url}/console")
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert await page.evaluate("fired") == []


async def _harmless(page: Page, desk: Desk, path: str) -> Any:
    """What the page at an address holds, once it was seen that nothing came of it."""
    answer = await page.goto(path)
    assert answer is not None
    assert answer.status == 200, path
    found = await page.evaluate(_SURVEY)
    assert set(found["elements"]) <= _ELEMENTS, path
    assert [each for each in found["attributes"] if not _known(each)] == [], path
    assert all(each.startswith("/console/static/") for each in found["scripts"]), path
    assert set(found["links"]) == {desk.visit.api.url}, path
    assert found["fired"] == [], path
    return found


async def test_nothing_runs_in_the_frame_of_a_mail(desk: Desk) -> None:
    async with site() as canary:
        # What is Liquid must be readable, and is refused before it could be shown.
        strings = [text for text in aimed(canary.url) if "{{" not in text and "{%" not in text]
        assert len(strings) >= 300
        watches: list[Watch] = []

        async def look(left: Iterator[str]) -> None:
            page = await desk.context.new_page()
            watches.append(Watch.over(page))
            for path in left:
                await page.goto(desk.url + path)
                (frame,) = page.main_frame.child_frames  # a mail may hold frames of its own
                assert await frame.evaluate("typeof canary") == "undefined"
                await expect(frame.locator("h1").first).to_be_attached()
                assert page.url == desk.url + path

        await side_by_side(await hostile_world.framed(desk.visit, strings), look)
        assert len(desk.context.pages) == len(watches)
        await _control(desk.context.pages[0], canary)
        dialogs = [fault for watch in watches for fault in watch.faults if fault.startswith("dialog")]
        assert dialogs == []
        # Stopped ones are seen too, as far as a picture may have any address.
        servers = {each for watch in watches for each in watch.hosts if each.startswith("http")}
        assert servers <= {desk.visit.api.url, canary.url}
        assert canary.asked[:1] == ["/control"]


async def _control(page: Page, canary: Site) -> None:
    """What loads is seen: a page of nobody's, after all others."""
    await page.goto(canary.put("/control", "<!doctype html>"))
