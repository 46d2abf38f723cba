"""The migrations and ``models.tables`` say the same, on both databases."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from models import migrate
from models.session import Database
from models.tables import metadata

# What alembic does not compare: partial indexes' conditions, indexes of expressions, what a table is stored with, and
# how a constraint was declared.
_CATALOGUE = {
    "sqlite": [
        "SELECT m.name, c.name, c.type, c.\"notnull\", trim(c.dflt_value, '()'), c.pk"
        " FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table'",
        'SELECT m.name, f."from", f."table", f."to", f.on_delete'
        " FROM sqlite_master m, pragma_foreign_key_list(m.name) f WHERE m.type = 'table'",
        "SELECT tbl_name, name, sql FROM sqlite_master WHERE type = 'index'",
    ],
    "postgresql": [
        "SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default,"
        " generation_expression"
        " FROM information_schema.columns WHERE table_schema = 'public'",
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)"
        " FROM pg_constraint WHERE connamespace = 'public'::regnamespace",
        "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
        "SELECT relname, reloptions FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'",
    ],
}


def test_there_is_one_head() -> None:
    assert ScriptDirectory.from_config(migrate.config_for()).get_heads() == [migrate.head()]


def _difference(connection: Connection) -> list[object]:
    opts = {"compare_server_default": True, "include_object": migrate.is_compared}
    context = MigrationContext.configure(connection, opts=opts)
    found: list[object] = compare_metadata(context, metadata)
    return found


# Of SQLite's indexes of expressions neither SQLAlchemy nor alembic reads anything.
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index")
async def test_alembic_sees_no_difference(database: Database) -> None:
    async with database.read() as connection:
        assert await connection.run_sync(_difference) == []


async def _catalogue(url: str, *, declared: bool = False) -> list[str]:
    """What the database shows of itself; with ``declared``, after ``models.tables`` made everything."""
    database = Database.connect(url)
    try:
        async with database.write() as connection:
            if declared:
                await connection.run_sync(metadata.create_all)
            queries = _CATALOGUE[connection.dialect.name]
            rows = [repr(tuple(row)) for query in queries for row in await connection.execute(text(query))]
        return sorted(row for row in rows if "alembic_version" not in row)
    finally:
        await database.close()


async def test_sqlite_catalogues_are_equal(sqlite_url: str, tmp_path: Path) -> None:
    declared = f"sqlite:///{tmp_path / 'declared.db'}"
    assert await _catalogue(sqlite_url) == await _catalogue(declared, declared=True)


async def test_postgresql_catalogues_are_equal(postgres_url: str, empty_postgres_url: str) -> None:
    assert await _catalogue(postgres_url) == await _catalogue(empty_postgres_url, declared=True)
