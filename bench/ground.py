"""What all sides stand on, ours and others': the servers, the sinks and the cores of one bench."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from bench import pipeline
from bench.house import House, Servers, settings_for
from bench.machine import Cores
from bench.pipeline import Pipeline
from bench.postgres import Postgres
from bench.processes import Children
from bench.sinks.remote import Sink
from models import migrate
from wireroom.embedded import EmbeddedBroker


class Ground(NamedTuple):
    """``folder`` is the bench's own and goes with it; ``cache`` has the libraries of peers and stays."""

    children: Children
    cores: Cores
    postgres: Postgres
    sinks: Mapping[str, Sink]
    cache: Path

    @property
    def folder(self) -> Path:
        """Where everything is that the bench makes."""
        return self.children.folder


@asynccontextmanager
async def opened(ground: Ground, name: str, url: str | None, people: int) -> AsyncIterator[Pipeline]:
    """An installation with so many people to write to, on a broker of its own; raises BenchFailed.

    ``url``: its PostgreSQL database, where there is none yet; None: it stores in SQLite.
    """
    folder = ground.folder / name
    folder.mkdir(mode=0o700)
    with EmbeddedBroker(folder) as broker:
        database = url or f"sqlite:///{folder / 'wireroom.db'}"
        await asyncio.to_thread(migrate.upgrade, database)
        servers = Servers(
            database=None if url is None else ground.postgres.process.pid, broker=broker.pid or 0, sinks=ground.sinks
        )
        settings = settings_for(
            folder, database_url=database, redis_url=broker.url, smtp_port=ground.sinks["smtp"].port
        )
        house = House(ground.children, ground.cores, servers, settings)
        try:
            await house.wait_ready()
            async with pipeline.opened(house) as ready:
                await ready.add_contacts(people)
                yield ready
        finally:
            house.close()
