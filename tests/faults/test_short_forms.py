"""Every experiment in short; ``make faults`` has them in earnest."""

from pathlib import Path

import pytest

from tests.faults import targeted, versions
from tests.faults.experiment import Place, Size
from tests.faults.run import EXPERIMENTS, conduct
from tests.support.postgres import PostgresServer

SEED = 20_261_122
# These leave their house at rest, so that the next one of them finds what it needs there.
TOGETHER = {
    ("migration-under-load", "two-versions"): versions.both,
    ("flushed", "killed-and-woken", "any-order"): targeted.all_three,
}
ALONE = {name: run for name, run in EXPERIMENTS.items() if not any(name in names for names in TOGETHER)}
EVERY = ALONE | {", ".join(names): run for names, run in TOGETHER.items()}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", EVERY)
async def test_nothing_is_found_that_should_not_be(name: str, tmp_path: Path, postgres_server: PostgresServer) -> None:
    found = await conduct(EVERY[name], Place(tmp_path, postgres_server, SEED, print), Size.SHORT)
    if found.is_nothing and not found.faults:
        pytest.skip("; ".join(found.left_out))
    assert found.faults == [], found.figures
