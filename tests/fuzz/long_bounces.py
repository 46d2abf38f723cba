"""``make fuzz``: a hundred thousand broken bounces, in four parts. Pytest collects it only by its name."""

import pytest

from tests.fuzz.bounce_mails import SEED, mutate

_PARTS = 4


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("part", range(_PARTS))
def test_a_hundred_thousand_broken_mails_are_read(part: int) -> None:
    print(mutate(100_000 // _PARTS, SEED + 1 + part))
