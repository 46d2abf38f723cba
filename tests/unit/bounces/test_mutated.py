"""Two thousand broken mails; ``make fuzz`` reads a hundred thousand."""

from tests.fuzz.bounce_mails import mutate


def test_broken_mails_are_read_in_time_and_leave_nothing_behind() -> None:
    assert mutate(2_000).slowest_s < 1.0
