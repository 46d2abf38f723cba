"""The database's own clock."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.session import now_ms


async def read(connection: AsyncConnection) -> int:
    """The database's time in milliseconds (UTC)."""
    return int((await connection.execute(select(now_ms()))).scalar_one())
