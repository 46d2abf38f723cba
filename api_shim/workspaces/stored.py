"""What the handlers of stored things share: one that the path names, shown, changed or removed."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Concatenate, ParamSpec, Protocol, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from api_shim import problems
from api_shim.audit import changing
from api_shim.operations import Call
from models.audit import Action, Thing
from models.ids import Kind

P = ParamSpec("P")
R = TypeVar("R")

OneOf = Callable[[AsyncConnection, UUID, UUID], Awaitable[R]]
"""What is asked with a connection, the workspace's id and the thing's own."""


class Removable(Protocol):
    """A row that stays when it is removed, for what refers to it."""

    @property
    def deleted_at(self) -> int | None:
        """Since when it is removed, in milliseconds (UTC)."""


U = TypeVar("U", bound=Removable)


async def fetch_one(call: Call, kind: Kind, noun: str, get: OneOf[R | None]) -> R:
    """What ``get`` finds for the path's ``<noun>Id``; raises Problem (404)."""
    wanted = call.path_id(f"{noun}Id", kind, noun)
    async with call.services.database.read() as connection:
        row = await get(connection, call.workspace_id, wanted)
    if row is None:
        raise problems.not_found(noun)
    return row


async def fetch_in_use(call: Call, kind: Kind, noun: str, get: OneOf[U | None]) -> U:
    """As ``fetch_one``; raises Problem (404) for a removed one too."""
    row = await fetch_one(call, kind, noun, get)
    if row.deleted_at is not None:
        raise problems.not_found(noun)
    return row


async def change_one(
    call: Call,
    kind: Kind,
    noun: str,
    action: Action | None,
    change: Callable[Concatenate[AsyncConnection, UUID, UUID, P], Awaitable[R | None]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> R:
    """What ``change`` makes of the path's ``<noun>Id`` in one transaction; raises Problem (404) where that is None.

    ``change(connection, workspace id, id, …)`` gets what else is given. ``action``: what the audit log calls it; None
    for what programs change by the million.
    """
    wanted = call.path_id(f"{noun}Id", kind, noun)
    async with _transaction(call, action, Thing(kind, wanted)) as connection:
        row = await change(connection, call.workspace_id, wanted, *args, **kwargs)
        if row is None:
            raise problems.not_found(noun)
    return row


@asynccontextmanager
async def _transaction(call: Call, action: Action | None, thing: Thing) -> AsyncIterator[AsyncConnection]:
    if action is None:
        async with call.services.database.write() as connection:
            yield connection
        return
    async with changing(call, action) as change:
        change.thing = thing
        yield change.connection


async def remove_one(call: Call, kind: Kind, noun: str, action: Action | None, remove: OneOf[bool]) -> None:
    """Call ``remove`` for the path's ``<noun>Id``; raises Problem (404) where it returns False."""

    async def removed(connection: AsyncConnection, workspace_id: UUID, wanted: UUID) -> bool | None:
        return await remove(connection, workspace_id, wanted) or None

    await change_one(call, kind, noun, action, removed)
