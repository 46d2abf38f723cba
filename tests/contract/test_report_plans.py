"""How PostgreSQL finds the messages of many reports: each by its key, whatever the table holds besides."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from bench.many_messages import WORKSPACE, fill
from models import tables
from models.events import ParsedEvent
from models.evidence import Provider
from models.session import Database
from models.store import arriving, events
from models.store.arriving import Arrived
from models.tables import messages
from models.vocabulary import EventType, State
from worker.tracker import Tracker

NUMBER: Final = 5_000
REPORTED: Final = 400
# Of this transaction alone, which has told the others nothing yet.
READ_WHOLE: Final = text(
    "SELECT sum(seq_scan) FROM pg_stat_xact_user_tables WHERE relname IN ('messages', 'message_details')"
)
ROWS_READ: Final = text("SELECT idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'messages'")
EVER_READ_WHOLE: Final = text(
    "SELECT sum(seq_scan) FROM pg_stat_user_tables WHERE relname IN ('messages', 'message_details')"
)


@pytest.fixture
async def many(postgres_url: str) -> AsyncIterator[Database]:
    await fill(postgres_url, NUMBER)
    database = Database.connect(postgres_url, pool_size=1)
    yield database
    await database.close()


async def times_read_whole(many: Database) -> int:
    async with many.write() as connection:
        await connection.execute(text("SELECT pg_stat_force_next_flush()"))
    async with many.read() as connection:
        return await connection.scalar(EVER_READ_WHOLE) or 0


async def some_of(connection: AsyncConnection) -> list[ParsedEvent]:
    sent = select(messages.c.id).where(messages.c.state == State.DONE.value).order_by(messages.c.id).limit(REPORTED)
    return [_clicked(each) for each in await connection.scalars(sent)]


def _clicked(message_id: UUID) -> ParsedEvent:
    return ParsedEvent(
        type=EventType.CLICKED,
        provider_event="clicked",
        dedupe=hashlib.sha256(message_id.bytes).digest(),
        raw=b"{}",
        at=1,
        message_ref=message_id,
    )


async def test_a_long_request_reads_no_table_whole(many: Database) -> None:
    async with many.read() as connection:
        given = await some_of(connection)
    about: dict[str, Any] = {"workspace_id": WORKSPACE, "source_id": WORKSPACE}
    async with many.write() as connection:
        arrived = await arriving.take_in(connection, **about, provider=Provider.GENERIC, events_=given)
        assert arrived == Arrived(REPORTED, 0)
        assert await connection.scalar(READ_WHOLE) == 0


async def test_nor_by_an_index_where_its_size_is_not_known_yet(many: Database) -> None:
    async with many.write() as connection:
        # As in the first minutes of an installation, before PostgreSQL has counted the table.
        await connection.execute(text("DELETE FROM pg_statistic WHERE starelid = 'messages'::regclass"))
        await connection.execute(text("UPDATE pg_class SET reltuples = -1 WHERE oid = 'messages'::regclass"))
    async with many.read() as connection:
        given = await some_of(connection)
    about: dict[str, Any] = {"workspace_id": WORKSPACE, "source_id": WORKSPACE, "provider": Provider.GENERIC}
    async with many.write() as connection:
        await arriving.take_in(connection, **about, events_=given)
    async with many.write() as connection:
        earlier = [msgspec.structs.replace(each, at=0, dedupe=each.dedupe[::-1]) for each in given]
        await arriving.take_in(connection, **about, events_=earlier)
        # Each once to lock it, once to change it, and what it was before the first request as often.
        assert await connection.scalar(ROWS_READ) <= 4 * REPORTED


async def test_nor_does_the_tracker(many: Database) -> None:
    async with many.read() as connection:
        given = await some_of(connection)
    about: dict[str, Any] = {"workspace_id": WORKSPACE, "source_id": WORKSPACE}
    async with many.write() as connection:
        await events.insert(connection, **about, provider=Provider.GENERIC, events_=given)
    before = await times_read_whole(many)
    await Tracker(many).pull()
    assert await times_read_whole(many) == before
    async with many.read() as connection:
        applied = select(func.count()).where(tables.events.c.applied_at.is_not(None))
        assert await connection.scalar(applied) == REPORTED
