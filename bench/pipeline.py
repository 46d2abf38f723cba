"""Ours, timed: batches go in over HTTP; the clock stops when the sink has all and the database says so of all."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, NamedTuple
from uuid import UUID

import aiohttp
import msgspec

from bench import traffic
from bench.errors import BenchFailed
from bench.house import House
from bench.rows import Row
from bench.traffic import Recipient
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


class Run(NamedTuple):
    """One run. ``cpu_seconds``: of each group of processes; ``size``: bytes of content at the sink.

    ``others``: the share of the sending core's time that processes other than the worker had meanwhile.
    """

    seconds: float
    cpu_seconds: dict[str, float]
    size: int
    others: float


class _Item(msgspec.Struct):
    status: int


class _BatchReply(msgspec.Struct):
    data: list[_Item]


class Pipeline:
    """A workspace of the house with people to write to; see ``opened``."""

    def __init__(self, house: House, database: Database, workspace: UUID, session: aiohttp.ClientSession) -> None:
        self.house = house
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

    async def run(self, row: Row, count: int) -> Run:
        """Send ``count`` messages to as many people; raises BenchFailed unless each arrived exactly once."""
        sink = self.house.sinks[row.sink]
        await sink.reset()
        bodies = list(traffic.batches(row.channel, self._contacts[:count], _CHUNK))
        before = await self._number_of(row, row.done)
        cpu_before = self.house.cpu_seconds()
        core_before = self.house.sending_core_seconds()
        began = time.perf_counter()
        try:
            async with asyncio.timeout(max(_AT_LEAST_S, count / _SLOWEST)) as limit:
                await self._post_all(bodies)
                await sink.wait(count, (limit.when() or 0.0) - asyncio.get_running_loop().time())
                await self._recorded(row, before + count)
        except TimeoutError:
            raise BenchFailed(await self._why_not(row, count)) from None
        seconds = time.perf_counter() - began
        core = self.house.sending_core_seconds() - core_before
        cpu = {name: used - cpu_before[name] for name, used in self.house.cpu_seconds().items()}
        counted = await sink.require(count)
        return Run(seconds, cpu, counted.size, max(0.0, core - cpu["worker"]) / seconds)

    async def _post_all(self, bodies: Sequence[bytes]) -> None:
        for body in bodies:
            async with self._session.post("messages/batch", data=body) as answer:
                content = await answer.read()
                if answer.status != 200 or any(item.status != 200 for item in self._reply.decode(content).data):
                    raise BenchFailed(f"the API did not take a batch: {answer.status} {content[:500]!r}")

    async def _recorded(self, row: Row, number: int) -> None:
        """Return once so many messages have the row's status: only the database can tell, so it is asked."""
        while await self._number_of(row, row.done) < number:  # noqa: ASYNC110 - the event is in another process
            await asyncio.sleep(_POLL_S)

    async def _number_of(self, row: Row, status: Status) -> int:
        async with self._database.read() as connection:
            wanted = MessageFilter(channel=row.channel, status=status)
            return await message_views.count(connection, self._workspace, wanted)

    async def _why_not(self, row: Row, count: int) -> str:
        self.house.require_alive()
        numbers = {status.value: await self._number_of(row, status) for status in Status}
        found = ", ".join(f"{status} {number}" for status, number in numbers.items() if number)
        arrived = (await self.house.sinks[row.sink].count()).unique
        return f"{row.id}: of {count} messages {arrived} arrived in time; all in the database: {found}"


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
