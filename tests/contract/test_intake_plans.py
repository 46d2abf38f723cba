"""How PostgreSQL finds what many new messages name: by keys, however little it knows of the workspace yet."""

from collections.abc import AsyncIterator
from typing import Final

import pytest
from sqlalchemy import select, text

from models.session import Database
from models.store import contacts as contact_store
from models.store import intake, workspaces
from models.tables import contacts
from models.vocabulary import Channel

NUMBER: Final = 5_000
NAMED: Final = 100
OTHERS: Final = 4
FILL: Final = text(
    "INSERT INTO contacts (id, workspace_id, email, attributes, tags, created_at, updated_at)"
    " SELECT gen_random_uuid(), :workspace, 'a' || n || '@example.org', '{}', '[]', 1, 1"
    f" FROM generate_series(1, {NUMBER}) AS n"
)
FILL_SUPPRESSIONS: Final = text(
    "INSERT INTO suppressions (id, workspace_id, channel, address_digest, kind, reason, created_at)"
    " SELECT gen_random_uuid(), :workspace, 'EMAIL', decode(lpad(to_hex(n), 32, '0'), 'hex'), 'dead', 'imported', 1"
    f" FROM generate_series(1, {NUMBER}) AS n"
)
ROWS_READ: Final = text("SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = :table")


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    opened = Database.connect(postgres_url, pool_size=1)
    yield opened
    await opened.close()


async def test_a_batch_to_a_workspace_just_filled_reads_its_recipients_alone(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(text("ALTER TABLE contacts SET (autovacuum_enabled = false)"))
        for number in range(OTHERS):
            await connection.execute(FILL, {"workspace": (await workspaces.create(connection, f"counted {number}")).id})
        await connection.execute(text("ANALYZE contacts"))
        workspace = (await workspaces.create(connection, "just filled")).id
        await connection.execute(FILL, {"workspace": workspace})
        ids = list(
            await connection.scalars(select(contacts.c.id).where(contacts.c.workspace_id == workspace).limit(NAMED))
        )
    async with database.write() as connection:
        found, _ = await intake.recipients(connection, [(workspace, each) for each in ids])
        assert len(found) == NAMED
        assert await connection.scalar(ROWS_READ, {"table": "contacts"}) <= 2 * NAMED
        assert len(await contact_store.get_many(connection, workspace, ids)) == NAMED
        assert await connection.scalar(ROWS_READ, {"table": "contacts"}) <= 4 * NAMED


async def test_nor_does_it_read_all_suppressions_just_imported(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(text("ALTER TABLE suppressions SET (autovacuum_enabled = false)"))
        for number in range(OTHERS):
            other = (await workspaces.create(connection, f"counted {number}")).id
            await connection.execute(FILL_SUPPRESSIONS, {"workspace": other})
        await connection.execute(text("ANALYZE suppressions"))
        workspace = (await workspaces.create(connection, "just filled")).id
        await connection.execute(FILL_SUPPRESSIONS, {"workspace": workspace})
    keys = [(workspace, Channel.EMAIL, number.to_bytes(16, "big")) for number in range(1, NAMED + 1)]
    async with database.write() as connection:
        assert len(await intake.suppressed(connection, keys)) == NAMED
        assert await connection.scalar(ROWS_READ, {"table": "suppressions"}) <= 2 * NAMED
