"""When a lane is called late, and how often."""

from models.vocabulary import Channel, Lane
from worker.alarms import LATE_MS, LateLanes

EMAIL = (Channel.EMAIL, Lane.TRANSACTIONAL)
PUSH = (Channel.PUSH, Lane.BULK)


def test_a_lane_is_late_after_a_minute_and_not_before() -> None:
    lanes = LateLanes()
    assert lanes.look({EMAIL: LATE_MS, PUSH: 0}, 0.0) == []
    assert lanes.look({EMAIL: LATE_MS + 1, PUSH: 0}, 1.0) == [EMAIL]


def test_it_is_said_once_a_minute_of_each_lane() -> None:
    lanes = LateLanes()
    late = {EMAIL: LATE_MS * 2}
    assert lanes.look(late, 100.0) == [EMAIL]
    assert lanes.look(late, 159.9) == []
    assert lanes.look(late | {PUSH: LATE_MS * 2}, 159.9) == [PUSH]
    assert lanes.look(late | {PUSH: LATE_MS * 2}, 160.0) == [EMAIL]
    assert lanes.look({}, 1000.0) == []
