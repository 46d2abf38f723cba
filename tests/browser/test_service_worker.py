"""The service worker of a site that imports /sw.js, in a real Chromium.

What a push service does is done by the DevTools protocol: it hands the worker what was decrypted (that it can be is
shown in tests/integration/test_push.py). Nobody can click on a notification of a headless browser, and a script cannot
either, so those two events are dispatched inside the worker; and as browsers open windows only for a person's click,
``clients.openWindow`` notes there where it would have gone.
"""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from playwright.async_api import Page, Worker

from models import ids
from models.ids import Kind
from models.secrets import load_keyring
from models.tokens import Links
from tests.browser.visits import Visit
from tests.support.browser import needs_chromium
from tests.support.push_service import PushService
from tests.support.scene import storage_settings
from tests.support.waiting import wait_until
from worker.tracker import Tracker

pytestmark = [needs_chromium, pytest.mark.asyncio(loop_scope="session")]

_REGISTER: Final = """
async () => {
  await navigator.serviceWorker.register("/worker.js");
  await navigator.serviceWorker.ready;
}
"""
# Who asks for the notifications while one is on its way to the screen makes Chromium forget that one: so the worker
# notes when it is there.
_WORKER: Final = """
self.displayed = 0;
const show = self.registration.showNotification;
self.registration.showNotification = async (...given) => {
  await show.apply(self.registration, given);
  self.displayed += 1;
};
importScripts("%s/sw.js");
"""
_SHOWN: Final = """
async () => {
  const shown = await (await navigator.serviceWorker.ready).getNotifications();
  return shown.map(({ title, body, icon, tag }) => ({ title, body, icon, tag }));
}
"""
_ACT: Final = """
async ([type, tag]) => {
  const [notification] = await self.registration.getNotifications({ tag });
  const event = new NotificationEvent(type, { notification });
  const waits = [];
  event.waitUntil = (promise) => waits.push(promise); // the browser's own takes only what it dispatched itself
  const went = [];
  Object.defineProperty(self.clients, "openWindow", { value: async (url) => went.push(url), configurable: true });
  self.dispatchEvent(event);
  await Promise.allSettled(waits); // nor may a page be focused without a person's click
  return went;
}
"""


class Subscribed:
    """A page whose worker takes pushes."""

    def __init__(self, visit: Visit, page: Page, worker: Worker, deliver: Callable[[object], Awaitable[None]]) -> None:
        self.visit = visit
        self.page = page
        self.worker = worker
        self.deliver = deliver

    async def displayed(self, number: int) -> None:
        """Wait until so many have been displayed since the page was loaded."""

        async def are_there() -> bool:
            return bool(await self.worker.evaluate("self.displayed") == number)

        await wait_until(are_there)

    async def shown(self) -> list[dict[str, Any]]:
        """The notifications that are displayed; none may be on its way."""
        found: list[dict[str, Any]] = await self.page.evaluate(_SHOWN)
        return found

    async def reported(self, message: str) -> list[str]:
        """What was reported of a message."""
        await Tracker(self.visit.database).pull()
        found = (await self.visit.tenant.get("/events", messageId=message))["data"]
        return sorted(each["providerEvent"] for each in found)


@pytest_asyncio.fixture(loop_scope="session")
async def subscribed(visit: Visit) -> Subscribed:
    """It has loaded, and its worker is active."""
    visit.site.put("/worker.js", _WORKER % visit.api.url, media="text/javascript")
    await visit.context.grant_permissions(["notifications"], origin=visit.site.url)
    page = await visit.context.new_page()
    protocol = await visit.context.new_cdp_session(page)
    registrations: list[str] = []
    protocol.on(
        "ServiceWorker.workerRegistrationUpdated",
        lambda event: registrations.extend(each["registrationId"] for each in event["registrations"]),
    )
    await protocol.send("ServiceWorker.enable")
    await page.goto(visit.site.put("/", "<title>Shop</title>"))
    await page.evaluate(_REGISTER)
    await wait_until(lambda: registrations and visit.context.service_workers)

    async def deliver(payload: object) -> None:
        data = payload if isinstance(payload, str) else json.dumps(payload)
        given = {"origin": visit.site.url, "registrationId": registrations[-1], "data": data}
        await protocol.send("ServiceWorker.deliverPushMessage", given)

    return Subscribed(visit, page, visit.context.service_workers[0], deliver)


