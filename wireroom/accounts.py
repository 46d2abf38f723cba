"""Workspaces and tokens, made by whoever may open the database: the first ones, before any API key exists."""

import re
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

from models import ids, migrate, timestamps
from models.errors import NotFound, StorageUnavailable, WireroomError
from models.secrets import new_token
from models.session import Database
from models.store import keys, workspaces
from models.vocabulary import Scope

_DURATION: Final = re.compile(r"(\d{1,6})([mhdw])")
_UNIT_MS: Final = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
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
    try:
        return await migrate.at_head(database)
    except StorageUnavailable:
        if database.is_sqlite:  # its folder is not there yet
            return False
        raise


async def create_workspace(database_url: str, name: str) -> str:
    """The shown id of a new workspace; raises Conflict where the name is taken."""
    async with opened(database_url) as database, database.write() as connection:
        return ids.show(ids.Kind.WORKSPACE, (await workspaces.create(connection, name)).id)


async def create_token(
    database_url: str, workspace: str, *, scopes: Collection[Scope], expires_at: int | None
) -> tuple[str, str]:
    """A new key of the workspace with that name or shown id: its shown id, and the secret that is shown only now.

    ``expires_at`` is milliseconds (UTC). Raises NotFound for an unknown workspace.
    """
    secret, digest = new_token("wr_live_")
    async with opened(database_url) as database, database.write() as connection:
        found = await workspaces.find(connection, workspace)
        if found is None:
            raise NotFound(f"no workspace {workspace}: `wireroom workspace create NAME` makes one")
        key = await keys.create(
            connection,
            found.id,
            name="command line",
            digest=digest,
            hint=secret[-_HINT_LENGTH:],
            scopes=scopes,
            expires_at=expires_at,
        )
        return ids.show(ids.Kind.KEY, key.id), secret


def expiry(text: str) -> int:
    """Milliseconds (UTC) of a duration from now (``30d``, ``12h``, ``2w``, ``45m``) or of an RFC 3339 date or time.

    Raises ValueError where it is neither, or has passed.
    """
    now = time.time_ns() // 1_000_000
    if found := _DURATION.fullmatch(text):
        moment = now + int(found[1]) * _UNIT_MS[found[2]]
    elif len(text) == len("2026-01-15"):
        moment = timestamps.from_datetime(datetime.fromisoformat(text).replace(tzinfo=UTC))
    else:
        moment = timestamps.parse(text)
    if moment <= now:
        raise ValueError("has passed already")
    return moment
