"""Ours, timed: batches go in over HTTP; the clock stops when the sink has all and the database says so of all."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

import aiohttp
import msgspec

from bench import traffic
from bench.errors import BenchFailed
from bench.floors import raw
from bench.house import House
from bench.results import Measured
from bench.traffic import Recipient
from bench.ways import Way
from models import ids
from models.ids import Kind
from models.secrets import load_keyring
from models.session import Database
from models.settings import StorageSettings
from models.store import contacts, message_views
from models.store.message_views import MessageFilter
from models.vocabulary import Status
from wireroom import accounts

_CHUNK: Final = 500
_POLL_S: Final = 0.01
_SLOWEST: Final = 50
"""Messages per second: what is slower than that is broken, not slow."""
_AT_LEAST_S: Final = 30.0


Intake = Callable[[], Awaitable[None]]
"""Puts the messages of one run in."""


class _Item(msgspec.Struct):
    status: int


class _BatchReply(msgspec.Struct):
    data: list[_Item]


class Pipeline:
    """A workspace of the house with people to write to; see ``opened``."""

    def __init__(self, house: House, database: Database, workspace: UUID, session: aiohttp.ClientSession) -> None:
        self.house = house
        self.shown = ids.show(Kind.WORKSPACE, workspace)
        self._database = database
        self._workspace = workspace
        self._session = session
        self._contacts: list[str] = []
        self._reply = msgspec.json.Decoder(_BatchReply)

    async def add_contacts(self, count: int) -> None:
        """``count`` people, each with a mail address, a webhook address and a secret; straight into the store."""
        keyring = await load_keyring(self._database, StorageSettings.read(self.house.settings))
        port = self.house.sinks["http"].port
        async with self._database.write() as connection:
            for recipient in map(Recipient, range(count)):
                values = {
                    "email": recipient.address,
                    "first_name": recipient.first_name,
                    "webhook_url": recipient.webhook_url(port),
                    "webhook_secret": keyring.seal(traffic.SECRET.encode(), "webhook-secret"),
                }
                row = await contacts.create(connection, self._workspace, values)
                if row is None:
                    raise BenchFailed("a contact without external id was taken for another")
                self._contacts.append(ids.show(Kind.CONTACT, row.id))

    def batches(self, way: Way, count: int, clients: int = 1) -> Intake:
        """Messages to ``count`` people, in batches, from so many clients at once."""
        waiting = iter(list(traffic.batches(way.channel, self._contacts[:count], _CHUNK)))

        async def post() -> None:
            await asyncio.gather(*(self._post_all(waiting) for _ in range(clients)))

        return post

    def singles(self, way: Way, count: int, clients: int) -> Intake:
        """The same, a request for each message, from so many clients that wait for nothing but their answers."""
        waiting = iter(self.single_requests(way, count))

        async def post() -> None:
            await raw.write_all(self.house.port, [raw.one_by_one(waiting) for _ in range(clients)], raw.ACCEPTED)

        return post

    def single_requests(self, way: Way, count: int) -> list[bytes]:
        """A whole request for each of so many messages."""
        head = (
            f"POST /api/workspaces/{self.shown}/messages HTTP/1.1",
            f"Host: {self.house.place}",
            f"Authorization: {self._session.headers['Authorization']}",
            "Content-Type: application/json",
        )
        return traffic.singles(way.channel, self._contacts[:count], "\r\n".join(head))

    async def run(self, way: Way, count: int, intake: Intake | None = None) -> Measured:
        """Send ``count`` messages to as many people; raises BenchFailed unless each arrived exactly once.

        They go in by ``intake``; by default in batches.
        """
        sink = self.house.sinks[way.sink]
        await sink.reset()
        intake = intake or self.batches(way, count)
        before = await self._number_of(way, way.done)
        cpu_before = self.house.cpu_seconds()
        core_before = self.house.sending_core_seconds()
        began = time.perf_counter()
        try:
            async with asyncio.timeout(max(_AT_LEAST_S, count / _SLOWEST)) as limit:
                await intake()
                await sink.wait(count, (limit.when() or 0.0) - asyncio.get_running_loop().time())
                await self._recorded(way, before + count)
        except TimeoutError:
            raise BenchFailed(await self._why_not(way, count)) from None
        seconds = time.perf_counter() - began
        core = self.house.sending_core_seconds() - core_before
        cpu = {name: used - cpu_before[name] for name, used in self.house.cpu_seconds().items()}
        counted = await sink.require(count)
        return Measured(count, seconds, cpu, counted.size, max(0.0, core - cpu["worker"]) / seconds)

    async def take_in(self, count: int, intake: Intake) -> Measured:
        """Only take messages in, with nobody to send them; until the last answer. Raises BenchFailed."""
        cpu_before = self.house.cpu_seconds()
        began = time.perf_counter()
        try:
            async with asyncio.timeout(max(_AT_LEAST_S, count / _SLOWEST)):
                await intake()
        except TimeoutError:
            raise BenchFailed(f"the API did not take {count} messages in time") from None
        seconds = time.perf_counter() - began
        cpu = {name: used - cpu_before[name] for name, used in self.house.cpu_seconds().items()}
        return Measured(count, seconds, cpu, 0)

    async def drained(self, way: Way) -> None:
        """Return once nothing waits of what was only taken in; raises BenchFailed."""
        waiting = await self._number_waiting(way)
        try:
            async with asyncio.timeout(max(_AT_LEAST_S, waiting / _SLOWEST)):
                while await self._number_waiting(way):  # noqa: ASYNC110 - as below
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise BenchFailed(await self._why_not(way, waiting)) from None

    async def _post_all(self, bodies: Iterator[bytes]) -> None:
        for body in bodies:
            async with self._session.post("messages/batch", data=body) as answer:
                content = await answer.read()
                if answer.status != 200 or any(item.status != 200 for item in self._reply.decode(content).data):
                    raise BenchFailed(f"the API did not take a batch: {answer.status} {content[:500]!r}")

    async def _recorded(self, way: Way, number: int) -> None:
        """Return once so many messages have the final status: only the database can tell, so it is asked."""
        while await self._number_of(way, way.done) < number:  # noqa: ASYNC110 - the event is in another process
            await asyncio.sleep(_POLL_S)

    async def _number_waiting(self, way: Way) -> int:
        return await self._number_of(way, Status.QUEUED) + await self._number_of(way, Status.SENDING)

    async def _number_of(self, way: Way, status: Status) -> int:
        async with self._database.read() as connection:
            wanted = MessageFilter(channel=way.channel, status=status)
            return await message_views.count(connection, self._workspace, wanted)

    async def _why_not(self, way: Way, count: int) -> str:
        self.house.require_alive()
        numbers = {status.value: await self._number_of(way, status) for status in Status}
        found = ", ".join(f"{status} {number}" for status, number in numbers.items() if number)
        arrived = (await self.house.sinks[way.sink].count()).unique
        return f"{way.channel}: of {count} messages {arrived} arrived in time; all in the database: {found}"


@asynccontextmanager
async def opened(house: House) -> AsyncIterator[Pipeline]:
    """A fresh workspace of a house that is ready."""
    url = house.settings["WIREROOM_DATABASE_URL"]
    shown = await accounts.create_workspace(url, "bench")
    _, token = await accounts.create_token(url, shown, scopes=accounts.DEFAULT_SCOPES, expires_at=None)
    workspace = ids.parse(Kind.WORKSPACE, shown)
    if workspace is None:
        raise BenchFailed(f"{shown} is no workspace id")
    database = Database.connect(url, pool_size=1)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"}
    base = f"{house.url}/api/workspaces/{shown}/"
    try:
        async with aiohttp.ClientSession(base, headers=headers) as session:
            yield Pipeline(house, database, workspace, session)
    finally:
        await database.close()
