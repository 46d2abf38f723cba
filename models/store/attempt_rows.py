"""The record of attempts: one row for each (message, token), written once, and what is learnt of it later."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.store import clock
from models.store.bulk import insert_ignoring
from models.tables import attempts


async def write(connection: AsyncConnection, tried: Sequence[dict[str, Any]]) -> None:
    """Write attempts that end now; one that is written already stays as it is."""
    if not tried:
        return
    now = await clock.read(connection)
    await insert_ignoring(connection, attempts, [{**row, "ended_at": now} for row in tried])


async def complete(connection: AsyncConnection, message_id: UUID, token: int, known: dict[str, Any]) -> None:
    """Put what is known by now into an attempt that was written before its end was."""
    if known:
        await connection.execute(
            update(attempts).where(attempts.c.message_id == message_id, attempts.c.token == token).values(**known)
        )


async def withdraw(connection: AsyncConnection, message_id: UUID, token: int) -> None:
    """Remove an attempt that was none, as is known by now."""
    await connection.execute(delete(attempts).where(attempts.c.message_id == message_id, attempts.c.token == token))
