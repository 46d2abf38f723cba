"""Bringing the schema to its newest revision, from any working directory and without an ini file.

One transaction does all of it, behind a lock: several processes may migrate at once, and the late ones find
nothing to do. The house goes on meanwhile: whoever waits for a table's lock holds up all that come after, so a
migration waits for one only briefly, gives everything back, and begins again.

A schema of a later version serves, too: its migrations only add, until nothing runs that needs what they leave behind.

Alembic is loaded only where there is something to migrate: it takes a quarter of a second, and each process asks
whether the schema serves.
"""

import asyncio
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Column, Connection, Index, event, inspect, text
from sqlalchemy.exc import DBAPIError

from models.errors import StorageUnavailable, WireroomError
from models.session import Database

if TYPE_CHECKING:
    from alembic.config import Config

_FOLDER: Final = Path(__file__).parent / "migrations"
_TABLE: Final = "alembic_version"  # alembic's; its only row is the revision
LOCK: Final = 0x57495245_524F4F4D  # "WIREROOM": the key of PostgreSQL's advisory lock
_LOCK_WAIT_MS: Final = 500  # for so long at a time nothing can be written to a table that a migration waits for
_PAUSE_S: Final = 1.0
_PATIENCE_S: Final = 300.0
# Lock not available, and deadlock detected: who waits for us has what we wait for. Both pass.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_LOCKED: Final = ("55P03", "40P01")


def config_for(connection: Connection | None = None) -> "Config":
    """The configuration of alembic; commands run inside the transaction of ``connection``."""
    from alembic.config import Config  # noqa: PLC0415 - see the top

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("file_template", "r%%(rev)s_%%(slug)s")
    return config


def is_compared(element: object, *_: object) -> bool:
    """Whether alembic compares it with the tables: an index of an expression it would always find changed.

    PostgreSQL shows an expression in words of its own, and of SQLite none is read at all. The catalogues tell:
    ``tests/architecture/test_schema.py``.
    """
    return not (isinstance(element, Index) and any(not isinstance(each, Column) for each in element.expressions))


@lru_cache(maxsize=1)
def head() -> str:
    """The newest revision that this code knows: the number in the name of its file, ``r<number>_<slug>.py``."""
    return max(file.name[1:5] for file in (_FOLDER / "versions").glob("r[0-9][0-9][0-9][0-9]_*.py"))


def upgrade(database_url: str) -> None:
    """Bring the database to ``head()``; for callers without an event loop.

    Raises InvalidSetting for a URL that names neither SQLite nor PostgreSQL, StorageUnavailable where the database
    cannot be reached, WireroomError where another transaction keeps a table locked for five minutes.
    """
    asyncio.run(upgrade_at(database_url))


def is_at_head(database_url: str) -> bool:
    """Whether the database has the schema that this code knows, or a later one; errors as for ``upgrade``."""
    return asyncio.run(_is_at_head(database_url))


async def upgrade_to_head(database: Database) -> None:
    """The same as ``upgrade``, for callers with an event loop. Needs a Database of its own on SQLite."""
    if database.is_sqlite:
        # A migration that rebuilds a table drops the old one; with enforcement on, that would delete what refers to it.
        event.listen(database.engine.sync_engine, "connect", _ignore_foreign_keys)
    give_up_at = time.monotonic() + _PATIENCE_S
    while True:
        try:
            async with database.write() as connection:
                await connection.run_sync(_upgrade)
            return
        except (DBAPIError, StorageUnavailable) as error:
            if _sqlstate(error) not in _LOCKED:
                raise
            if time.monotonic() > give_up_at:
                raise WireroomError(
                    "a transaction keeps a table locked that the migration changes; pg_stat_activity shows whose"
                ) from error
        await asyncio.sleep(_PAUSE_S)


def _sqlstate(error: Exception) -> str | None:
    told = error.__cause__ if isinstance(error, StorageUnavailable) else error
    found: str | None = getattr(getattr(told, "orig", None), "sqlstate", None)
    return found


async def at_head(database: Database) -> bool:
    """The same as ``is_at_head``, over connections that are open already."""
    async with database.read() as connection:
        return _serves(await connection.run_sync(_current))


async def _is_at_head(url: str) -> bool:
    database = Database.connect(url, pool_size=1)
    try:
        return await at_head(database)
    finally:
        await database.close()


async def upgrade_at(database_url: str) -> None:
    """The same as ``upgrade``, for callers with an event loop; cancelled, it leaves the schema as it was."""
    database = Database.connect(database_url, pool_size=1, statement_s=None)  # an index takes as long as there are rows
    try:
        await upgrade_to_head(database)
    finally:
        await database.close()


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        connection.execute(text("SELECT set_config('lock_timeout', :wait, true)"), {"wait": str(_LOCK_WAIT_MS)})
    if _serves(_current(connection)):
        return
    from alembic import command  # noqa: PLC0415 - see the top

    command.upgrade(config_for(connection), "head")
    if connection.dialect.name == "sqlite":
        broken = connection.execute(text("PRAGMA foreign_key_check")).first()
        if broken is not None:
            raise WireroomError(f"the migration left rows of {broken[0]} without what they refer to")


def _serves(revision: str | None) -> bool:
    """Revisions are numbers of four digits, each one more than the one before."""
    return revision is not None and revision >= head()


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_TABLE):
        return None
    revision: str | None = connection.scalar(text(f"SELECT version_num FROM {_TABLE}"))  # noqa: S608 - a constant
    return revision


def _ignore_foreign_keys(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=OFF")
    cursor.close()
