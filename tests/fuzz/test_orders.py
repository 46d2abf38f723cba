"""The short form of ``long_orders``: of the requests every fourth, in two orders on each kind of database."""

from pathlib import Path

import pytest

from tests.fuzz.comparing import check_orders


@pytest.mark.timeout(600)
async def test_requests_in_any_order_end_in_the_same_rows(
    tmp_path: Path, sqlite_url: str, postgres_url: str, redis_url: str
) -> None:
    await check_orders(tmp_path, [sqlite_url, postgres_url], redis_url, orders=2, every=4)
