"""What the handlers of stored things share: one that the path names, shown or removed."""

from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from api_shim import problems
from api_shim.operations import Call
from models.ids import Kind

R = TypeVar("R")


async def fetch_one(
    call: Call, kind: Kind, noun: str, get: Callable[[AsyncConnection, UUID, UUID], Awaitable[R | None]]
) -> R:
    """What ``get(connection, workspace id, id)`` finds for the path's ``<noun>Id``; raises Problem (404)."""
    wanted = call.path_id(f"{noun}Id", kind, noun)
    async with call.services.database.read() as connection:
        row = await get(connection, call.workspace_id, wanted)
    if row is None:
        raise problems.not_found(noun)
    return row


async def remove_one(
    call: Call, kind: Kind, noun: str, remove: Callable[[AsyncConnection, UUID, UUID], Awaitable[bool]]
) -> None:
    """Call ``remove(connection, workspace id, id)`` for the path's ``<noun>Id``; raises Problem (404)."""
    wanted = call.path_id(f"{noun}Id", kind, noun)
    async with call.services.database.write() as connection:
        removed = await remove(connection, call.workspace_id, wanted)
    if not removed:
        raise problems.not_found(noun)
