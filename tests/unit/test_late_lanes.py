"""When a lane is called late, and how often."""

from uuid import UUID

from models.store.keeping import Next
from models.vocabulary import Channel, Lane
from worker.alarms import LATE_MS, LateLanes

EMAIL = (Channel.EMAIL, Lane.TRANSACTIONAL)
PUSH = (Channel.PUSH, Lane.BULK)
ANN, BOB = UUID(int=1), UUID(int=2)


def test_a_lane_is_late_after_a_minute_and_not_before() -> None:
    lanes = LateLanes()
    assert lanes.look({EMAIL: Next(ANN, LATE_MS), PUSH: Next(ANN, 0)}, 0.0) == []
    assert lanes.look({EMAIL: Next(ANN, LATE_MS + 1), PUSH: Next(ANN, 0)}, 1.0) == [EMAIL]


def test_it_is_said_once_a_minute_of_each_lane() -> None:
    lanes = LateLanes()
    late = {EMAIL: Next(ANN, LATE_MS * 2)}
    both = late | {PUSH: Next(ANN, LATE_MS * 2)}
    assert lanes.look(late, 100.0) == [EMAIL]
    assert lanes.look(both, 159.8) == []
    assert lanes.look(both, 159.9) == [PUSH]
    assert lanes.look(both, 160.0) == [EMAIL]
    assert lanes.look({}, 1000.0) == []


def test_a_campaign_that_goes_on_is_not_late() -> None:
    lanes = LateLanes()
    assert lanes.look({PUSH: Next(ANN, LATE_MS * 2)}, 0.0) == []
    assert lanes.look({PUSH: Next(BOB, LATE_MS * 2)}, 5.0) == []
    assert lanes.look({PUSH: Next(BOB, LATE_MS * 2)}, 10.0) == [PUSH]


def test_people_who_wait_a_minute_wait_too_long_also_where_others_are_served() -> None:
    lanes = LateLanes()
    lanes.look({EMAIL: Next(ANN, 0)}, 0.0)
    assert lanes.look({EMAIL: Next(BOB, LATE_MS * 2)}, 5.0) == [EMAIL]
