"""Lists of messages against the plainest reading of them: all rows, filtered and sorted here."""

import asyncio
from collections.abc import AsyncIterator
from itertools import combinations_with_replacement, product
from typing import Any
from uuid import UUID

import pytest

from models.ids import new_id
from models.session import Database
from models.store import message_lists, message_views
from models.store.message_lists import Anchor, MessageFilter, Order, SortKey
from models.store.message_views import ListedPage, MessageRow, sort_value
from models.subject_words import words_of
from models.vocabulary import Channel, State, Status
from tests.support.message_rows import SUBJECTS, Mixture

WORKSPACE, OTHER = new_id(), new_id()
ORDERS = [Order(key, descending) for key, descending in product(SortKey, (True, False))]


@pytest.fixture
def mixture() -> Mixture:
    return Mixture(seed=3)


@pytest.fixture
async def rows(database: Database, mixture: Mixture) -> list[MessageRow]:
    async with database.write() as connection:
        ids = await mixture.write(connection, WORKSPACE, 150)
        await mixture.write(connection, OTHER, 20)
    async with database.read() as connection:
        found = await message_views.get_many(connection, WORKSPACE, ids)
    return list(found.values())


def in_order(rows: list[MessageRow], order: Order) -> list[MessageRow]:
    valued = [row for row in rows if sort_value(row, order.key) is not None]
    others = [row for row in rows if sort_value(row, order.key) is None]

    def key(row: MessageRow) -> Any:
        return (sort_value(row, order.key), row.id)

    return sorted(valued, key=key, reverse=order.descending) + sorted(
        others, key=lambda row: row.id, reverse=order.descending
    )


def holds(row: MessageRow, phrases: tuple[tuple[str, ...], ...]) -> bool:
    said = f" {' '.join(words_of(row.subject or ''))} "
    return all(f" {' '.join(phrase)} " in said for phrase in phrases)


def is_wanted(row: MessageRow, wanted: MessageFilter) -> bool:
    asked = {
        "channel": row.channel,
        "status": row.status,
        "contact_id": row.contact_id,
        "campaign_id": row.campaign_id,
        "journey_id": row.journey_id,
        "held": row.state is State.HELD,
    }
    given = {name: getattr(wanted, name) for name in asked}
    return holds(row, wanted.phrases) and all(
        asked[name] == value for name, value in given.items() if value is not None
    )


async def test_every_filter_and_their_pairs(database: Database, rows: list[MessageRow], mixture: Mixture) -> None:
    single: list[dict[str, Any]] = [
        {},
        *({"status": status} for status in Status),
        *({"channel": channel} for channel in Channel),
        *({"contact_id": each} for each in mixture.contacts),
        *({"campaign_id": each} for each in (*mixture.campaigns, new_id())),
        *({"journey_id": each} for each in mixture.journeys),
        *({"held": held} for held in (True, False)),
        *({"phrases": phrases} for phrases in ((("spring",),), (("spring", "sale"),), (("sale",), ("spring",)))),
        {"phrases": (("äpfel",),)},
    ]
    met = 0
    async with database.read() as connection:
        for one, two in combinations_with_replacement(single, 2):
            wanted = MessageFilter(**(one | two))
            expected = [row.id for row in in_order(rows, Order()) if is_wanted(row, wanted)]
            met += bool(expected)
            assert await message_lists.ids_of_page(connection, WORKSPACE, wanted, limit=200) == expected, wanted
            if one is two:
                assert await message_views.count(connection, WORKSPACE, wanted) == len(expected), wanted
                second = await message_views.list_page(connection, WORKSPACE, wanted, limit=3, offset=3)
                assert [row.id for row in second] == expected[3:6], wanted
    assert met > 150


@pytest.mark.parametrize("descending", [True, False])
async def test_every_page_by_its_number(database: Database, rows: list[MessageRow], *, descending: bool) -> None:
    order = Order(descending=descending)
    wanted = [MessageFilter(), *(MessageFilter(status=status) for status in Status), MessageFilter(held=False)]
    async with database.read() as connection:
        for each in wanted:
            expected = [row.id for row in in_order(rows, order) if is_wanted(row, each)]
            for offset in range(0, len(expected) + 8, 2):  # ten pages are near, most are far
                page = await message_views.list_page(connection, WORKSPACE, each, limit=2, offset=offset, order=order)
                assert [row.id for row in page] == expected[offset : offset + 2], (each, offset)


