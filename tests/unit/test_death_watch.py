"""What the keeper makes of what it sees: who is dead, whose lease stood still, and whether a clock was set back."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.store.workers import Heartbeat
from worker.watching import DeathWatch, SetBack

ANN, BOB = UUID(int=1), UUID(int=2)

STILL_S = 4.0
BROKEN_S = 2.5


def stale(worker: UUID = ANN, renewed_at: int = 100) -> Heartbeat:
    return Heartbeat(worker, renewed_at, True)


def fresh(worker: UUID = ANN, renewed_at: int = 100) -> Heartbeat:
    return Heartbeat(worker, renewed_at, False)


def looks(watch: DeathWatch, *seen: tuple[float, Heartbeat]) -> list[list[UUID]]:
    """The dead of each look, one heartbeat a look."""
    return [[dead.id for dead in watch.look([beat], now)] for now, beat in seen]


def test_four_seconds_of_standing_still_are_death() -> None:
    watch = DeathWatch()
    assert looks(watch, *((now, stale()) for now in (10.0, 11.0, 12.0, 13.0, 13.9, 14.0))) == [[]] * 5 + [[ANN]]


def test_the_dead_one_is_named_with_the_renewal_that_was_watched() -> None:
    watch = DeathWatch()
    beat = stale(renewed_at=77)
    assert [watch.look([beat], float(now)) for now in range(5)][-1] == [beat]


def test_a_lease_that_has_not_lapsed_is_nobodys_business() -> None:
    watch = DeathWatch()
    assert looks(watch, *((float(now), fresh()) for now in range(60))) == [[]] * 60


def test_standing_still_counts_from_the_lapse_not_before() -> None:
    watch = DeathWatch()
    before = looks(watch, *((float(now), fresh()) for now in range(10)))
    after = looks(watch, *((float(now), stale()) for now in range(10, 15)))
    assert before + after == [[]] * 14 + [[ANN]]


@pytest.mark.parametrize("renewed", [stale(renewed_at=101), fresh(renewed_at=101)], ids=["still stale", "fresh"])
def test_a_renewal_clears_the_watch(renewed: Heartbeat) -> None:
    watch = DeathWatch()
    looks(watch, *((float(now), stale()) for now in range(4)))
    found = looks(watch, (4.0, renewed), *((now, stale(renewed_at=101)) for now in (5.0, 6.0, 7.0)))
    assert found == [[]] * 4
    assert looks(watch, (8.0, stale(renewed_at=101)), (9.0, stale(renewed_at=101)))[-1] == [ANN]


def test_a_renewal_in_the_future_is_watched_like_a_lapse() -> None:
    # The clock of the database was set back: what counts is that nothing moves, not what the time says.
    watch = DeathWatch()
    future = 10**15
    assert looks(watch, *((float(now), stale(renewed_at=future)) for now in range(5)))[-1] == [ANN]
    living = DeathWatch()
    moving = ((float(now), stale(renewed_at=future + now)) for now in range(60))
    assert looks(living, *moving) == [[]] * 60


def test_a_clock_that_steps_back_clears_the_watch() -> None:
    watch = DeathWatch()
    looks(watch, *((float(now), stale(renewed_at=100)) for now in range(4)))
    assert looks(watch, (4.0, stale(renewed_at=40)), (5.0, stale(renewed_at=40))) == [[], []]


@pytest.mark.parametrize(("pause", "dead"), [(BROKEN_S, [ANN]), (BROKEN_S + 0.01, [])])
def test_a_broken_turn_clears_the_watch(pause: float, dead: list[UUID]) -> None:
    # The keeper was suspended, or without its database: it saw nothing of what happened meanwhile.
    watch = DeathWatch()
    looks(watch, (0.0, stale()), (STILL_S - BROKEN_S, stale()))
    assert looks(watch, (STILL_S - BROKEN_S + pause, stale())) == [dead]


def test_after_a_broken_turn_four_more_seconds_are_needed() -> None:
    watch = DeathWatch()
    looks(watch, *((float(now), stale()) for now in range(4)))
    found = looks(watch, *((100.0 + now, stale()) for now in range(5)))
    assert found == [[], [], [], [], [ANN]]


def test_the_very_first_look_declares_nobody_dead() -> None:
    for now in (0.0, 1e9, -5.0):
        assert looks(DeathWatch(), (now, stale())) == [[]]


def test_who_was_out_of_sight_begins_anew() -> None:
    watch = DeathWatch()
    looks(watch, *((float(now), stale()) for now in range(3)))
    assert watch.look([], 3.0) == []
    assert looks(watch, *((float(now), stale()) for now in range(4, 9))) == [[], [], [], [], [ANN]]


def test_each_worker_is_watched_for_itself() -> None:
    watch = DeathWatch()
    found = []
    for now in range(8):
        beats = [stale(ANN)] if now < 2 else [stale(ANN), stale(BOB)]
        found.append({dead.id for dead in watch.look(beats, float(now))})
    assert found == [set(), set(), set(), set(), {ANN}, {ANN}, {ANN, BOB}, {ANN, BOB}]


@given(st.lists(st.tuples(st.floats(0, 4), st.integers(0, 2), st.booleans()), max_size=40))
def test_nobody_dies_who_was_not_seen_still_for_four_unbroken_seconds(played: list[tuple[float, int, bool]]) -> None:
    watch = DeathWatch()
    now = 0.0
    history: list[tuple[float, Heartbeat]] = []
    for pause, renewed_at, is_stale in played:
        now += pause
        beat = Heartbeat(ANN, renewed_at, is_stale)
        history.append((now, beat))
        found = watch.look([beat], now)
        since, later = now, now
        for at, earlier in reversed(history):
            if earlier != stale(renewed_at=renewed_at) or later - at > BROKEN_S:
                break
            since = later = at
        assert found == ([beat] if is_stale and now - since >= STILL_S else [])


def test_a_clock_that_goes_on_was_not_set_back() -> None:
    set_back = SetBack()
    assert set_back.look(1_000_000, 0.0), "nobody knows what happened before the first look"
    assert [set_back.look(1_000_000 + second * 1000, second) for second in range(1, 4)] == [True, False, False]


def test_a_clock_that_was_set_back_is_noticed_for_a_while() -> None:
    set_back = SetBack()
    set_back.look(1_000_000, 0.0)
    assert not set_back.look(1_020_000, 20.0)
    assert set_back.look(1_019_000, 21.0)
    assert set_back.look(1_020_000, 22.0)
    assert not set_back.look(1_021_000, 23.0)
