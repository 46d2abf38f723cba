import time

import pytest

from models import timestamps
from wireroom import moments
from wireroom.accounts import expiry


@pytest.mark.parametrize(
    ("text", "seconds"), [("45m", 45 * 60), ("12h", 12 * 3600), ("30d", 30 * 86400), ("2w", 14 * 86400)]
)
def test_a_duration_counts_from_now(text: str, seconds: int) -> None:
    before = time.time_ns() // 1_000_000
    moment = expiry(text)
    after = time.time_ns() // 1_000_000
    assert before <= moment - seconds * 1000 <= after


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2999-01-15", "2999-01-15T00:00:00.000Z"),
        ("2999-01-15T10:00:00Z", "2999-01-15T10:00:00.000Z"),
        ("2999-01-15T10:00:00+02:00", "2999-01-15T08:00:00.000Z"),
    ],
)
def test_a_date_or_a_time_is_taken_as_it_stands(text: str, shown: str) -> None:
    assert timestamps.show(expiry(text)) == shown


@pytest.mark.parametrize(
    "text", ["", "0d", "-1d", "soon", "1y", "2001-01-15", "2999-01-15T10:00:00", "2999-13-40", "999999w"]
)
def test_what_has_passed_or_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        expiry(text)


def test_a_duration_longer_than_the_calendar_is_refused() -> None:
    with pytest.raises(ValueError, match="is no time"):
        moments.before("999999w", time.time_ns() // 1_000_000)
