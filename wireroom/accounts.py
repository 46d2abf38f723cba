"""Workspaces and tokens, made by whoever may open the database: the first ones, before any API key exists."""

import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from models import ids, migrate
from models.audit import COMMAND, Action, Details, Thing
from models.errors import Conflict, NotFound, WireroomError
from models.sandboxes import is_sandbox
from models.secrets import new_token
from models.session import Database
from models.store import audit, keys, sandboxes, workspaces
from models.store.audit import NewEntry
from models.vocabulary import Scope
from wireroom import moments

_HINT_LENGTH: Final = 4

DEFAULT_SCOPES: Final = frozenset(Scope) - {Scope.ESSENTIAL}


class NoSchema(WireroomError):
    """The database is not at the schema that this code knows."""


@asynccontextmanager
async def opened(database_url: str) -> AsyncIterator[Database]:
    """The database, at its newest schema; raises NoSchema where it is not, StorageUnavailable, InvalidSetting."""
    database = Database.connect(database_url, pool_size=1)
    try:
        if not await _is_current(database):
            raise NoSchema("no database here at this version's schema: run `wireroom migrate` (`wireroom up` does it)")
        yield database
    finally:
        await database.close()


async def _is_current(database: Database) -> bool:
    return not _is_missing(database) and await migrate.at_head(database)


def _is_missing(database: Database) -> bool:
    """Whether there is no file yet; to open it would make an empty one."""
    file = database.engine.url.database
    return database.is_sqlite and file is not None and not Path(file).exists()


async def create_workspace(database_url: str, name: str) -> str:
    """The shown id of a new workspace; raises Conflict, which names the other's id, where the name is taken."""
    async with opened(database_url) as database, database.write() as connection:
        try:
            made = await workspaces.create(connection, name)
        except Conflict as error:
            found = await workspaces.find(connection, name)
            if found is None:
                raise
            raise Conflict(
                f"{error}, its id is {_shown(found)}: use it, or choose another name; "
                "`wireroom workspace list` shows all"
            ) from error
        await audit.add(connection, NewEntry(made.id, COMMAND, Action.WORKSPACE_CREATE))
        return _shown(made)


async def list_workspaces(database_url: str) -> list[tuple[str, str]]:
    """The shown id and the name of every workspace but the sandboxes, the oldest first."""
    async with opened(database_url) as database, database.read() as connection:
        found = await workspaces.everything(connection)
        return [(_shown(row), row.name) for row in found if not is_sandbox(row.id)]


def _shown(row: workspaces.WorkspaceRow) -> str:
    return ids.show(ids.Kind.WORKSPACE, row.id)


async def create_token(
    database_url: str, workspace: str, *, scopes: Collection[Scope], expires_at: int | None, test: bool = False
) -> tuple[str, str]:
    """A new key of the workspace with that name or shown id: its shown id, and the secret that is shown only now.

    ``expires_at`` is milliseconds (UTC). ``test``: of its sandbox. Raises NotFound for an unknown workspace.
    """
    async with opened(database_url) as database, database.write() as connection:
        found = await workspace_of(connection, workspace)
        owner = await sandboxes.ensure(connection, found.id) if test else found.id
        secret, digest = new_token(keys.prefix_of(owner))
        key = await keys.create(
            connection,
            owner,
            name="command line",
            digest=digest,
            hint=secret[-_HINT_LENGTH:],
            scopes=scopes,
            expires_at=expires_at,
        )
        details: Details = {"scopes": sorted(scope.value for scope in scopes)}
        thing = Thing(ids.Kind.KEY, key.id)
        await audit.add(connection, NewEntry(found.id, COMMAND, Action.KEY_CREATE, thing=thing, details=details))
        return ids.show(ids.Kind.KEY, key.id), secret


async def workspace_of(connection: AsyncConnection, name_or_id: str) -> workspaces.WorkspaceRow:
    """The workspace with that name or shown id; raises NotFound, saying how to find one."""
    found = await workspaces.find(connection, name_or_id)
    if found is None:
        raise NotFound(
            f"no workspace {name_or_id}: `wireroom workspace create NAME` makes one, `wireroom workspace list` "
            "shows all"
        )
    return found


def expiry(text: str) -> int:
    """Milliseconds (UTC) of a duration from now (``30d``, ``12h``, ``2w``, ``45m``) or of an RFC 3339 date or time.

    Raises ValueError, saying the forms, where it is neither, or has passed.
    """
    now = time.time_ns() // 1_000_000
    moment = moments.after(text, now)
    if moment <= now:
        raise ValueError(f"{text!r} has passed already: {moments.FORMS}")
    return moment
