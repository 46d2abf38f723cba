"""The database's own clock."""

from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.session import now_ms

_NOW: Final = select(now_ms())


async def read(connection: AsyncConnection) -> int:
    """The database's time in milliseconds (UTC)."""
    return int((await connection.execute(_NOW)).scalar_one())
