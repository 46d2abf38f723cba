"""A fifth of the endpoints hang: how long the others' messages take from their acceptance to their arrival."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID

from aiohttp import web

from models.ids import Kind, parse
from models.session import Database
from models.vocabulary import Channel, State
from tests.support import scene as scenes
from tests.support.house import House
from tests.support.scene import Scene
from tests.support.waiting import wait_until

_ENDPOINTS: Final = 20
_EVERY_S: Final = 0.1
_SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Endpoints:
    """Servers, each on a port of its own; those in ``hanging`` keep what they are given without an answer."""

    ports: list[int] = field(default_factory=list)
    hanging: set[int] = field(default_factory=set)
    hang_s: float = 15.0
    arrived_at: dict[UUID, float] = field(default_factory=dict)
    in_hand: dict[int, int] = field(default_factory=dict)
    most_in_hand: dict[int, int] = field(default_factory=dict)

    def server(self) -> web.Server:
        """What answers on each port."""

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            port = int((request.host or "").rpartition(":")[2])
            message_id = parse(Kind.MESSAGE, request.headers["webhook-id"])
            assert message_id is not None
            await request.read()
            self.arrived_at.setdefault(message_id, time.monotonic())
            self.in_hand[port] = self.in_hand.get(port, 0) + 1
            self.most_in_hand[port] = max(self.most_in_hand.get(port, 0), self.in_hand[port])
            try:
                if port in self.hanging:
                    await asyncio.sleep(self.hang_s)
            finally:
                self.in_hand[port] -= 1
            return web.Response()

        return web.Server(answer)


@dataclass(frozen=True)
class Comparison:
    """The 99th percentile in seconds: normally, and while a fifth hang, of each stretch of the same length.

    ``most_in_hand``: by an endpoint that hung. ``failed``: messages given up.
    """

    normal: float
    hung: list[float]
    most_in_hand: int
    failed: int

    @property
    def median(self) -> float:
        """Of the stretches: what a busy machine does to one of them is not the endpoints' doing."""
        return sorted(self.hung)[len(self.hung) // 2]


async def compare(folder: Path, database: Database, redis_url: str, *, rounds: int, stretches: int) -> Comparison:
    """Let a house of one worker send to 20 endpoints, ten messages a second each, of which four begin to hang."""
    house = House(folder, database_url=str(database.engine.url), redis_url=redis_url, smtp_port=25)
    async with scenes.opened(folder, database, redis_url) as scene, running(_ENDPOINTS) as endpoints:
        try:
            house.start_worker()
            house.start_keeper()
            recipients = await contacts(scene, endpoints)
            await latencies(scene, endpoints, recipients, rounds=5)  # everything is warm
            normal = await latencies(scene, endpoints, recipients, rounds=rounds)
            endpoints.hanging = set(endpoints.ports[: _ENDPOINTS // 5])
            hung = [await latencies(scene, endpoints, recipients, rounds=rounds) for _ in range(stretches)]
            most = max(endpoints.most_in_hand[port] for port in endpoints.hanging)
            failed = sum(row.state is State.FAILED for row in await scene.rows())
        finally:
            await asyncio.to_thread(house.close)
    return Comparison(percentile(normal, 0.99), [percentile(each, 0.99) for each in hung], most, failed)


@contextlib.asynccontextmanager
async def running(count: int) -> AsyncIterator[Endpoints]:
    """So many endpoints of this event loop."""
    endpoints = Endpoints()
    runner = web.ServerRunner(endpoints.server(), handle_signals=False, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    for _ in range(count):
        await web.TCPSite(runner, "127.0.0.1", 0).start()
    endpoints.ports = [address[1] for address in runner.addresses]
    try:
        yield endpoints
    finally:
        await runner.cleanup()


async def contacts(scene: Scene, endpoints: Endpoints) -> Mapping[int, UUID]:
    """A contact for each endpoint."""
    return {
        port: await scene.contact(webhook_url=f"http://127.0.0.1:{port}/hook", webhook_secret=_SECRET)
        for port in endpoints.ports
    }


async def latencies(scene: Scene, endpoints: Endpoints, recipients: Mapping[int, UUID], *, rounds: int) -> list[float]:
    """Send to every endpoint in each round; seconds from acceptance to arrival, of those that do not hang.

    A round begins when its time has come, whatever became of the one before.
    """
    accepted_at: dict[UUID, float] = {}
    begin = time.monotonic()
    for number in range(rounds):
        await asyncio.sleep(max(0.0, begin + number * _EVERY_S - time.monotonic()))
        drafts = [scene.draft(contact, channel=Channel.WEBHOOK) for contact in recipients.values()]
        await scene.intake.submit_many(drafts)
        now = time.monotonic()
        accepted_at |= {
            draft.id: now for draft, port in zip(drafts, recipients, strict=True) if port not in endpoints.hanging
        }
    await wait_until(lambda: accepted_at.keys() <= endpoints.arrived_at.keys(), timeout=60)
    return [endpoints.arrived_at[each] - at for each, at in accepted_at.items()]


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of all does not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
