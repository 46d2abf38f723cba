"""What the readers have in hand: service workers that report what was done with a push, pages that show an inbox."""

import asyncio
import contextlib
import heapq
import itertools
import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from models.vocabulary import Channel, Status
from wireroom.demo_scene import Scene

_TICK_S: Final = 0.1
_PAUSE_S: Final = (0.3, 0.9)
_RETRY_S: Final = 0.5
_PAGE: Final = 200
_BEFORE: Final = frozenset({Status.QUEUED, Status.SENDING})

_BEACONS: Final[Mapping[Status, tuple[str, ...]]] = {
    Status.OPENED: ("opened", "closed"),
    Status.CLICKED: ("opened", "clicked"),
}
"""What ``/sw.js`` reports of a notification that ends there."""
_ACTS: Final[Mapping[Status, tuple[str, ...]]] = {Status.OPENED: ("read",), Status.CLICKED: ("read", "click")}
"""What ``/widget.js`` asks for, for an item that ends there."""


@dataclass(frozen=True, slots=True)
class _Report:
    """A request to Wireroom."""

    path: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Devices:
    """Watches pushes and inboxes, and does with each message, a moment later, what leads to its ending."""

    def __init__(self, scene: Scene, url: str) -> None:
        self._scene = scene
        self._url = url
        self._tokens: dict[str, str] = {}
        self._pushes_seen: set[int] = set()
        self._items_seen: set[str] = set()
        self._due: list[tuple[float, int, _Report]] = []
        self._numbers = itertools.count()
        self._random = random.Random(11)  # noqa: S311 - how long a reader dawdles is no secret

    async def run(self) -> None:
        """Read and report until cancelled."""
        async with httpx.AsyncClient(base_url=self._url, trust_env=False) as http:
            while True:
                self._show_pushes()
                await self._show_items(http)
                await self._report(http)
                await asyncio.sleep(_TICK_S)

    def _show_pushes(self) -> None:
        for number, push in enumerate(self._scene.sinks.arrivals.pushes):
            ending = self._scene.ending(str(push.payload.get("messageId")))
            if number in self._pushes_seen or ending is None:
                continue
            self._pushes_seen.add(number)
            wanted = push.payload.get("report", ())
            reports = [
                _Report(push.payload["beacon"], json.dumps({"type": kind}).encode(), {"Content-Type": "text/plain"})
                for kind in _BEACONS.get(ending, ())
                if kind in wanted
            ]
            self._plan(reports)

    async def _show_items(self, http: httpx.AsyncClient) -> None:
        """Open the page of everybody whose inbox has an item that was not shown yet."""
        names = {
            row.to
            for row in self._scene.board.rows.values()
            if row.channel is Channel.ONSITE
            and row.status not in _BEFORE
            and row.message_id not in self._items_seen
            and self._scene.ending(row.message_id) is not None
        }
        for name in sorted(names):
            headers = {"Authorization": f"Bearer {await self._token(name)}"}
            with contextlib.suppress(httpx.HTTPError):  # the next round asks again
                answer = await http.get("/inbox", params={"limit": _PAGE}, headers=headers)
                self._take(answer.raise_for_status().json()["items"], headers)

    def _take(self, items: list[dict[str, Any]], headers: dict[str, str]) -> None:
        fresh = [item for item in items if item["id"] not in self._items_seen]
        for item in fresh:
            ending = self._scene.ending(item["id"])
            if ending is None:
                continue
            self._items_seen.add(item["id"])
            self._scene.sinks.arrivals.items.append(item)
            acts = _ACTS.get(ending, ())
            self._plan([_Report(f"/inbox/{item['id']}/{act}", headers=headers) for act in acts])

    async def _token(self, name: str) -> str:
        """The one with which the contact's page reads the inbox."""
        if name not in self._tokens:
            answer = await self._scene.client.post(f"/contacts/{self._scene.contacts[name]}/inbox-token", {})
            self._tokens[name] = str(answer["token"])
        return self._tokens[name]

    def _plan(self, reports: list[_Report]) -> None:
        at = time.monotonic()
        for report in reports:
            at += self._random.uniform(*_PAUSE_S)
            heapq.heappush(self._due, (at, next(self._numbers), report))

    async def _report(self, http: httpx.AsyncClient) -> None:
        """Post what is due; what is not answered 2xx is posted again."""
        while self._due and self._due[0][0] <= time.monotonic():
            _, number, report = heapq.heappop(self._due)
            try:
                accepted = (await http.post(report.path, content=report.body, headers=report.headers)).is_success
            except httpx.HTTPError:
                accepted = False
            if not accepted:
                heapq.heappush(self._due, (time.monotonic() + _RETRY_S, number, report))
