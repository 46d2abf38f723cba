"""Migrating: from anywhere, twice, and several processes at once."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from alembic import command
from sqlalchemy import LargeBinary, Uuid, bindparam, text

from models import migrate
from models.errors import InvalidSetting, StorageUnavailable
from models.ids import new_id
from models.session import Database
from models.store import campaign_numbers
from models.tables import messages
from models.vocabulary import Fact, FailureReason
from tests.support.long_transactions import STANDS_STILL
from tests.support.waiting import wait_for_sqlite_threads, wait_until


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    url: str = request.getfixturevalue("empty_postgres_url")
    return url


def test_an_empty_database_is_brought_to_the_head_once(empty_url: str) -> None:
    assert not migrate.is_at_head(empty_url)
    migrate.upgrade(empty_url)
    assert migrate.is_at_head(empty_url)
    migrate.upgrade(empty_url)
    assert migrate.is_at_head(empty_url)


def test_several_processes_from_another_folder_at_once(empty_url: str, tmp_path: Path) -> None:
    code = f"from models import migrate; migrate.upgrade({empty_url!r})"
    running = [
        subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=60)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert migrate.is_at_head(empty_url)


async def test_a_running_process_sees_the_head(database: Database) -> None:
    assert await migrate.at_head(database)


def test_a_schema_of_a_later_version_serves_and_is_left_alone(empty_url: str) -> None:
    """So that a process of this version that starts again in the midst of a deploy is as good as before."""
    migrate.upgrade(empty_url)
    asyncio.run(_write(empty_url, "UPDATE alembic_version SET version_num = '9999'"))
    assert migrate.is_at_head(empty_url)
    migrate.upgrade(empty_url)
    asyncio.run(_write(empty_url, "UPDATE alembic_version SET version_num = '0000'"))
    assert not migrate.is_at_head(empty_url)


async def test_what_was_there_before_is_counted(empty_url: str) -> None:
    """A campaign's numbers are those of its messages of earlier versions, too."""
    database = Database.connect(empty_url)
    try:
        async with database.write() as connection:
            await connection.run_sync(lambda it: command.upgrade(migrate.config_for(it), "0006"))
            await connection.execute(messages.insert(), [_message(facts) for facts in _HISTORIES])
        await migrate.upgrade_at(empty_url)
        async with database.read() as connection:
            numbers = await campaign_numbers.read(connection, UUID(int=1), UUID(int=2))
            assert await campaign_numbers.differences(connection) == []
    finally:
        await database.close()
    assert (numbers.total, numbers.by_fact[Fact.SENT], numbers.by_fact[Fact.OPENED]) == (5, 2, 1)
    assert numbers.failed_by_reason == {FailureReason.PROVIDER_FAILED: 2}


_HISTORIES: list[dict[str, Any]] = [
    {},
    {"state": "done", "sent_at": 1},
    {"state": "done", "clicked_at": 1},
    {"state": "failed", "failure_reason": "provider_failed"},
    {"failed_at": 1},
]


def _message(columns: dict[str, Any]) -> dict[str, Any]:
    whole = {"workspace_id": UUID(int=1), "contact_id": UUID(int=3), "campaign_id": UUID(int=2), "channel": "EMAIL"}
    unknown = {"state": "queued", "failure_reason": None, "sent_at": None, "clicked_at": None, "failed_at": None}
    return {"id": new_id(), "lane": "bulk", "due_at": 0, "queued_at": 0, **whole, **unknown, **columns}


async def _write(url: str, statement: str) -> None:
    database = Database.connect(url)
    async with database.write() as connection:
        await connection.execute(text(statement))
    await database.close()


async def test_who_writes_meanwhile_waits_briefly_for_a_migration_that_waits(empty_postgres_url: str) -> None:
    database = Database.connect(empty_postgres_url)
    async with database.write() as connection:
        await connection.execute(text("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)"))
    async with database.write() as reader:  # as a backup of the tables
        await reader.execute(STANDS_STILL)
        await reader.execute(text("LOCK TABLE alembic_version IN SHARE MODE"))
        migrating = asyncio.create_task(asyncio.to_thread(migrate.upgrade, empty_postgres_url))
        for _ in range(2):  # it asks for the table, goes away, and comes again
            await wait_until(lambda: _waiting(database, locks=True))
            await wait_until(lambda: _waiting(database, locks=False))
        assert not migrating.done()
    await migrating
    assert await migrate.at_head(database)
    await database.close()


async def _waiting(database: Database, *, locks: bool) -> bool:
    ungranted = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'alembic_version'::regclass"
    async with database.read() as connection:
        return bool(await connection.scalar(text(ungranted))) is locks


async def test_a_missing_folder_is_said() -> None:
    database = Database.connect("sqlite:////nowhere/none.db")
    with pytest.raises(StorageUnavailable):
        await migrate.upgrade_to_head(database)
    await database.close()
    await wait_for_sqlite_threads()


def test_a_server_that_is_away_and_an_unknown_kind_are_said() -> None:
    with pytest.raises(StorageUnavailable):
        migrate.upgrade("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(InvalidSetting):
        migrate.upgrade("mysql://h/d")


async def test_what_people_wrote_as_a_reason_becomes_a_note(empty_url: str) -> None:
    database = Database.connect(empty_url)
    try:
        async with database.write() as connection:
            await connection.run_sync(lambda opened: command.upgrade(migrate.config_for(opened), "0006"))
            made = text(
                "INSERT INTO suppressions (id, workspace_id, channel, address_digest, kind, topic, reason, created_at)"
                " VALUES (:id, :id, 'EMAIL', :digest, 'dead', '', :reason, 1)"
            ).bindparams(bindparam("id", type_=Uuid()), bindparam("digest", type_=LargeBinary()))
            await connection.execute(
                text("INSERT INTO workspaces (id, name, settings, created_at) VALUES (:id, :name, '{}', 1)").bindparams(
                    bindparam("id", type_=Uuid())
                ),
                [{"id": UUID(int=number), "name": str(number)} for number in (1, 2)],
            )
            for number, reason in enumerate(("asked by phone", "bounced"), 1):
                row = {"id": UUID(int=number), "digest": bytes([number]) * 16, "reason": reason}
                await connection.execute(made, row)
            await connection.run_sync(lambda opened: command.upgrade(migrate.config_for(opened), "head"))
            rows = await connection.execute(text("SELECT reason, note FROM suppressions ORDER BY reason"))
            assert [tuple(row) for row in rows] == [("bounced", None), ("manual", "asked by phone")]
    finally:
        await database.close()
