"""``make fuzz``: a hundred thousand broken bodies of every hook, ten thousand to a server. Found by its name only."""

from pathlib import Path

import pytest

from models.evidence import Provider
from tests.fuzz.bounce_mails import SEED
from tests.fuzz.figures import LONGEST_S
from tests.fuzz.hook_bodies import read_broken
from tests.fuzz.served_bodies import HOOKS, house, post_broken
from tests.fuzz.test_hook_bodies import ADAPTERS

TO_THE_ADAPTER = 100_000
TO_A_SERVER = 10_000


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("provider", ADAPTERS)
def test_a_hundred_thousand_broken_bodies_are_read(provider: Provider) -> None:
    figures = read_broken(provider, TO_THE_ADAPTER, SEED + 1)
    print(f"{provider}: {figures}")
    assert figures.slowest_s < LONGEST_S


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("provider", HOOKS)
async def test_ten_thousand_broken_bodies_are_answered(
    tmp_path: Path, sqlite_url: str, redis_url: str, provider: Provider
) -> None:
    async with house(tmp_path, sqlite_url, redis_url) as tenant:
        figures = await post_broken(tenant, provider, TO_A_SERVER, SEED + 1)
    print(f"{provider}, served: {figures}")
