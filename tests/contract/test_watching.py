"""The keeper's watch over the workers, on both databases, while nothing can be written."""

import asyncio
from uuid import UUID

from sqlalchemy import select, text, update

from models.store import workers
from models.tables import workers as worker_rows
from tests.support.scene import Scene
from worker.keeper import Keeper

WORKER = UUID(int=1)
_LOOK_S = 1.0


async def test_who_cannot_renew_because_nothing_can_be_written_is_not_watched(scene: Scene) -> None:
    async with scene.database.write() as connection:
        await workers.register(connection, WORKER, "here", 1)
        await connection.execute(update(worker_rows).values(renewed_at=1))
    keeper = Keeper(scene.database, scene.wakeups)
    async with scene.database.write() as connection:
        if not scene.database.is_sqlite:  # there any writer holds up the others
            await connection.execute(text("LOCK TABLE workers IN SHARE MODE"))
        watching = asyncio.create_task(keeper.rescue())
        _, waits = await asyncio.wait({watching}, timeout=_LOOK_S)
        assert waits
    await watching
    await keeper.rescue()
    async with scene.database.read() as connection:
        assert await connection.scalar(select(worker_rows.c.dead_at)) is None
