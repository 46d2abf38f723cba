"""A real Chromium, and a site of another origin whose pages it shows."""

import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import pytest
from aiohttp import web
from playwright.async_api import Browser, Dialog, Page, async_playwright

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium: Final = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: sh tools/peers.sh installs one")

_FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser, closed at the end of the block."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(_FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Site:
    """A web server for pages. ``asked``: the paths that were asked for."""

    url: str
    asked: list[str] = field(default_factory=list)
    _files: dict[str, tuple[str, str, dict[str, str]]] = field(default_factory=dict)

    def put(self, path: str, content: str, *, media: str = "text/html", csp: str | None = None) -> str:
        """Serve it from now on; its address."""
        self._files[path] = (content, media, {} if csp is None else {"Content-Security-Policy": csp})
        return self.url + path

    def clear(self) -> None:
        """Serve nothing, and know of no request."""
        self.asked.clear()
        self._files.clear()

    async def answer(self, request: web.Request) -> web.Response:
        """What was put there, or 404."""
        self.asked.append(request.path)
        if request.path not in self._files:
            return web.Response(status=404)
        content, media, headers = self._files[request.path]
        return web.Response(text=content, content_type=media, charset="utf-8", headers=headers)


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    """A site on a free port, and so of an origin of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = Site(f"http://127.0.0.1:{listener.getsockname()[1]}")
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", running.answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        try:
            yield running
        finally:
            await runner.cleanup()


@dataclass
class Watch:
    """What a page did that it should not. ``faults``: dialogs, errors, and what its policy stopped."""

    faults: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    @classmethod
    def over(cls, page: Page) -> "Watch":
        """Look at a page from now on."""
        watch = cls()

        async def dismiss(dialog: Dialog) -> None:
            watch.faults.append(f"dialog: {dialog.message}")
            await dialog.dismiss()

        page.on("dialog", dismiss)
        page.on("pageerror", lambda error: watch.faults.append(f"error: {error}"))
        page.on(
            "console",
            lambda message: watch.faults.append(message.text) if "Content Security Policy" in message.text else None,
        )
        page.on("request", lambda request: watch.hosts.add("/".join(request.url.split("/")[:3])))
        return watch
