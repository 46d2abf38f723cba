"""``python -m models.migrations.new "what changes"``: a new revision from the difference to ``models.tables``.

The difference is taken against a scratch SQLite database at the present head. Read the file it writes before you
keep it: alembic sees no renames and no data.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from models import migrate
from models.session import Database


def write_revision(message: str) -> None:
    """Write ``versions/r<number>_<message>.py``."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_write_revision(f"sqlite:///{Path(folder) / 'scratch.db'}", message))


async def _write_revision(url: str, message: str) -> None:
    database = Database.connect(url)
    try:
        if _newest() is not None:
            await migrate.upgrade_to_head(database)
        async with database.write() as connection:
            await connection.run_sync(_autogenerate, message)
    finally:
        await database.close()


def _autogenerate(connection: Connection, message: str) -> None:
    number = int(_newest() or "0") + 1
    command.revision(migrate.config_for(connection), message, autogenerate=True, rev_id=f"{number:04d}")


def _newest() -> str | None:
    return ScriptDirectory.from_config(migrate.config_for()).get_current_head()


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1].strip():
        sys.exit('usage: python -m models.migrations.new "what changes"')
    write_revision(sys.argv[1])
