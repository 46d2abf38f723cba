"""Orders of all requests against each other, on databases of several kinds."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.fuzz.orders import Rows, house

_AGO_S: Final = 3_600


async def check_orders(
    folder: Path, database_urls: Sequence[str], redis_url: str, *, orders: int, every: int = 1
) -> Rows:
    """Raises AssertionError with what differs between two of ``orders`` orders on any of the databases.

    ``every``: of so many requests one is made. Returns the rows that all ended in.
    """
    zero = int(time.time()) - _AGO_S
    expected: Rows | None = None
    for number, url in enumerate(database_urls):
        async with house(folder, url, redis_url) as made:
            for order in range(orders):
                rows = await made.play(seed=100 * number + order, zero=zero, every=every)
                expected = expected or rows
                for table, found in rows.items():
                    more, missing = _difference(found, expected[table])
                    assert not more + missing, f"order {order} on {url.partition(':')[0]}, {table}: {more} {missing}"
    assert expected is not None
    return expected


def _difference(found: Sequence[str], expected: Sequence[str]) -> tuple[list[str], list[str]]:
    ours, theirs = Counter(found), Counter(expected)
    return list((ours - theirs).elements()), list((theirs - ours).elements())
