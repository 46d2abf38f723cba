"""The server as a process of its own, a site on another origin, and a browser that shows its pages.

They are started once per process of the run and live on one event loop, which their tests share; each test has a
workspace and a browser context of its own. The site's origin stays: a server takes notice of new ones now and then.
"""

import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from models.session import Database
from tests.browser.desks import Desk, desk_of
from tests.browser.visits import Visit
from tests.support.api import Api
from tests.support.api_process import ApiProcess, api_process
from tests.support.broker import ValkeyServer
from tests.support.browser import Site, chromium, site

expect.set_options(timeout=40_000)  # a worker that starts on a busy machine takes a while


@pytest.fixture(scope="session")
def database_url(_sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A migrated SQLite database: what differs between databases is tested without a browser."""
    path = tmp_path_factory.mktemp("browser") / "wireroom.db"
    shutil.copy(_sqlite_template, path)
    return f"sqlite:///{path}"


@pytest_asyncio.fixture(loop_scope="session")
async def database(database_url: str) -> AsyncIterator[Database]:
    """The same, open."""
    opened = Database.connect(database_url)
    yield opened
    await opened.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """A Chromium."""
    async with chromium() as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_server(
    tmp_path_factory: pytest.TempPathFactory, database_url: str, _shared_valkey: ValkeyServer
) -> AsyncIterator[ApiProcess]:
    """A server that every test finds running."""
    async with api_process(tmp_path_factory.mktemp("server"), database_url, _shared_valkey.url) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_site() -> AsyncIterator[Site]:
    """The site."""
    async with site() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def visit(
    shared_server: ApiProcess, shared_site: Site, database: Database, browser: Browser
) -> AsyncIterator[Visit]:
    """A contact of a workspace that allows the site, and whose inbox its pages show."""
    async with _visit(shared_server, shared_site, database, browser) as visiting:
        yield visiting


@pytest_asyncio.fixture(loop_scope="session")
async def desk(visit: Visit) -> Desk:
    """Robin's desk: an admin who is signed in at the console."""
    return await desk_of(visit)


@pytest_asyncio.fixture(loop_scope="session")
async def visit_to_be_cut(
    tmp_path: Path, database_url: str, redis_url: str, shared_site: Site, database: Database, browser: Browser
) -> AsyncIterator[Visit]:
    """The same, by a server that may be killed."""
    async with (
        api_process(tmp_path, database_url, redis_url) as server,
        _visit(server, shared_site, database, browser) as visiting,
    ):
        yield visiting


@contextlib.asynccontextmanager
async def _visit(server: ApiProcess, pages: Site, database: Database, browser: Browser) -> AsyncIterator[Visit]:
    pages.clear()
    async with contextlib.AsyncExitStack() as servers:
        api = Api(f"http://127.0.0.1:{server.port}", str(database.engine.url))
        servers.push_async_callback(api.close)
        tenant = await api.tenant()
        answer = await tenant.call("PATCH", "/settings", json={"allowedOrigins": [pages.url]})
        assert answer.status_code == 200, answer.text
        contact = await tenant.contact()
        context = await browser.new_context(locale="en-GB", timezone_id="UTC")
        context.set_default_timeout(40_000)
        servers.push_async_callback(context.close)
        yield Visit(server, api, pages, tenant, contact, database, context)
