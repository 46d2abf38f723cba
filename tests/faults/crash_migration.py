"""A migration is killed on its way, or as it commits, and run again: nothing is left half done or undone."""

import asyncio
import sys
from collections.abc import Collection, Mapping
from typing import Final

from models import migrate
from tests.faults import postgres_proxy, source_tree
from tests.faults.postgres_proxy import Moment, Trap
from tests.support.postgres import PostgresServer
from tests.support.processes import free_environment

_PATIENCE_S: Final = 60.0
POINTS: Final[Mapping[str, tuple[str, Moment]]] = {
    "in its first revision": ("CREATE INDEX ix_messages_ready", Moment.STATEMENT),
    "between two revisions": ("UPDATE alembic_version", Moment.STATEMENT),
    "commit asked": ("UPDATE alembic_version", Moment.ASKED),
    "commit untold": ("UPDATE alembic_version", Moment.UNTOLD),
}
_COLUMNS: Final = (
    "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns"
    " WHERE table_schema = 'public' ORDER BY 1, 2"
)
_NOTHING: Final = ("", "")
_INDEXES: Final = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"


async def faults(server: PostgresServer, migrated: str, points: Collection[str] = POINTS) -> list[str]:
    """What is wrong after each point: it was not reached, a part was left, or what was left could not be completed.

    ``migrated``: a database of the server's that has the whole schema.
    """
    schema = await asyncio.to_thread(_schema, server, migrated)
    found = []
    for point in points:
        moment = POINTS[point][1]
        name = server.create()
        url = server.url(name)
        if not await _killed(url, *POINTS[point]):
            found.append(f"migration, {point}: never reached")
        if await asyncio.to_thread(_schema, server, name) != (schema if moment is Moment.UNTOLD else _NOTHING):
            found.append(f"migration, {point}: a part of it was left")
        await asyncio.to_thread(migrate.upgrade, url)
        if await asyncio.to_thread(_schema, server, name) != schema or not await asyncio.to_thread(
            migrate.is_at_head, url
        ):
            found.append(f"migration, {point}: it was not completed when run again")
        server.drop(name)
    return found


def _schema(server: PostgresServer, name: str) -> tuple[str, str]:
    return server.run(_COLUMNS, name), server.run(_INDEXES, name)


async def _killed(url: str, marker: str, moment: Moment) -> bool:
    """Run the migration of the database at ``url`` and kill it there; whether it came to that."""
    async with postgres_proxy.running(url) as proxy:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", source_tree.UPGRADE, proxy.url(url)), env=free_environment(), cwd=source_tree.ROOT
        )

        def kill(_port: int) -> bool:
            process.kill()
            return True

        proxy.traps.append(Trap(marker, moment, kill))
        try:
            await asyncio.wait_for(process.wait(), _PATIENCE_S)
        except TimeoutError:
            process.kill()
            await process.wait()
        return not proxy.traps
