"""A fifth of the endpoints hang for two minutes: the figures. Pytest collects it only by its name, with ``-s``."""

import sys
from pathlib import Path

import pytest

from models.session import Database
from tests.support import hanging
from tests.support.broker import ValkeyServer


@pytest.mark.timeout(400)
async def test_the_others_p99_is_at_most_twice_their_normal_one(
    tmp_path: Path, database: Database, valkey: ValkeyServer
) -> None:
    found = await hanging.compare(tmp_path, database, valkey.url, rounds=150, stretches=8)
    stretches = " ".join(f"{each * 1000:.0f}" for each in found.hung)
    sys.stdout.write(f"\np99 in ms: {found.normal * 1000:.0f} normally; while a fifth hang {stretches}\n")
    assert found.median <= 2 * found.normal
    assert found.most_in_hand <= 25
    assert found.failed == 0
