"""Lists over a million messages, and the numbers of a campaign of as many: what the database needs, by its own measure.

``make bench-lists``.
"""

import asyncio
import stat
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from bench import postgres
from bench.list_plans import explain
from bench.many_messages import CAMPAIGN_WORKSPACE, WORKSPACE, Known, fill, fill_campaign
from bench.processes import Children
from models import migrate
from models.faults import Fault
from models.session import Database
from models.store import campaign_numbers, message_views
from models.store.message_lists import NEWEST_FIRST, Anchor, MessageFilter, Order, SortKey
from models.store.message_views import sort_value
from models.vocabulary import Channel, Status
from wireroom.settings import fresh_environment

_BEST_OF: Final = 5
_LIMIT: Final = 50
_FAR_PAGE: Final = 10_000
_PAGE_1_MS: Final = 10.0
_FAR_PAGE_MS: Final = 400.0
_NUMBERS_MS: Final = 50.0
_NEXT_RATIO: Final = 3.0
# Below it a ratio of two times is a ratio of two noises.
_TOO_SHORT_MS: Final = 0.5

KNOWN: Final = Known()
FILTERS: Final[dict[str, MessageFilter]] = {
    "everything": MessageFilter(),
    **{f"status {status}": MessageFilter(status=status) for status in Status},
    **{f"channel {channel}": MessageFilter(channel=channel) for channel in Channel},
    "contact of many": MessageFilter(contact_id=KNOWN.contact),
    "contact": MessageFilter(contact_id=KNOWN.other_contact),
    "campaign of many": MessageFilter(campaign_id=KNOWN.campaign),
    "campaign": MessageFilter(campaign_id=KNOWN.small_campaign),
    "journey": MessageFilter(journey_id=KNOWN.journey),
    "held": MessageFilter(held=True),
    "not held": MessageFilter(held=False),
    **{f"fault {fault}": MessageFilter(fault=fault) for fault in Fault},
    "word of many": MessageFilter(phrases=(("news",),)),
    "word of some": MessageFilter(phrases=(("digest",),)),
    "word of few": MessageFilter(phrases=(("name7",),)),
    "word of one": MessageFilter(phrases=(("777",),)),
    "word of none": MessageFilter(phrases=(("nowhere",),)),
    "phrase": MessageFilter(phrases=(("digest", "is"),)),
    "campaign BOUNCED": MessageFilter(campaign_id=KNOWN.campaign, status=Status.BOUNCED),
    "channel TELEGRAM, BOUNCED": MessageFilter(channel=Channel.TELEGRAM, status=Status.BOUNCED),
    "campaign TELEGRAM": MessageFilter(campaign_id=KNOWN.campaign, channel=Channel.TELEGRAM),
    "contact BOUNCED": MessageFilter(contact_id=KNOWN.contact, status=Status.BOUNCED),
    "word, channel TELEGRAM": MessageFilter(phrases=(("news",),), channel=Channel.TELEGRAM),
}


class Figure(NamedTuple):
    """Milliseconds of one filter; None where the list is not that long."""

    name: str
    page_1: float
    next_page: float | None
    far_page: float | None

    @property
    def is_good(self) -> bool:
        """Whether it keeps the bounds."""
        next_page, far_page = self.next_page or 0.0, self.far_page or 0.0
        return (
            self.page_1 <= _PAGE_1_MS
            and next_page <= _NEXT_RATIO * max(self.page_1, _TOO_SHORT_MS)
            and far_page <= _FAR_PAGE_MS
        )


async def best(
    database: Database, wanted: MessageFilter, *, order: Order = NEWEST_FIRST, offset: int = 0, at: Anchor | None = None
) -> float:
    """The least time that the statements of one page took, together."""

    async def page(connection: AsyncConnection) -> None:
        await message_views.list_page(
            connection, WORKSPACE, wanted, limit=_LIMIT, offset=offset, order=order, anchor=at
        )

    times = [sum(plan.milliseconds for plan in await explain(database, page)) for _ in range(_BEST_OF)]
    return min(times)


async def _measure_one(database: Database, name: str, wanted: MessageFilter, order: Order) -> Figure:
    page_1 = await best(database, wanted, order=order)
    async with database.read() as connection:
        total = await message_views.count(connection, WORKSPACE, wanted)
        deep = await message_views.list_page(
            connection, WORKSPACE, wanted, limit=1, offset=max(0, total * 9 // 10 - _LIMIT), order=order
        )
    next_page = far_page = None
    if total > 2 * _LIMIT:
        anchor = Anchor(deep[0].id, order.descending, sort_value(deep[0], order.key))
        next_page = await best(database, wanted, order=order, at=anchor)
    if total > _LIMIT:
        # Most lists are read from their other end behind the middle, the rest from their beginning all the way.
        offsets = {min(_FAR_PAGE * _LIMIT, end) - _LIMIT for end in (total, max(_LIMIT, total // 2))}
        far_page = max([await best(database, wanted, order=order, offset=offset) for offset in offsets])
    return Figure(name, page_1, next_page, far_page)


async def numbers_ms(database: Database) -> float:
    """The least time that the numbers of the campaign with all messages took."""

    async def read(connection: AsyncConnection) -> None:
        await campaign_numbers.read(connection, CAMPAIGN_WORKSPACE, KNOWN.campaign)

    return min([sum(plan.milliseconds for plan in await explain(database, read)) for _ in range(_BEST_OF)])


async def _measure(url: str, number: int, console: Console) -> tuple[list[Figure], float]:
    database = Database.connect(url, pool_size=1)
    try:
        began = time.monotonic()
        await fill(url, number)
        console.print(f"{number:,} messages in {time.monotonic() - began:.0f} s")
        figures = [await _measure_one(database, name, wanted, NEWEST_FIRST) for name, wanted in FILTERS.items()]
        oldest = Order(SortKey.ID, descending=False)
        figures.append(await _measure_one(database, "the oldest first", MessageFilter(), oldest))
        await fill_campaign(url, number)
        return figures, await numbers_ms(database)
    finally:
        await database.close()


def _show(console: Console, figures: Sequence[Figure]) -> None:
    table = Table("list", "page 1, ms", "next at 90 %, ms", f"as far as page {_FAR_PAGE:,}, ms", "")
    for figure in figures:
        times = ["" if each is None else f"{each:.2f}" for each in figure[1:]]
        table.add_row(figure.name, *times, "" if figure.is_good else "too long")
    console.print(table)


def main(
    messages: Annotated[int, typer.Option(min=1_000, max=100_000_000, help="How many.")] = 1_000_000,
) -> None:
    """What lists cost at the database; exit code 1 where one of them takes longer than it may."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="wr-lists-") as name:
        folder = Path(name)
        folder.chmod(stat.S_IRWXU | stat.S_IXGRP | stat.S_IXOTH)
        with Children(folder, fresh_environment({})) as children:
            server = postgres.start(children, folder / "postgres")
            migrate.upgrade(server.url)
            figures, numbers = asyncio.run(_measure(server.url, messages, console))
    _show(console, figures)
    console.print(f"the numbers of a campaign of {messages:,} messages: {numbers:.2f} ms")
    if numbers > _NUMBERS_MS or not all(figure.is_good for figure in figures):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
