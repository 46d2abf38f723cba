"""Transactions that look up many rows by their keys, a thousand of a table of any size."""

from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.session import now_ms
from models.store import clock

# A plan that is made while a table is nearly empty reads it whole for each of a thousand rows, and it is kept until the
# table is next analysed: a minute, and thousands of rows, later. And PostgreSQL takes a look-up for dear, as on a disk
# that turns: for a thousand of fifty thousand rows it reads them all. Without these ways, what can be looked up is.
_BY_READING_ALL: Final = ("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "enable_material")
_BEGINNING: Final = select(now_ms(), *(func.set_config(way, "off", True) for way in _BY_READING_ALL))


async def begin(connection: AsyncConnection) -> int:
    """Look up whatever this transaction joins from now on; returns the database's time in milliseconds (UTC)."""
    if connection.dialect.name == "sqlite":
        return await clock.read(connection)
    return int((await connection.execute(_BEGINNING)).one()[0])
