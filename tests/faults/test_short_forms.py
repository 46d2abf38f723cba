"""Every experiment in short; ``make faults`` has them in earnest."""

from pathlib import Path

import pytest

from tests.faults.experiment import Place, Size
from tests.faults.run import EXPERIMENTS, conduct
from tests.support.postgres import PostgresServer

SEED = 20_261_122


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", EXPERIMENTS)
async def test_nothing_is_found_that_should_not_be(name: str, tmp_path: Path, postgres_server: PostgresServer) -> None:
    found = await conduct(EXPERIMENTS[name], Place(tmp_path, postgres_server, SEED, print), Size.SHORT)
    if found.is_nothing and not found.faults:
        pytest.skip("; ".join(found.left_out))
    assert found.faults == [], found.figures
