"""How PostgreSQL reads lists: by an index and no further than the page, whatever is asked for.

Plans on twenty thousand messages; ``make bench-lists`` measures the times on a million.
"""

from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from bench.list_plans import Plan, explain
from bench.lists import FILTERS
from bench.many_messages import WORKSPACE, fill
from models import migrate
from models.faults import Fault
from models.session import Database
from models.store import message_views
from models.store.message_lists import Anchor, MessageFilter
from tests.support.postgres import PostgresServer

NUMBER = 20_000
BY_AN_INDEX = {"Index Scan", "Index Only Scan", "Bitmap Index Scan", "Bitmap Heap Scan"}
LIMIT = 25
# Words are looked up or met on the way, whichever the database holds for shorter: both read more than the page.
BY_WORD = sorted(name for name, wanted in FILTERS.items() if wanted.phrases)
# What no index has as a whole: one of its parts leads, and the rest is read on the way.
IN_PART = ["campaign TELEGRAM", "contact BOUNCED", *(f"fault {fault}" for fault in Fault)]
BY_INDEX = sorted(FILTERS.keys() - {*BY_WORD, *IN_PART})


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


async def test_lists_read_their_page_and_no_more(many: Database) -> None:
    for name in BY_INDEX:
        async with many.read() as connection:
            rows = await message_views.list_page(connection, WORKSPACE, FILTERS[name], limit=1, offset=LIMIT * 3)
        anchors = [None, *(Anchor(row.id, before=True) for row in rows)]
        for anchor in anchors:
            for plan in await plans_of(many, FILTERS[name], anchor):
                assert plan.scans
                # There are no template versions: it may read all of none.
                read = [scan for scan in plan.scans if scan.get("Relation Name") != "template_versions"]
                kinds = {scan["Node Type"] for scan in read}
                assert kinds <= BY_AN_INDEX, (name, kinds)
                assert plan.rows_read <= 8 * LIMIT, (name, plan.rows_read)


async def test_lists_by_words_begin_at_an_index(many: Database) -> None:
    for name in [*BY_WORD, *IN_PART]:
        for plan in await plans_of(many, FILTERS[name]):
            whole = [scan["Relation Name"] for scan in plan.scans if scan["Node Type"] == "Seq Scan"]
            assert set(whole) <= {"template_versions"}, name
    rare, *_ = await plans_of(many, FILTERS["word of one"])
    assert [scan.get("Index Name") for scan in rare.scans if scan["Node Type"] == "Bitmap Index Scan"] == [
        "ix_message_details_subject_words"
    ]
    assert rare.rows_read <= 4 * LIMIT


def test_every_filter_is_in_one_of_them() -> None:
    assert len(BY_INDEX) > 20
    assert len(BY_WORD) > 5
