"""The server as a process of its own, a site on another origin, and a browser that shows its pages."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from models.session import Database
from tests.browser.visits import Visit
from tests.support.api import Api
from tests.support.api_process import api_process
from tests.support.browser import chromium, site

expect.set_options(timeout=20_000)  # a worker that starts on a busy machine takes a while


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """A fresh, migrated SQLite database: what differs between databases is tested without a browser."""
    return sqlite_url


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A Chromium."""
    async with chromium() as running:
        yield running


@pytest.fixture
async def visit(
    tmp_path: Path, database: Database, database_url: str, redis_url: str, browser: Browser
) -> AsyncIterator[Visit]:
    """A contact of a workspace that allows the site, and whose inbox its pages show."""
    async with contextlib.AsyncExitStack() as servers:
        serve = api_process(tmp_path, database_url, redis_url)
        server = await servers.enter_async_context(serve)
        api = Api(f"http://127.0.0.1:{server.port}", database_url)
        servers.push_async_callback(api.close)
        pages = await servers.enter_async_context(site())
        tenant = await api.tenant()
        answer = await tenant.call("PATCH", "/settings", json={"allowedOrigins": [pages.url]})
        assert answer.status_code == 200, answer.text
        contact = await tenant.contact()
        context = await browser.new_context(locale="en-GB", timezone_id="UTC")
        context.set_default_timeout(15_000)
        servers.push_async_callback(context.close)
        yield Visit(server, api, pages, tenant, contact, database, context)
