"""Somebody who is signed in at the console, in a browser."""

from dataclasses import dataclass

from playwright.async_api import BrowserContext, Page

from tests.browser.visits import Visit
from tests.support.people import PASSWORD, person


@dataclass
class Desk:
    """An admin of a workspace, in which this and that may have happened."""

    url: str
    visit: Visit
    context: BrowserContext

    async def open(self, path: str = "") -> Page:
        """A new tab with a page of the workspace."""
        page = await self.context.new_page()
        await page.goto(self.url + path)
        return page


async def robin(visit: Visit) -> str:
    """The address of an admin of the workspace."""
    email = f"{visit.tenant.workspace}@example.org".replace("_", ".")
    await person(str(visit.database.engine.url), visit.tenant.workspace, email)
    return email


async def desk_of(visit: Visit) -> Desk:
    """Robin, signed in."""
    answer = await visit.context.request.post(
        f"{visit.api.url}/console/sign-in",
        form={"email": await robin(visit), "password": PASSWORD},
        max_redirects=0,
    )
    assert answer.status == 303
    return Desk(f"{visit.api.url}/console/{visit.tenant.workspace}", visit, visit.context)