async def test_every_order(database: Database, rows: list[MessageRow]) -> None:
    everything = MessageFilter()
    async with database.read() as connection:
        for order in ORDERS:
            expected = in_order(rows, order)
            listed = await message_views.list_page(connection, WORKSPACE, everything, limit=200, order=order)
            assert listed == expected, order
            for middle, before in product((expected[70], expected[75]), (True, False)):
                at = expected.index(middle)
                anchor = Anchor(middle.id, before, sort_value(middle, order.key))
                page = await message_views.list_page(
                    connection, WORKSPACE, everything, limit=10, order=order, anchor=anchor
                )
                forward = before == order.descending
                assert page == (expected[at + 1 : at + 11] if forward else expected[at - 10 : at]), (order, anchor)


class Reader:
    """Walks a list as a client does that follows the links."""

    def __init__(self, database: Database, order: Order, limit: int) -> None:
        self._database = database
        self._order = order
        self._limit = limit

    async def page(self, anchor: Anchor | None) -> ListedPage:
        async with self._database.read() as connection:
            return await message_views.read_page(
                connection, WORKSPACE, MessageFilter(), self._order, limit=self._limit, anchor=anchor
            )

    def _place(self, row: MessageRow, *, forward: bool) -> Anchor:
        return Anchor(row.id, forward == self._order.descending, sort_value(row, self._order.key))

    async def forwards(self) -> AsyncIterator[ListedPage]:
        page = await self.page(None)
        assert not page.preceded
        while True:
            yield page
            if not page.followed:
                return
            page = await self.page(self._place(page.rows[-1], forward=True))

    async def backwards(self, page: ListedPage) -> AsyncIterator[ListedPage]:
        while page.preceded:
            page = await self.page(self._place(page.rows[0], forward=False))
            yield page


@pytest.mark.parametrize(
    "order", [Order(), Order(SortKey.ID, descending=False), Order(SortKey.DELIVERED), Order(SortKey.CAMPAIGN_ID)]
)
async def test_there_and_back_while_new_ones_arrive(
    database: Database, rows: list[MessageRow], mixture: Mixture, order: Order
) -> None:
    new: list[UUID] = []
    over = asyncio.Event()

    async def arrive() -> None:
        while not over.is_set():
            async with database.write() as connection:
                new.extend(await mixture.write(connection, WORKSPACE, 2))
            await asyncio.sleep(0.002)  # a pace at which a reader can keep up

    arriving = asyncio.create_task(arrive())
    try:
        reader = Reader(database, order, limit=11)
        pages = [page async for page in reader.forwards()]
        over.set()  # a reader on the way to the newest would never come to an end
    finally:
        over.set()
        await arriving
    assert new
    there = [row.id for page in pages for row in page.rows]
    assert len(there) == len(set(there))
    assert {row.id for row in rows} <= set(there) <= {row.id for row in rows} | set(new)
    async with database.write() as connection:
        new.extend(await mixture.write(connection, WORKSPACE, 15))
    back = [page async for page in reader.backwards(pages[-1])]
    returned = [row.id for page in reversed(back) for row in page.rows]
    last = {row.id for row in pages[-1].rows}
    assert len(returned) == len(set(returned))
    assert not last & set(returned)
    assert {row.id for row in rows} <= set(returned) | last
    if order == Order():
        assert set(returned) | last == {row.id for row in rows} | set(new)


async def test_beyond_the_ends(database: Database, rows: list[MessageRow]) -> None:
    reader = Reader(database, Order(), limit=10)
    newest, oldest = max(row.id for row in rows), min(row.id for row in rows)
    assert await reader.page(Anchor(newest, before=False)) == ListedPage([], preceded=False, followed=False)
    assert await reader.page(Anchor(oldest, before=True)) == ListedPage([], preceded=False, followed=False)
    async with database.read() as connection:
        beyond = await message_views.read_page(
            connection, WORKSPACE, MessageFilter(), Order(), limit=10, number=1_000_000
        )
    assert beyond == ListedPage([], preceded=True, followed=False)


def test_the_mixture_has_what_is_searched_for() -> None:
    assert sum(subject is not None and "Spring" in subject for subject in SUBJECTS) == 2
