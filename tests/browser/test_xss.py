"""Hostile strings in every part of a message: nothing of them runs, loads or leads anywhere, and they read as written.

The pages have no policy: what holds here holds without one.
"""

from typing import Any, Final

import pytest
from playwright.async_api import Page, Route, expect

from channels.mime_encoding import has_control
from tests.browser.visits import Shown, Visit
from tests.support.browser import Site, needs_chromium, site
from tests.support.inboxes import deliver
from tests.support.waiting import wait_until
from tests.support.xss import STRINGS, aimed

pytestmark = [needs_chromium, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(180)]

_HOOKS: Final = """
window.fired = [];
for (const name of ["canary", "alert", "prompt", "confirm", "print", "open"]) {
  window[name] = (...values) => void fired.push([name, ...values].join(" "));
}
"""
# Each element is touched as a person would; links are followed no further.
_SURVEY: Final = """
() => {
  const root = document.querySelector("wireroom-inbox").shadowRoot;
  const rows = [...root.querySelectorAll("article")];
  const elements = rows.flatMap((row) => [...row.querySelectorAll("*")]);
  const bodies = rows.flatMap((row) => [...row.querySelectorAll(".body *")]);
  root.addEventListener("click", (event) => event.preventDefault());
  for (const element of bodies) {
    for (const type of ["mouseover", "pointerenter", "focus", "focusin", "click", "toggle", "wheel"]) {
      element.dispatchEvent(new MouseEvent(type, { bubbles: true, composed: true, cancelable: true }));
    }
  }
  return {
    elements: [...new Set(bodies.map(({ localName }) => localName))],
    attributes: [...new Set(bodies.flatMap((element) => element.getAttributeNames()))],
    spaces: [...new Set(bodies.map(({ namespaceURI }) => namespaceURI))],
    links: [...new Set(elements.filter(({ localName }) => localName === "a").map(({ protocol }) => protocol))],
    images: elements.filter(({ localName }) => localName === "img").length,
    handlers: elements.flatMap((element) => element.getAttributeNames()).filter((name) => /^(on|style$)/.test(name)),
    subjects: rows.map((row) => row.querySelector("h3").lastChild.textContent),
    texts: rows.map((row) => row.querySelector(".body.text")).filter(Boolean).map(({ textContent }) => textContent),
  };
}
"""
# How many there were each time before older ones were asked for: in the page, where nobody waits longer than it takes.
_SHOW_ALL: Final = """
async () => {
  const root = document.querySelector("wireroom-inbox").shadowRoot;
  const number = () => root.querySelectorAll("article").length;
  const older = [...root.querySelectorAll("button")].find(({ textContent }) => textContent === "Show older");
  const counts = [];
  while (!older.hidden) {
    const before = number();
    counts.push(before);
    await new Promise((resolve) => {
      const grown = new MutationObserver(() => {
        if (number() === before || older.disabled) return;
        grown.disconnect();
        resolve();
      });
      grown.observe(root, { childList: true, subtree: true, attributes: true });
      older.click();
    });
  }
  return counts;
}
"""
_ALLOWED: Final = {
    *("a", "b", "blockquote", "br", "code", "del", "em", "h3", "h4", "h5", "h6", "hr", "i", "ins", "li", "mark", "ol"),
    *("p", "pre", "s", "small", "strong", "sub", "sup", "u", "ul"),
}


async def test_through_the_server(visit: Visit) -> None:
    async with site() as canary:
        strings = aimed(canary.url)
        await visit.context.add_init_script(_HOOKS)
        sent = [_message(visit, text, form) for text in strings for form in ("html", "text")]
        answers = (await visit.tenant.post("/messages/batch", sent, 200))["data"]
        refused = [given["body"] for given, answer in zip(sent, answers, strict=True) if answer["status"] != 200]
        assert all("{{" in text for text in refused)  # that is Liquid, which must be readable
        await deliver(visit.database)
        shown = await visit.open(csp=False)
        await shown.bell(unread=len(sent) - len(refused)).click()
        items = shown.page.locator("article")
        total = len(sent) - len(refused)
        await expect(items).to_have_count(20)
        assert await shown.page.evaluate(_SHOW_ALL) == [*range(20, total, 20)]
        await expect(items).to_have_count(total)
        found = await _harmless(shown, visit, canary)
        plain = [text for text in strings if text not in refused and "{{" not in text]
        assert {text for text in plain if not has_control(text)} <= set(found["subjects"])
        assert set(plain) <= set(found["texts"])


async def test_in_the_page_alone(visit: Visit) -> None:
    async with site() as canary:
        strings = aimed(canary.url)
        items = [_item(number, text) for number, text in enumerate([*strings, *strings])]

        async def give(route: Route) -> None:
            page = {"items": items, "next": None, "unread": 0, "cursor": "0"}
            await route.fulfill(json=page, headers={"Access-Control-Allow-Origin": visit.site.url})

        await visit.context.add_init_script(_HOOKS)
        await visit.context.route(f"{visit.api.url}/inbox?*", give)
        shown = await visit.open(csp=False)
        await shown.bell().click()
        await expect(shown.page.locator("article")).to_have_count(len(items))
        found = await _harmless(shown, visit, canary)
        assert found["subjects"] == [*strings, *strings]
        assert found["texts"] == strings


def _message(visit: Visit, text: str, form: str) -> dict[str, Any]:
    subject = "x" if has_control(text) else text
    metadata = {"text": text, "html": {"inner": [text]}}
    given = {"contactId": visit.contact, "channel": "ONSITE", "subject": subject, "body": text}
    return given | {"format": form, "metadata": metadata}


def _item(number: int, text: str) -> dict[str, Any]:
    """As no server of ours would answer: the second half of all is text."""
    return {
        "id": f"msg_{number}{text}",
        "subject": text,
        "body": text,
        "format": "html" if number < len(STRINGS) else "text",
        "url": text,
        "icon": text,
        "metadata": {text: text},
        "unsubscribeUrl": text,
        "createdAt": "2026-01-01T00:00:00.000Z",
        "expiresAt": None,
        "readAt": "2026-01-01T00:00:00.000Z",
        "clickedAt": None,
        "archivedAt": None,
    }


async def _harmless(shown: Shown, visit: Visit, canary: Site) -> Any:
    """What the list holds, once it was seen that nothing came of it, and that something would have been seen."""
    found = await shown.page.evaluate(_SURVEY)
    assert set(found["elements"]) <= _ALLOWED
    assert set(found["attributes"]) <= {"href", "rel", "target", "title", "dir", "lang"}
    assert found["spaces"] == ["http://www.w3.org/1999/xhtml"]
    assert set(found["links"]) <= {"http:", "https:", "mailto:", ":"}
    assert (found["images"], found["handlers"]) == (0, [])
    assert len(STRINGS) >= 300
    # An image that fails comes after all that failed before it.
    await shown.page.evaluate(
        "(url) => (document.querySelector('main').innerHTML = `<img src=${url}/control onerror=canary('control')>`)",
        canary.url,
    )
    await wait_until(lambda: _fired(shown.page))
    assert await shown.page.evaluate("fired") == ["canary control"]
    assert canary.asked == ["/control"]
    assert shown.watch.faults == []
    assert shown.watch.hosts == {visit.site.url, visit.api.url, canary.url}
    assert len(visit.context.pages) == 1
    assert shown.page.url == f"{visit.site.url}/"
    return found


async def _fired(page: Page) -> bool:
    return bool(await page.evaluate("fired.length"))
