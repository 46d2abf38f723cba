"""A person at the console without a script: pages as they come, and forms as a browser sends them."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx

from tests.support.html_seen import Seen
from tests.support.no_tls import NO_TLS
from tests.support.people import PASSWORD

EMAIL: Final = "robin@example.org"
_CSRF: Final = re.compile(r'name="csrf" value="([^"]+)"')


class Desk(httpx.AsyncClient):
    """Somebody's browser; addresses are below the console."""

    async def sign_in(self, email: str = EMAIL, password: str = PASSWORD, *, wanted: str = "") -> httpx.Response:
        """Send the form of the sign-in page."""
        return await self.post("/console/sign-in", data={"email": email, "password": password, "next": wanted})

    async def page(self, path: str, status: int = 200) -> str:
        """The HTML of a page, which must be answered with that status."""
        answer = await self.get(f"/console{path}")
        assert answer.status_code == status, (answer.status_code, answer.headers.get("location"), answer.text)
        return answer.text

    async def submit(self, path: str, **fields: str) -> httpx.Response:
        """Send the form of a page, with what it hides."""
        found = _CSRF.search(await self.page(path))
        assert found is not None
        return await self.post(f"/console{path}", data={"csrf": found[1], **fields})


def words(html: str) -> str:
    """What a page says."""
    return " ".join(" ".join(Seen.of(html).words).split())


def links(html: str) -> list[str]:
    """Where a page's links lead."""
    return [given["href"] for tag, given in Seen.of(html).tags if tag == "a"]


@asynccontextmanager
async def desk(url: str) -> AsyncIterator[Desk]:
    """A fresh browser."""
    async with Desk(base_url=url, timeout=30, trust_env=False, verify=NO_TLS) as opened:
        yield opened
