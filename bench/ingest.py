"""What providers report, timed: requests of 1,000 events come in by a hook; the clock stops when all are applied.

Against it stands a bare client that inserts the same rows, 1,000 at a time, in the form that SQL has for it and in a
stronger one that only PostgreSQL knows. Then the same requests come once more.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import aiohttp

from bench.errors import BenchFailed
from bench.floors.insert_loop import Form, InsertTask
from bench.house import House
from bench.results import Measured, Rival, RowResult, summarise
from bench.stage import Stage
from channels import standard_webhooks
from models import ids, timestamps
from models.ids import Kind
from models.session import Database
from models.store import event_views, message_views
from models.store.event_views import EventFilter
from models.store.message_views import MessageFilter
from models.vocabulary import Channel, Status
from wireroom import accounts

INSERT: Final = "ingest/insert"
UNNEST: Final = "ingest/unnest"
DUPLICATES: Final = "ingest duplicates/new"
IDS: Final = (INSERT, UNNEST, DUPLICATES)
FLOOR: Final = "bench.floors.insert_loop"
EVENTS: Final = "events/s"
_AT_ONCE: Final = 1_000
_TYPES: Final = ("delivered", "opened", "clicked", "opened")
"""What each message's reader does; requests come in this order, as all of a campaign's do."""
_CLIENTS: Final = 4
"""Requests under way at once, as providers send theirs, and as many connections of the bare client."""
_A_MESSAGE: Final = 2
"""Reports on a message of the bench's size: so many that those under way at once are about different messages."""
_WARM_UP: Final = 4 * _CLIENTS * _AT_ONCE
"""The bare client's connections are open and its statements are prepared before the clock: so are the API's then."""
_SENT_S: Final = 120.0
_TAKEN_S: Final = 120.0
_POLL_S: Final = 0.01
_WORKING: Final = ("api", "worker", "database")

Floor = Callable[[str, InsertTask], Any]
"""Runs a bare loop by its module and its task."""


