"""How often readers' links may be used: a message's own, and an address's where nothing is proved."""

from collections.abc import Callable
from uuid import UUID

from api_shim.problems import Problem
from api_shim.reader_limits import OF_A_CLIENT, OF_A_MESSAGE, UNPROVED, ReaderLimits
from models.ids import new_id


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def refused(count: Callable[[], None]) -> int | None:
    """The seconds to wait; None where it was let through."""
    try:
        count()
    except Problem as problem:
        return int(problem.headers["Retry-After"])
    return None


def test_a_message_is_bounded_and_comes_back_after_the_seconds_that_were_said() -> None:
    clock = Clock()
    limits = ReaderLimits(clock)
    one, other = UUID(int=1), UUID(int=2)
    answers = [refused(lambda: limits.proved(one)) for _ in range(OF_A_MESSAGE.at_once + 3)]
    assert answers == [None] * OF_A_MESSAGE.at_once + [6, 6, 6]
    assert refused(lambda: limits.proved(other)) is None
    clock.now += 6
    assert refused(lambda: limits.proved(one)) is None
    assert refused(lambda: limits.proved(one)) == 6


def test_a_mail_providers_clicks_are_never_bounded_by_where_they_come_from() -> None:
    limits = ReaderLimits(Clock())
    for _ in range(5_000):
        limits.proved(new_id())


def test_who_guesses_is_bounded_and_nobody_else_is() -> None:
    limits = ReaderLimits(Clock())
    answers = [refused(lambda: limits.unproved("192.0.2.1")) for _ in range(UNPROVED.at_once + 1)]
    assert answers == [None] * UNPROVED.at_once + [1]
    assert refused(lambda: limits.unproved("192.0.2.2")) is None
    assert refused(lambda: limits.changed("192.0.2.1")) is None


def test_changes_of_preferences_from_one_address_are_bounded_generously() -> None:
    limits = ReaderLimits(Clock())
    answers = [refused(lambda: limits.changed("192.0.2.1")) for _ in range(OF_A_CLIENT.at_once + 1)]
    assert answers == [None] * OF_A_CLIENT.at_once + [1]


def test_memory_is_bounded_and_who_was_just_here_is_known() -> None:
    limits = ReaderLimits(Clock(), most_known=10)
    for _ in range(OF_A_MESSAGE.at_once):
        limits.proved(UUID(int=1))
    for number in range(100):
        limits.unproved(str(number))
        refused(lambda: limits.proved(UUID(int=1)))
    assert len(limits) == 10
    assert refused(lambda: limits.proved(UUID(int=1))) == 6
