"""``make fuzz``: a hundred thousand broken bodies of every hook. Pytest collects it only by its name."""

import pytest

from models.evidence import Provider
from tests.fuzz.bounce_mails import SEED
from tests.fuzz.hook_bodies import read_broken
from tests.fuzz.test_hook_bodies import HOOKS


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("provider", HOOKS)
def test_a_hundred_thousand_broken_bodies_are_read(provider: Provider) -> None:
    assert read_broken(provider, 100_000, SEED + 1) < 1.0
