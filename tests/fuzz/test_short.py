"""The short form of ``make fuzz``."""

from pathlib import Path

import pytest

from tests.fuzz.fuzzing import fuzz


@pytest.mark.timeout(600)
async def test_some_hundred_cases_find_nothing(tmp_path: Path, sqlite_url: str, redis_url: str) -> None:
    assert await fuzz(tmp_path, sqlite_url, redis_url, cases=3, seconds=500, phases="examples,fuzzing") > 500
