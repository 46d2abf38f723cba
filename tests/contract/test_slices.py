"""Pages of lists that nobody counts: each row is on one page, and no more is read than is said."""

from uuid import UUID

import pytest
from sqlalchemy import insert, select

from models import ids
from models.session import Database
from models.store import listed
from models.store.slices import Listing, Place, Slice, read_slice
from models.store.suppressions import SuppressionFilter, SuppressionRow
from models.tables import suppressions
from models.vocabulary import Channel
from tests.support.scene import Scene

NUMBER = 23


@pytest.fixture
async def made(scene: Scene) -> list[UUID]:
    """The ids of suppressions, the newest first; every fifth is of PUSH."""
    rows = [
        {
            "id": ids.since(number),
            "workspace_id": scene.workspace_id,
            "channel": Channel.PUSH.value if number % 5 == 0 else Channel.EMAIL.value,
            "address_digest": number.to_bytes(16, "big"),
            "kind": "dead",
            "topic": "",
            "reason": "manual",
            "created_at": number,
        }
        for number in range(1, NUMBER + 1)
    ]
    async with scene.database.write() as connection:
        await connection.execute(insert(suppressions), rows)
    return [ids.since(number) for number in range(NUMBER, 0, -1)]


async def page(scene: Scene, at: Place | None, *, wanted: bool = False) -> Slice[SuppressionRow]:
    """A page of five of all, or of two of PUSH, for which eight rows are looked at."""
    listing = Listing(
        SuppressionRow,
        select(*(suppressions.c[name] for name in SuppressionRow.__struct_fields__)),
        suppressions.c.id,
        [suppressions.c.workspace_id == scene.workspace_id],
        [suppressions.c.channel == Channel.PUSH.value] if wanted else [],
        searches=8,
    )
    async with scene.database.read() as connection:
        return await read_slice(connection, listing, most=2 if wanted else 5, at=at)


async def test_each_row_is_on_one_page_downwards_and_upwards(scene: Scene, made: list[UUID]) -> None:
    pages = [await page(scene, None)]
    assert pages[0].newer is None
    while (older := pages[-1].older) is not None:
        pages.append(await page(scene, older))
    assert [row.id for each in pages for row in each.rows] == made
    assert [len(each.rows) for each in pages] == [5, 5, 5, 5, 3]
    assert not any(each.searched for each in pages)
    back = [pages[-1]]
    while (newer := back[-1].newer) is not None:
        back.append(await page(scene, newer))
    assert [[row.id for row in each.rows] for each in back[::-1]] == [[row.id for row in each.rows] for each in pages]


async def test_what_lies_before_the_newest_is_the_newest_page(scene: Scene, made: list[UUID]) -> None:
    found = await page(scene, Place(made[2], before=False))
    assert [row.id for row in found.rows] == made[:5]
    assert (await page(scene, Place(made[-1], before=True))).rows == []


async def test_a_filter_is_held_against_so_many_rows_and_no_more(scene: Scene, made: list[UUID]) -> None:
    wanted = [each for each in made if (each.int >> 80) % 5 == 0]
    pages = [await page(scene, None, wanted=True)]
    while (older := pages[-1].older) is not None:
        pages.append(await page(scene, older, wanted=True))
    assert [row.id for each in pages for row in each.rows] == wanted
    assert [(len(each.rows), each.searched) for each in pages] == [(1, True), (2, True), (1, False)]
    upwards = await page(scene, Place(made[-1], before=False), wanted=True)
    assert [row.id for row in upwards.rows] == [wanted[3]]
    assert (upwards.searched, upwards.newer) == (True, Place(made[14], before=False))


async def test_an_address_is_found_wherever_it_is(scene: Scene, made: list[UUID]) -> None:
    own = SuppressionFilter(addresses=[(Channel.EMAIL, (3).to_bytes(16, "big"))])
    async with scene.database.read() as connection:
        found = await listed.of_suppressions(connection, scene.workspace_id, own, None)
        others = await listed.of_suppressions(connection, ids.new_id(), own, None)
    assert ([row.id for row in found.rows], others.rows) == ([ids.since(3)], [])


async def test_templates_and_keys_of_others_are_not_listed(database: Database) -> None:
    async with database.read() as connection:
        for read in (listed.of_campaigns, listed.of_templates, listed.of_keys, listed.of_people):
            assert (await read(connection, ids.new_id(), None)).rows == []