@pytest_asyncio.fixture(loop_scope="session")
async def payload(visit: Visit, tmp_path: Path, database_url: str, redis_url: str) -> dict[str, Any]:
    """What the PUSH channel writes for a message of the visitor."""
    browser = PushService(port=1).subscribe().browser
    keys = {"endpoint": browser.endpoint, "p256dh": browser.p256dh, "auth": browser.auth}
    await visit.tenant.post("/push", {"contactId": visit.contact, **keys})
    sent = await visit.tenant.send(visit.contact, channel="PUSH")
    keyring = await load_keyring(visit.database, storage_settings(tmp_path, database_url, redis_url))
    uuid = ids.parse(Kind.MESSAGE, sent["id"])
    assert uuid is not None
    return {
        "messageId": sent["id"],
        "title": "Your parcel",
        "body": "It is on its way",
        "icon": f"{visit.site.url}/icon.png",
        "url": f"{visit.site.url}/parcel",
        "beacon": Links(keyring.tokens, visit.api.url, uuid, 1).beacon(),
        "report": ["opened", "clicked", "closed"],
    }


async def test_a_push_is_shown_once_and_a_click_opens_its_page(subscribed: Subscribed, payload: dict[str, Any]) -> None:
    for _ in range(2):
        await subscribed.deliver(payload)
    await subscribed.deliver(payload | {"messageId": "msg_second", "title": "", "icon": "javascript:canary(1)"})
    await subscribed.displayed(2)
    shown = {each.pop("tag"): each for each in await subscribed.shown()}
    icon = f"{subscribed.visit.site.url}/icon.png"
    assert shown[payload["messageId"]] == {"title": "Your parcel", "body": "It is on its way", "icon": icon}
    assert shown["msg_second"] == {"title": "It is on its way", "body": "", "icon": ""}

    went = await subscribed.worker.evaluate(_ACT, ["notificationclick", payload["messageId"]])
    assert went == [payload["url"]]
    await wait_until(lambda: _many(subscribed, 1))
    assert await subscribed.reported(payload["messageId"]) == ["clicked", "opened"]

    # Also once it is gone, a repeat shows nothing: what comes after it was shown before it could be.
    await subscribed.deliver(payload)
    await subscribed.deliver(payload | {"messageId": "msg_third"})
    await subscribed.displayed(3)
    assert {each["tag"] for each in await subscribed.shown()} == {"msg_second", "msg_third"}


async def test_dismissing_it_is_reported(subscribed: Subscribed, payload: dict[str, Any]) -> None:
    await subscribed.deliver(payload)
    await subscribed.displayed(1)
    assert await subscribed.reported(payload["messageId"]) == []  # that it was displayed does not count
    went = await subscribed.worker.evaluate(_ACT, ["notificationclose", payload["messageId"]])
    assert went == []
    assert await subscribed.reported(payload["messageId"]) == ["closed", "opened"]


async def test_what_others_push_is_left_alone(subscribed: Subscribed, payload: dict[str, Any]) -> None:
    for theirs in ("no JSON", "null", "{}", {"title": "theirs"}, {"messageId": 7, "title": "theirs"}):
        await subscribed.deliver(theirs)
    await subscribed.deliver(payload)
    await subscribed.displayed(1)
    assert [each["tag"] for each in await subscribed.shown()] == [payload["messageId"]]
    hostile = payload | {"messageId": "msg_hostile", "url": "javascript:canary(1)", "beacon": "file:///etc/passwd"}
    await subscribed.deliver(hostile)
    await subscribed.displayed(2)
    went = await subscribed.worker.evaluate(_ACT, ["notificationclick", "msg_hostile"])
    assert went == []  # where it leads instead, the site's first page, is open already
    assert [page.url for page in subscribed.visit.context.pages] == [f"{subscribed.visit.site.url}/"]


async def _many(subscribed: Subscribed, number: int) -> bool:
    return len(await subscribed.shown()) == number
