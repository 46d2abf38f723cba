"""How many requests a second an API key may make."""

import pytest

from api_shim.key_limits import KeyLimits
from api_shim.problems import Problem
from api_shim.settings import ApiSettings
from models.errors import InvalidSetting
from models.ids import new_id


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_ten_seconds_at_once_and_then_as_many_as_were_said() -> None:
    clock = Clock()
    limits = KeyLimits(4.0, clock)
    one, other = new_id(), new_id()
    for _ in range(40):
        limits.count(one)
    with pytest.raises(Problem) as refused:
        limits.count(one)
    assert (refused.value.type.status, refused.value.headers) == (429, {"Retry-After": "1"})
    limits.count(other)
    clock.now += 1
    for _ in range(4):
        limits.count(one)
    with pytest.raises(Problem):
        limits.count(one)


def test_without_a_limit_nobody_is_refused() -> None:
    limits = KeyLimits(None)
    key = new_id()
    for _ in range(1000):
        limits.count(key)


@pytest.mark.parametrize(("text", "found"), [("", None), ("50", 50.0), ("2.5", 2.5)])
def test_the_setting(text: str, found: float | None) -> None:
    assert ApiSettings.read({"WIREROOM_RATE_API": text}).key_rate == found


@pytest.mark.parametrize("text", ["many", "0", "0.5", "-1", "inf", "nan"])
def test_a_setting_that_is_none_is_named(text: str) -> None:
    with pytest.raises(InvalidSetting, match="WIREROOM_RATE_API"):
        ApiSettings.read({"WIREROOM_RATE_API": text})
