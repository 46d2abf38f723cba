"""The short form of ``long_hook_bodies``: bodies to the adapters, and some to a real server."""

from pathlib import Path

import pytest

from models.evidence import Provider
from tests.fuzz.figures import LONGEST_S
from tests.fuzz.hook_bodies import read_broken
from tests.fuzz.served_bodies import HOOKS, house, post_broken

ADAPTERS = [each for each in HOOKS if each is not Provider.BOUNCE_MAIL]
A_SHORT_FORM = 200
TO_A_SERVER = 60


@pytest.mark.parametrize("provider", ADAPTERS)
def test_broken_bodies_are_read(provider: Provider) -> None:
    assert read_broken(provider, A_SHORT_FORM).slowest_s < LONGEST_S


@pytest.mark.timeout(240)
async def test_no_broken_body_breaks_the_server(tmp_path: Path, database_url: str, redis_url: str) -> None:
    async with house(tmp_path, database_url, redis_url) as tenant:
        for provider in HOOKS:
            figures = await post_broken(tenant, provider, TO_A_SERVER)
            assert figures.refused < TO_A_SERVER, provider
