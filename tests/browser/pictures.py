"""Pictures of the console's pages: those of docs/console.md, or every page in every view.

``python -m tests.browser.pictures`` makes the first anew; with ``--all FOLDER`` the others are put there.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from playwright.async_api import Page
from sqlalchemy import update

from models import ids, migrate
from models.ids import Kind
from models.session import Database
from models.tables import workspaces
from tests.browser.console_scenes import Scene, Stage, stage
from tests.browser.looks import View, tour
from tests.support import broker
from tests.support.api import Api
from tests.support.api_process import api_process
from tests.support.browser import CHROMIUM, chromium

_DOCS: Final = Path(__file__).parents[2] / "docs" / "console"
_SHOWN: Final = {
    "overview": View(1440, "light"),
    "message": View(1440, "dark"),
    "campaign": View(1440, "light"),
    "messages": View(390, "light"),
}
_PAINTED: Final = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
"""A window whose size was changed is drawn whole in the frame after the next."""


@asynccontextmanager
async def _staged(folder: Path) -> AsyncIterator[Stage]:
    """A server and a browser of their own."""
    url = f"sqlite:///{folder}/wireroom.db"
    await asyncio.to_thread(migrate.upgrade, url)
    database = Database.connect(url)
    with broker.running() as valkey:
        async with api_process(folder, url, valkey.url) as server, chromium() as browser:
            api = Api(f"http://127.0.0.1:{server.port}", url)
            async with stage(api, database, browser) as made:
                async with database.write() as connection:
                    own = workspaces.c.id == ids.parse(Kind.WORKSPACE, made.workspace)
                    await connection.execute(update(workspaces).where(own).values(name="Acme"))
                yield made
            await api.close()
    await database.close()


async def _for_docs(made: Stage) -> None:
    """The top of each page, as a window shows it."""

    async def take(scene: Scene, page: Page, view: View) -> None:
        if _SHOWN[scene.name] == view:
            await page.screenshot(path=_DOCS / f"{scene.name}.png")

    await tour(made, take, only=_SHOWN)


async def _all(made: Stage, folder: Path, only: Sequence[str]) -> None:
    """Each page from top to bottom; where ``only`` some are named, those."""

    async def take(scene: Scene, page: Page, view: View) -> None:
        await page.evaluate(_PAINTED)
        await page.screenshot(path=folder / f"{scene.name}-{view.width}-{view.scheme}.png", full_page=True)

    await tour(made, take, only=only)


async def _main(folder: Path | None, only: Sequence[str]) -> None:
    work = Path(tempfile.mkdtemp())
    try:
        async with _staged(work) as made:
            await (_for_docs(made) if folder is None else _all(made, folder, only))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def main(arguments: Sequence[str]) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", metavar="FOLDER", type=Path, help="every page, at every width, light and dark")
    parser.add_argument("--only", metavar="PAGE", nargs="+", default=[], help="of all, these")
    given = parser.parse_args(arguments)
    if given.only and given.all is None:
        parser.error("--only wants --all FOLDER")
    if CHROMIUM is None:
        sys.stderr.write("no Chromium: sh tools/peers.sh installs one\n")
        return 1
    asyncio.run(_main(given.all, given.only))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
