"""What is said: stored once for all the messages of a workspace that say the same."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.content import Content, decode
from models.store.recordset import among
from models.tables import contents


async def load(connection: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, tuple[Content, int]]:
    """What is said, and its size in bytes, by content id. Contents are never changed, so callers may keep them."""
    wanted = among(contents.c.id, ids, is_sqlite=connection.dialect.name == "sqlite")
    rows = await connection.execute(select(contents.c.id, contents.c.source).where(wanted))
    return {row.id: (decode(row.source), len(row.source)) for row in rows}
