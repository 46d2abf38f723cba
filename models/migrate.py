"""Bringing the schema to its newest revision, from any working directory and without an ini file.

One transaction does all of it, behind a lock: several processes may migrate at once, and the late ones find
nothing to do.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event, text

from models.errors import WireroomError
from models.session import Database

_FOLDER: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x57495245_524F4F4D  # "WIREROOM": the key of PostgreSQL's advisory lock

T = TypeVar("T")


def config_for(connection: Connection | None = None) -> Config:
    """The configuration of alembic; commands run inside the transaction of ``connection``."""
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("file_template", "r%%(rev)s_%%(slug)s")
    return config


@lru_cache(maxsize=1)
def head() -> str:
    """The newest revision that this code knows."""
    revision = ScriptDirectory.from_config(config_for()).get_current_head()
    if revision is None:
        raise RuntimeError("models/migrations holds no revision")
    return revision


def upgrade(database_url: str) -> None:
    """Bring the database to ``head()``; for callers without an event loop.

    Raises InvalidSetting for a URL that names neither SQLite nor PostgreSQL, StorageUnavailable where the database
    cannot be reached.
    """
    asyncio.run(_with_database(database_url, upgrade_to_head))


def is_at_head(database_url: str) -> bool:
    """Whether the database has exactly the schema that this code knows; errors as for ``upgrade``."""
    return asyncio.run(_with_database(database_url, at_head))


async def upgrade_to_head(database: Database) -> None:
    """The same as ``upgrade``, for callers with an event loop. Needs a Database of its own on SQLite."""
    if database.is_sqlite:
        # A migration that rebuilds a table drops the old one; with enforcement on, that would delete what refers to it.
        event.listen(database.engine.sync_engine, "connect", _ignore_foreign_keys)
    async with database.write() as connection:
        await connection.run_sync(_upgrade)


async def at_head(database: Database) -> bool:
    """The same as ``is_at_head``, over connections that are open already."""
    async with database.read() as connection:
        return await connection.run_sync(_current) == head()


async def _with_database(url: str, work: Callable[[Database], Awaitable[T]]) -> T:
    database = Database.connect(url, pool_size=1)
    try:
        return await work(database)
    finally:
        await database.close()


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    command.upgrade(config_for(connection), "head")
    if connection.dialect.name == "sqlite":
        broken = connection.execute(text("PRAGMA foreign_key_check")).first()
        if broken is not None:
            raise WireroomError(f"the migration left rows of {broken[0]} without what they refer to")


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _ignore_foreign_keys(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=OFF")
    cursor.close()
