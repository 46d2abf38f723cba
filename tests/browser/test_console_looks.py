"""Every page of the console in a real browser, on a phone and a desk, by day and night: it fits and can be read."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from models.session import Database
from tests.browser.console_scenes import Scene, Stage, stage
from tests.browser.looks import VIEWS, View, faults_of, tour
from tests.support.api import Api
from tests.support.api_process import ApiProcess
from tests.support.browser import needs_chromium

pytestmark = [needs_chromium, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)]


@pytest_asyncio.fixture(loop_scope="session")
async def console(shared_server: ApiProcess, database: Database, browser: Browser) -> AsyncIterator[Stage]:
    """Every page, and who sees it."""
    api = Api(f"http://127.0.0.1:{shared_server.port}", str(database.engine.url))
    async with stage(api, database, browser) as made:
        yield made
    await api.close()


async def test_every_page_fits_and_can_be_read(console: Stage, shared_server: ApiProcess) -> None:
    found: list[str] = []
    seen: list[tuple[str, View]] = []

    async def look(scene: Scene, page: Page, view: View) -> None:
        seen.append((scene.name, view))
        found.extend(f"{scene.name} at {view.width}, {view.scheme}: {each}" for each in await faults_of(page, view))

    watches = await tour(console, look)
    assert found == []
    assert len(set(seen)) == len(seen) == len(console.scenes) * len(VIEWS)
    assert [watch.faults for watch in watches if watch.faults] == []
    assert {host for watch in watches for host in watch.hosts} == {f"http://127.0.0.1:{shared_server.port}"}
