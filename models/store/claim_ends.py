"""What a claim finds that must not go out any more, or must wait."""

from collections.abc import Sequence
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import String, Uuid, null, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.store.ending import without_a_send
from models.store.recordset import Columns, parameters, recordset
from models.tables import messages

_REFUSED: Columns = {"id": Uuid(), "state": String(), "reason": String()}


@cache
def _ending(is_sqlite: bool) -> Any:
    refused = recordset("refused", _REFUSED, is_sqlite=is_sqlite)
    return (
        update(messages)
        .where(messages.c.id == refused.c.id)
        .values(**without_a_send(refused.c.state, refused.c.reason))
    )


async def end(connection: AsyncConnection, ended: Sequence[tuple[UUID, str, str]]) -> None:
    """End these (message id, state, reason) before their send began."""
    if not ended:
        return
    is_sqlite = connection.dialect.name == "sqlite"
    await connection.execute(_ending(is_sqlite), parameters("refused", _REFUSED, ended, is_sqlite=is_sqlite))


async def park(connection: AsyncConnection, ids: Sequence[UUID]) -> None:
    """Take these off their lane until their campaign goes on."""
    if ids:
        await connection.execute(update(messages).where(messages.c.id.in_(ids)).values(paused=True, turn=null()))
