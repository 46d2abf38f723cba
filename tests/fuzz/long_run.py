"""``make fuzz``: every phase, 10,000 cases and more on each kind of database. Pytest collects it only by its name."""

from pathlib import Path

import pytest

from tests.fuzz.fuzzing import fuzz

_SECONDS = 1500


@pytest.mark.timeout(_SECONDS + 120)
async def test_ten_thousand_cases_find_nothing(tmp_path: Path, database_url: str, redis_url: str) -> None:
    phases = "examples,coverage,fuzzing,stateful"
    assert await fuzz(tmp_path, database_url, redis_url, cases=120, seconds=_SECONDS, phases=phases) >= 10_000
