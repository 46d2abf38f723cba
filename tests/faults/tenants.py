"""Workspaces beside the rig's own, each with people to write to, whose arrivals can be told from the others'."""

import contextlib
import itertools
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Final

from models.vocabulary import Channel, Lane
from tests.faults.rig import Rig
from tests.support import http_sink
from tests.support.api_process import Line
from wireroom import accounts

_AT_ONCE: Final = 200
"""A larger batch would keep this process, which is the sinks' too, from looking at its clock."""

_ENDPOINTS: Final = 8
"""As many as can have all slots together: what one endpoint may take at once is not what is tried with tenants."""


class Tenant:
    """A workspace. ``mark``: the token that all of its bulk bears, so that a million of it share one text."""

    def __init__(self, house: Rig, name: str, workspace: str, key: str) -> None:
        self.house = house
        self.mark = f"{name}{secrets.token_hex(6)}"[:12]
        self._path = f"/api/workspaces/{workspace}"
        self._line = Line(house.stack.api.port, key)
        self._contacts: Iterator[str] = iter(())
        self._campaigns: list[str] = []

    async def move_in(self, webhook_urls: Iterable[str]) -> None:
        """Its people, one an address."""
        contacts = []
        for number, url in enumerate(webhook_urls):
            body = {"email": f"{self.mark}.{number}@example.org", "webhookUrl": url}
            answer = await self._line.post(f"{self._path}/contacts", body)
            assert answer.status == 201, answer
            contacts.append(answer.body["id"])
        self._contacts = itertools.cycle(contacts)

    async def leave(self) -> None:
        """Hang up."""
        await self._line.close()

    async def bulk(self, channel: Channel, count: int, lane: Lane = Lane.BULK, *, at_once: int = _AT_ONCE) -> None:
        """Send ``count`` messages with one text, to all in turn, as a campaign in batches of ``at_once``."""
        made = await self._line.post(f"{self._path}/campaigns", {"name": secrets.token_hex(6)})
        assert made.status == 201, made
        self._campaigns.append(made.body["id"])
        item = {"channel": channel.value, "lane": lane.value, "campaignId": made.body["id"]}
        item |= {"subject": f"token-{self.mark}", "body": f"token-{self.mark}"}
        while count > 0:
            items = [item | {"contactId": next(self._contacts)} for _ in range(min(count, at_once))]
            answer = await self._line.post(f"{self._path}/messages/batch", items)
            assert answer.status == 200, answer
            assert all(each["status"] == 200 for each in answer.body["data"]), answer.body["data"][0]
            count -= at_once

    async def call_off(self) -> None:
        """Cancel what has not been sent of its bulk."""
        for campaign in self._campaigns:
            answer = await self._line.post(f"{self._path}/campaigns/{campaign}/cancel", {})
            assert answer.status == 200, answer
        self._campaigns.clear()

    async def send(self, channel: Channel) -> tuple[str, float]:
        """Send one transactional message; its token, and when it was answered (seconds, monotonic)."""
        token = secrets.token_hex(6)
        body = {"contactId": next(self._contacts), "channel": channel.value, "subject": "one", "body": f"token-{token}"}
        answer = await self._line.post(f"{self._path}/messages", body)
        assert answer.status == 200, answer
        answered_at = time.monotonic()
        self.house.promises.posted.add(token)
        self.house.promises.accepted[channel][token] = answer.body["id"]
        return token, answered_at

    def arrivals(self, channel: Channel) -> list[float]:
        """When its bulk arrived (seconds, monotonic), in order."""
        return self.house.ledger.arrivals[channel].get(self.mark, [])


@contextlib.asynccontextmanager
async def moved_in(house: Rig, database_url: str, *names: str) -> AsyncIterator[list[Tenant]]:
    """Workspaces with letters for names, each with endpoints of its own: no two share one's limits."""
    async with contextlib.AsyncExitStack() as stack:
        found = []
        for name in names:
            sinks = [await stack.enter_async_context(http_sink.running()) for _ in range(_ENDPOINTS)]
            for sink in sinks:
                sink.requests = house.sinks.web.requests
            workspace = await accounts.create_workspace(database_url, name)
            scopes = accounts.DEFAULT_SCOPES
            _, key = await accounts.create_token(database_url, workspace, scopes=scopes, expires_at=None)
            tenant = Tenant(house, name, workspace, key)
            stack.push_async_callback(tenant.leave)
            await tenant.move_in(sink.url(f"/{name}") for sink in sinks)
            found.append(tenant)
        yield found
