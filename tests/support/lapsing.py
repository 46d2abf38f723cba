"""Leases of processes that are known to be dead may lapse at once, where the wait for that is not what is tried."""

from collections.abc import Collection

from sqlalchemy import update

from models.session import Database
from models.store.workers import LEASE_MS
from models.tables import workers


async def let_lapse(database: Database, pids: Collection[int]) -> None:
    """Make their leases a whole lease older; keepers must see them stand still all the same."""
    aged = workers.c.renewed_at - LEASE_MS
    async with database.write() as connection:
        await connection.execute(update(workers).where(workers.c.pid.in_(pids)).values(renewed_at=aged))
