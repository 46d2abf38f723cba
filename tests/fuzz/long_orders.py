"""``make fuzz``: all requests in five orders on each kind of database. Pytest collects it only by its name."""

from pathlib import Path

import pytest

from tests.fuzz.comparing import check_orders


@pytest.mark.timeout(1500)
async def test_all_requests_in_five_orders_end_in_the_same_rows(
    tmp_path: Path, sqlite_url: str, postgres_url: str, redis_url: str
) -> None:
    rows = await check_orders(tmp_path, [sqlite_url, postgres_url], redis_url, orders=5)
    assert len(rows["events"]) > 300
