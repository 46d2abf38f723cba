"""A worker whose master is gone ends by itself, whenever that died: nobody else would stop or restart it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from models.session import Database
from tests.support.broker import ValkeyServer
from tests.support.house import House
from tests.support.long_transactions import STANDS_STILL
from tests.support.waiting import wait_until


@pytest.fixture
async def house(tmp_path: Path, database_url: str, valkey: ValkeyServer) -> AsyncIterator[House]:
    house = House(tmp_path, database_url=database_url, redis_url=valkey.url, smtp_port=25)
    yield house
    await asyncio.to_thread(house.close)


@asynccontextmanager
async def no_leases(database: Database) -> AsyncIterator[None]:
    """Nobody gets a lease meanwhile, however quickly it starts."""
    async with database.write() as connection:
        if not database.is_sqlite:  # there any writer holds up the others
            await connection.execute(STANDS_STILL)
            await connection.execute(text("LOCK TABLE workers IN SHARE MODE"))
        yield


@pytest.mark.parametrize("is_started", [True, False], ids=["while it serves", "before it has a lease"])
async def test_a_worker_ends_after_its_master(house: House, database: Database, is_started: bool) -> None:
    async with AsyncExitStack() as held:
        if not is_started:
            await held.enter_async_context(no_leases(database))
        master = psutil.Process(house.start_worker().pid)
        (child,) = await wait_until(master.children)
        if is_started:
            await wait_until(lambda: "worker.serves" in house.log("worker"))
        master.kill()
        assert ("worker.started" in house.log("worker")) == is_started
    await wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, timeout=30)
