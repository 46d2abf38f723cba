"""How PostgreSQL reads lists: by an index and no further than the page, whatever is asked for.

Plans on twenty thousand messages; ``make bench-lists`` measures the times on a million.
"""

from collections.abc import AsyncIterator, Iterator
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from bench.list_plans import Plan, explain
from bench.lists import FILTERS
from bench.many_messages import WORKSPACE, fill
from models import migrate
from models.faults import Fault
from models.lifecycle import FILES_OF, File
from models.session import Database
from models.store import message_views
from models.store.message_lists import Anchor, MessageFilter
from models.vocabulary import Status
from tests.support.postgres import PostgresServer

NUMBER = 20_000
BY_AN_INDEX = {"Index Scan", "Index Only Scan", "Bitmap Index Scan", "Bitmap Heap Scan"}
LIMIT = 25
# Words are looked up or met on the way, whichever the database holds for shorter: both read more than the page.
BY_WORD = sorted(name for name, wanted in FILTERS.items() if wanted.phrases)
# What no index has as a whole: one of its parts leads, and the rest is read on the way.
IN_PART = ["campaign TELEGRAM", "contact BOUNCED", *(f"fault {fault}" for fault in Fault)]
ARRIVING = {status for status, files in FILES_OF.items() if File.SENT in files}
SMALL = {"template_versions", "message_counts", "message_count_changes"}
NOT_THERE = UUID(int=2**128 - 1)
# Filed with others (``lifecycle.FILES_OF``): these are read on the way, as far as the page goes.
AMONG_OTHERS = sorted(name for name, wanted in FILTERS.items() if wanted.status in ARRIVING and name not in IN_PART)
BY_INDEX = sorted(FILTERS.keys() - {*BY_WORD, *IN_PART, *AMONG_OTHERS})


@pytest.fixture(scope="module")
def many_url(postgres_server: PostgresServer) -> Iterator[str]:
    name = postgres_server.create()
    migrate.upgrade(postgres_server.url(name))
    yield postgres_server.url(name)
    postgres_server.drop(name)


@pytest.fixture
async def many(many_url: str) -> AsyncIterator[Database]:
    """The same rows for every test of this module: written by the first."""
    database = Database.connect(many_url, pool_size=1)
    async with database.read() as connection:
        there = await message_views.count(connection, WORKSPACE, MessageFilter())
    if not there:
        await fill(many_url, NUMBER)
    yield database
    await database.close()


async def plans_of(database: Database, wanted: MessageFilter, anchor: Anchor | None = None) -> list[Plan]:
    async def page(connection: AsyncConnection) -> None:
        await message_views.list_page(connection, WORKSPACE, wanted, limit=LIMIT, anchor=anchor)

    return await explain(database, page)


async def read_for_a_page(database: Database, name: str) -> int:
    """The most rows that a page of a list reads, the first or one further down; all of them by an index."""
    async with database.read() as connection:
        rows = await message_views.list_page(connection, WORKSPACE, FILTERS[name], limit=1, offset=LIMIT * 3)
    most = 0
    for anchor in [None, *(Anchor(row.id, before=True) for row in rows)]:
        for plan in await plans_of(database, FILTERS[name], anchor):
            assert plan.scans
            # There are no template versions, and of counts few: it may read all of them.
            read = [scan for scan in plan.scans if scan.get("Relation Name") not in SMALL]
            kinds = {scan["Node Type"] for scan in read}
            assert kinds <= BY_AN_INDEX, (name, kinds)
            if read:
                most = max(most, plan.rows_read)
    return most


async def test_lists_read_their_page_and_no_more(many: Database) -> None:
    for name in BY_INDEX:
        read = await read_for_a_page(many, name)
        assert read <= 8 * LIMIT, (name, read)


async def test_what_is_filed_with_others_is_read_as_far_as_the_page_goes(many: Database) -> None:
    for name in AMONG_OTHERS:
        async with many.read() as connection:
            there = await message_views.count(connection, WORKSPACE, FILTERS[name])
        read = await read_for_a_page(many, name)
        assert 0 < read <= 8 * LIMIT * NUMBER / there, (name, read, there)


async def test_nothing_is_read_for_a_status_that_no_message_of_the_channel_has(many: Database) -> None:
    async def page(connection: AsyncConnection) -> None:
        wanted = MessageFilter(status=Status.CLICKED, campaign_id=NOT_THERE)
        assert await message_views.list_page(connection, WORKSPACE, wanted, limit=LIMIT) == []

    plans = await explain(many, page)
    assert plans
    assert {scan.get("Relation Name") for plan in plans for scan in plan.scans} <= SMALL


async def test_lists_by_words_begin_at_an_index(many: Database) -> None:
    for name in [*BY_WORD, *IN_PART]:
        for plan in await plans_of(many, FILTERS[name]):
            whole = [scan["Relation Name"] for scan in plan.scans if scan["Node Type"] == "Seq Scan"]
            assert set(whole) <= SMALL, name
    rare, *_ = await plans_of(many, FILTERS["word of one"])
    assert [scan.get("Index Name") for scan in rare.scans if scan["Node Type"] == "Bitmap Index Scan"] == [
        "ix_message_details_subject_words"
    ]
    assert rare.rows_read <= 4 * LIMIT


def test_every_filter_is_in_one_of_them() -> None:
    assert len(BY_INDEX) + len(AMONG_OTHERS) > 20
    assert len(AMONG_OTHERS) == len(ARRIVING)
    assert len(BY_WORD) > 5