class Ingest:
    """A workspace of the house with a hook; see ``opened``."""

    def __init__(self, house: House, database: Database, workspace: UUID, session: aiohttp.ClientSession) -> None:
        self._house = house
        self._database = database
        self._workspace = workspace
        self._session = session
        self._hook: dict[str, Any] = {}
        self._contact = ""
        self._posted = 0

    async def begin(self) -> None:
        """Make the hook, and somebody to write to."""
        self._hook = await self._post("hooks", {"provider": "generic"})
        self._contact = (await self._post("contacts", {"email": "ann@example.org"}))["id"]

    async def compare(self, floor: Floor, *, pairs: int, events: int, say: Callable[[str], None]) -> list[RowResult]:
        """All rows, of ``pairs`` times ``events``; raises BenchFailed."""
        new: list[Measured] = []
        again: list[Measured] = []
        bare: dict[Form, list[Measured]] = {form: [] for form in Form}
        say("warming up")
        await self._take(await self._requests(_WARM_UP), is_new=True)
        for number in range(pairs):
            say(f"pair {number + 1} of {pairs}, the hook")
            requests = await self._requests(events)
            new.append(await self._take(requests, is_new=True))
            again.append(await self._take(requests, is_new=False))
            say(f"pair {number + 1} of {pairs}, the bare loop")
            for form, runs in bare.items():
                runs.append(await self._insert(floor, self._count(requests), form))
        return [
            summarise(INSERT, new, bare[Form.VALUES], Rival("a multi-row insert"), working=_WORKING, unit=EVENTS),
            summarise(UNNEST, new, bare[Form.ARRAYS], Rival("an insert by arrays"), working=_WORKING, unit=EVENTS),
            summarise(DUPLICATES, again, new, Rival("the first time", _WORKING), working=_WORKING, unit=EVENTS),
        ]

    @staticmethod
    def _count(requests: Sequence[bytes]) -> int:
        return len(requests) * _AT_ONCE

    async def _insert(self, floor: Floor, rows: int, form: Form) -> Measured:
        before = self._house.cpu_seconds()["database"]
        done = await floor(FLOOR, InsertTask(self._house.settings["WIREROOM_DATABASE_URL"], rows, form, _CLIENTS))
        used = {"bare loop": done.cpu_seconds, "database": self._house.cpu_seconds()["database"] - before}
        return Measured(rows, done.seconds, used, 0)

    async def _requests(self, events: int) -> list[bytes]:
        """Bodies that report on messages sent just now, each request on as many as it has events."""
        messages = await self._send(max(_AT_ONCE, events // len(_TYPES) // _AT_ONCE * _AT_ONCE))
        now = int(time.time() * 1000)
        found: list[bytes] = []
        for step, kind in enumerate(_TYPES):
            for start in range(0, len(messages), _AT_ONCE):
                chunk = messages[start : start + _AT_ONCE]
                body = [
                    {"id": f"{shown}-{step}", "type": kind, "messageId": shown, "at": timestamps.show(now + place)}
                    for place, shown in enumerate(chunk)
                ]
                found.append(json.dumps({"events": body}).encode())
        return found

    async def _send(self, count: int) -> list[str]:
        """The ids of so many mails, once all are sent."""
        item = {"contactId": self._contact, "channel": Channel.EMAIL, "subject": "Hello", "body": "Good morning"}
        shown: list[str] = []
        for start in range(0, count, _AT_ONCE):
            answer = await self._post("messages/batch", [item] * min(_AT_ONCE, count - start))
            shown += [entry["message"]["id"] for entry in answer["data"]]
        give_up_at = time.monotonic() + _SENT_S
        while await self._number_sent() < count:
            if time.monotonic() > give_up_at:
                raise BenchFailed(f"of {count} messages not all were sent in time")
            await asyncio.sleep(_POLL_S)
        return shown

    async def _number_sent(self) -> int:
        async with self._database.read() as connection:
            return await message_views.count(connection, self._workspace, MessageFilter(status=Status.SENT))

    async def _take(self, requests: Sequence[bytes], *, is_new: bool) -> Measured:
        """Post them, several at a time; until every event is matched, and with that applied."""
        count = self._count(requests)
        known = await self._number(matched=True)
        expected = known + (count if is_new else 0)
        signed = [(body, self._signed(body)) for body in requests]
        waiting = iter(signed)
        with self._house.api_on_the_sending_core():
            cpu_before = self._house.cpu_seconds()
            began = time.perf_counter()
            try:
                async with asyncio.timeout(_TAKEN_S):
                    await asyncio.gather(*(self._post_all(waiting, is_new=is_new) for _ in range(_CLIENTS)))
                    # Asked of those that wait alone: to count all that ever came takes longer with each pair.
                    while await self._number(matched=False):  # noqa: ASYNC110 - the event is in another process
                        await asyncio.sleep(_POLL_S)
            except TimeoutError:
                raise BenchFailed(f"of {count} events not all were applied in time") from None
            seconds = time.perf_counter() - began
            used = self._house.cpu_seconds()
        if (applied := await self._number(matched=True)) != expected:
            raise BenchFailed(f"{applied} events are applied, not {expected}")
        cpu = {name: used[name] - cpu_before[name] for name in _WORKING}
        return Measured(count, seconds, cpu, sum(map(len, requests)))

    async def _post_all(self, waiting: Any, *, is_new: bool) -> None:
        for body, headers in waiting:
            async with self._session.post(self._hook["url"], data=body, headers=headers) as answer:
                content = await answer.read()
            told = json.loads(content) if answer.status == 200 else {}
            if told.get("stored" if is_new else "repeated") != _AT_ONCE:
                raise BenchFailed(f"the API did not take a request: {answer.status} {content[:500]!r}")

    def _signed(self, body: bytes) -> dict[str, str]:
        self._posted += 1
        delivery, now = f"bench-{self._posted}", int(time.time())
        key = self._hook["signingKey"]
        return {
            "Content-Type": "application/json",
            standard_webhooks.ID_HEADER: delivery,
            standard_webhooks.TIMESTAMP_HEADER: str(now),
            standard_webhooks.SIGNATURE_HEADER: standard_webhooks.sign(
                [key], message_id=delivery, timestamp=now, body=body
            ),
        }

    async def _number(self, *, matched: bool) -> int:
        """How many of the hook's events are matched, and with that applied, or wait to be."""
        wanted = EventFilter(source_id=ids.parse(Kind.HOOK, self._hook["id"]), matched=matched)
        async with self._database.read() as connection:
            _, total = await event_views.page(connection, self._workspace, wanted, limit=1, offset=0)
        return total

    async def _post(self, path: str, body: Any) -> Any:
        async with self._session.post(path, json=body) as answer:
            if not answer.ok:
                raise BenchFailed(f"the API refused {path}: {answer.status} {await answer.text()}")
            return await answer.json()


@asynccontextmanager
async def opened(house: House) -> AsyncIterator[Ingest]:
    """A fresh workspace of a house that is ready."""
    url = house.settings["WIREROOM_DATABASE_URL"]
    shown = await accounts.create_workspace(url, "bench of reports")
    _, token = await accounts.create_token(url, shown, scopes=accounts.DEFAULT_SCOPES, expires_at=None)
    workspace = ids.parse(Kind.WORKSPACE, shown)
    if workspace is None:
        raise BenchFailed(f"{shown} is no workspace id")
    database = Database.connect(url, pool_size=1)
    headers = {"Authorization": f"Bearer {token}"}
    try:
        async with aiohttp.ClientSession(f"{house.url}/api/workspaces/{shown}/", headers=headers) as session:
            ingest = Ingest(house, database, workspace, session)
            await ingest.begin()
            yield ingest
    finally:
        await database.close()


async def measure(stage: Stage) -> list[RowResult]:
    """All rows of what comes in; raises BenchFailed."""
    async with opened(stage.house) as hook:
        events = _A_MESSAGE * stage.size.messages
        return await hook.compare(stage.bare, pairs=stage.size.pairs, events=events, say=stage.say)
