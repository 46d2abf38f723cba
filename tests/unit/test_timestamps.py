"""Times: milliseconds inside, RFC 3339 outside."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import timestamps

_LAST = 253_402_300_799_999  # the last millisecond of the year 9999


@given(st.integers(0, _LAST))
def test_what_is_shown_is_read_back(millis: int) -> None:
    assert timestamps.parse(timestamps.show(millis)) == millis


@pytest.mark.parametrize(
    ("millis", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (1_768_471_200_120, "2026-01-15T10:00:00.120Z"),
        (_LAST, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_the_form(millis: int, text: str) -> None:
    assert timestamps.show(millis) == text
    assert timestamps.show_optional(millis) == text


def test_no_time_stays_none() -> None:
    assert timestamps.show_optional(None) is None


@pytest.mark.parametrize(
    "text", ["2026-01-15T12:00:00.120+02:00", "2026-01-15T10:00:00.1204Z", "2026-01-15t10:00:00.12Z"]
)
def test_other_zones_and_precisions_are_read(text: str) -> None:
    assert timestamps.show(timestamps.parse(text)) == "2026-01-15T10:00:00.120Z"


@pytest.mark.parametrize("text", ["", "now", "2026-01-15", "2026-01-15T10:00:00", "2026-02-30T10:00:00Z", "1768471200"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the reader's own words, whatever they are
        timestamps.parse(text)


def test_an_aware_datetime_keeps_its_instant() -> None:
    here = datetime(2026, 1, 15, 12, tzinfo=timezone(timedelta(hours=2)))
    assert timestamps.from_datetime(here) == timestamps.from_datetime(datetime(2026, 1, 15, 10, tzinfo=UTC))
