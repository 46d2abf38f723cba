"""Transactions and the database's own clock, on both databases."""

import asyncio
import time

import pytest
from sqlalchemy import insert, select, text, update

from models.errors import StorageUnavailable
from models.session import Database, now_ms
from models.tables import channel_pauses
from tests.support.waiting import wait_for_sqlite_threads

_ROW = {"channel": "EMAIL", "until": 0, "detail": ""}


async def test_the_clock_counts_milliseconds(database: Database) -> None:
    before = time.time_ns() // 1_000_000
    async with database.read() as connection:
        first = (await connection.execute(select(now_ms()))).scalar_one()
    assert before - 2 <= first <= time.time_ns() // 1_000_000 + 2


async def test_a_write_is_kept_whole_or_not_at_all(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(insert(channel_pauses), _ROW)

    async def fail_half_way() -> None:
        async with database.write() as connection:
            await connection.execute(update(channel_pauses).values(until=1))
            raise LookupError

    with pytest.raises(LookupError):
        await fail_half_way()
    async with database.read() as connection:
        assert (await connection.execute(select(channel_pauses.c.until))).scalars().all() == [0]


async def test_what_is_written_at_once_is_seen_by_whoever_looks(database: Database) -> None:
    async with database.write_at_once() as connection:
        await connection.execute(insert(channel_pauses), _ROW)
    async with database.look() as connection:
        assert (await connection.execute(select(channel_pauses.c.until))).scalars().all() == [0]


async def test_what_began_nothing_leaves_no_trace_on_its_connection(postgres_url: str) -> None:
    """The next to have it writes in a transaction, as ever."""
    database = Database.connect(postgres_url, pool_size=1)

    async def fail_half_way() -> None:
        async with database.write() as connection:
            await connection.execute(insert(channel_pauses), _ROW)
            raise LookupError

    shared = []
    try:
        for lent in (database.look, database.write_at_once, database.read):
            async with lent() as connection:
                first, second = [await connection.scalar(text("SELECT pg_current_xact_id()::text")) for _ in range(2)]
            shared.append(first == second)
            with pytest.raises(LookupError):
                await fail_half_way()
            async with database.look() as connection:
                assert (await connection.execute(select(channel_pauses))).all() == []
    finally:
        await database.close()
    assert shared == [False, False, True]


async def test_writers_that_read_first_take_turns(database: Database) -> None:
    """On SQLite a deferred transaction would fail here with "database is locked"; PostgreSQL locks the row."""
    async with database.write() as connection:
        await connection.execute(insert(channel_pauses), _ROW)

    async def count_up() -> None:
        async with database.write() as connection:
            read = select(channel_pauses.c.until).with_for_update()
            until = (await connection.execute(read)).scalar_one()
            await connection.execute(update(channel_pauses).values(until=until + 1))

    await asyncio.gather(*(count_up() for _ in range(20)))
    async with database.read() as connection:
        assert (await connection.execute(select(channel_pauses.c.until))).scalar_one() == 20


async def test_no_writer_of_a_process_is_passed_by_others_on_sqlite(sqlite_url: str) -> None:
    database, turns = Database.connect(sqlite_url), list[int]()

    async def write(number: int) -> None:
        for _ in range(10):
            async with database.write() as connection:
                await connection.execute(select(now_ms()))
                turns.append(number)

    await asyncio.gather(*(write(number) for number in range(8)))
    await database.close()
    assert [len(set(turns[start : start + 8])) for start in range(0, 80, 8)] == [8] * 10


async def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    async with database.write() as writer:
        await writer.execute(insert(channel_pauses), _ROW)
        async with asyncio.timeout(5), database.read() as reader:
            assert (await reader.execute(select(channel_pauses))).all() == []


@pytest.mark.parametrize(
    "url",
    ["postgresql://nobody@127.0.0.1:1/none", "postgresql://nobody@/none?host=/nowhere", "sqlite:////nowhere/none.db"],
)
async def test_a_database_that_is_away_is_unavailable(url: str) -> None:
    database = Database.connect(url)
    for transaction in (database.read, database.write, database.look, database.write_at_once):
        with pytest.raises(StorageUnavailable):
            await transaction().__aenter__()
    await database.close()
    await wait_for_sqlite_threads()


async def test_sqlite_is_durable_and_enforces_references(sqlite_url: str) -> None:
    database = Database.connect(sqlite_url)
    async with database.read() as connection:
        found = {
            name: (await connection.execute(text(f"PRAGMA {name}"))).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    await database.close()


async def test_what_is_left_open_holds_nobody_up_for_long(postgres_url: str) -> None:
    """As where a machine is gone: its line stays, and nothing is said on it."""
    gone, others = Database.connect(postgres_url, pool_size=1), Database.connect(postgres_url, pool_size=1)
    try:
        async with others.write() as connection:
            await connection.execute(insert(channel_pauses), _ROW)
            limit = await connection.scalar(text("SHOW idle_in_transaction_session_timeout"))
        assert limit == "10s"

        async def begin_and_vanish(holds: asyncio.Event, freed: asyncio.Event) -> None:
            async with gone.write() as connection:
                await connection.execute(update(channel_pauses).values(until=1))
                await connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 50"))
                holds.set()
                await freed.wait()
                await connection.execute(update(channel_pauses).values(until=2))

        holds, freed = asyncio.Event(), asyncio.Event()
        vanished = asyncio.create_task(begin_and_vanish(holds, freed))
        await asyncio.wait_for(holds.wait(), 40)
        async with others.write() as connection:  # waits for the row, and gets it
            await connection.execute(update(channel_pauses).values(until=3))
        freed.set()
        with pytest.raises(StorageUnavailable):
            await vanished
        async with gone.read() as connection:  # and is well again
            assert (await connection.execute(select(channel_pauses.c.until))).scalar_one() == 3
    finally:
        await gone.close()
        await others.close()
