"""Somebody who looks at a page of a site that shows their inbox."""

from dataclasses import dataclass
from html import escape
from typing import Any, Final

from playwright.async_api import BrowserContext, Locator, Page

from models.session import Database
from tests.support.api import Api, Tenant
from tests.support.api_process import ApiProcess
from tests.support.browser import Site, Watch
from tests.support.inboxes import deliver

_PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Shop</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="stylesheet" href="/site.css">
<nav><b>Shop</b><span id="bell"></span></nav><main><h1>Orders</h1><p>Nothing is late today.</p>
<button id="before">Before</button></main>{script}"""
_CSS: Final = """:root { color-scheme: light dark }
body { margin: 0; font: 16px/1.5 sans-serif }
nav { display: flex; justify-content: space-between; align-items: center; padding: 8px 24px;
border-bottom: 1px solid #8884 } main { padding: 24px }"""


def strict(api: str) -> str:
    """A policy that allows what docs/inbox.md asks for, and no more."""
    return (
        f"default-src 'none'; script-src {api}; connect-src 'self' {api}; style-src 'self'; base-uri 'none'; "
        "form-action 'none'; require-trusted-types-for 'script'; trusted-types wireroom-inbox"
    )


@dataclass
class Visit:
    """The server, the site, and one of its visitors."""

    server: ApiProcess
    api: Api
    site: Site
    tenant: Tenant
    contact: str
    database: Database
    context: BrowserContext

    async def token(self) -> str:
        """A token for the visitor's inbox."""
        return str((await self.tenant.post(f"/contacts/{self.contact}/inbox-token", {}))["token"])

    async def send(self, subject: str, body: str = "Good morning", **fields: Any) -> str:
        """The id of a message that waits for a worker."""
        sent = await self.tenant.send(self.contact, channel="ONSITE", subject=subject, body=body, **fields)
        return str(sent["id"])

    async def deliver(self, subject: str, body: str = "Good morning", **fields: Any) -> str:
        """The id of a message that is in the inbox."""
        message = await self.send(subject, body, **fields)
        await deliver(self.database)
        return message

    async def open(self, *, csp: bool = True, path: str = "/", **data: str) -> "Shown":
        """A new tab with the page; ``data``: of the script tag, a token if nothing else."""
        data = data or {"token": await self.token()}
        attributes = "".join(f' data-{name.replace("_", "-")}="{escape(text)}"' for name, text in data.items())
        script = f'<script src="{self.api.url}/widget.js"{attributes} async></script>'
        self.site.put("/site.css", _CSS, media="text/css")
        address = self.site.put(path, _PAGE.format(script=script), csp=strict(self.api.url) if csp else None)
        page = await self.context.new_page()
        watch = Watch.over(page)
        await page.goto(address)
        return Shown(page, watch)


class Shown:
    """A tab with the page."""

    def __init__(self, page: Page, watch: Watch) -> None:
        self.page = page
        self.watch = watch
        self.host = page.locator("wireroom-inbox")
        self.panel = page.get_by_role("dialog", name="Notifications")
        self.items = self.panel.get_by_role("article")

    def bell(self, unread: int = 0) -> Locator:
        """The bell, where it says that so many are unread."""
        name = f"Notifications, {unread} unread" if unread else "Notifications"
        return self.page.get_by_role("button", name=name, exact=True)

    def item(self, subject: str) -> Locator:
        """The item with that subject."""
        return self.items.filter(has=self.page.get_by_role("heading", name=subject))
