"""People who sign in: accounts made by the command's own functions, and a browser that keeps cookies."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from models.vocabulary import Role
from tests.support.no_tls import NO_TLS
from wireroom import user_accounts

PASSWORD = "three quiet otters waltz"


class Browser(httpx.AsyncClient):
    """A person's browser; ``who`` is what signing in answered."""

    who: dict[str, Any]

    async def sign_in(self, email: str, password: str = PASSWORD, **headers: str) -> httpx.Response:
        """Sign in; from now on every request carries the CSRF token."""
        answer = await self.post("/api/auth/sign-in", json={"email": email, "password": password}, headers=headers)
        if answer.status_code == 200:
            self.who = answer.json()
            self.headers["X-CSRF-Token"] = self.who["csrfToken"]
        return answer


@asynccontextmanager
async def browser(url: str) -> AsyncIterator[Browser]:
    """A fresh browser."""
    async with Browser(base_url=url, timeout=30, trust_env=False, verify=NO_TLS) as opened:
        yield opened


async def person(database_url: str, workspace: str, email: str = "robin@example.org", role: Role = Role.ADMIN) -> str:
    """The id of a new person in a workspace, whose password is ``PASSWORD``."""
    return await user_accounts.create(database_url, email, workspace, role, PASSWORD)
