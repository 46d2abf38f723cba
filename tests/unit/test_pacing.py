"""How many messages may begin: slots that keep room for people, a rate, and whose turn a claim is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.vocabulary import Lane
from worker.pacing import BULK_SHARE, Rate, Slots, claim_order

T, B = Lane.TRANSACTIONAL, Lane.BULK

moves = st.lists(st.tuples(st.sampled_from(Lane), st.booleans(), st.integers(1, 50)), max_size=60)


@pytest.mark.parametrize(("most", "bulk"), [(1, 1), (3, 3), (4, 3), (5, 4), (8, 6), (200, 150), (400, 300)])
def test_bulk_never_holds_the_last_quarter(most: int, bulk: int) -> None:
    slots = Slots(most)
    assert (slots.free(T), slots.free(B)) == (most, bulk)
    slots.take(B, bulk)
    assert (slots.free(T), slots.free(B)) == (most - bulk, 0)


def test_people_may_hold_every_slot() -> None:
    slots = Slots(8)
    slots.take(T, 7)
    assert (slots.in_flight, slots.free(T), slots.free(B)) == (7, 1, 1)
    slots.take(T, 1)
    assert (slots.in_flight, slots.free(T), slots.free(B)) == (8, 0, 0)
    slots.give_back(T)
    assert (slots.in_flight, slots.free(T), slots.free(B)) == (7, 1, 1)


@given(st.integers(1, 100), moves)
def test_whoever_takes_what_is_free_keeps_the_limits(most: int, played: list[tuple[Lane, bool, int]]) -> None:
    slots = Slots(most)
    taken = {T: 0, B: 0}
    for lane, takes, count in played:
        if takes:
            begun = min(count, slots.free(lane))
            slots.take(lane, begun)
            taken[lane] += begun
        elif taken[lane]:
            slots.give_back(lane)
            taken[lane] -= 1
        assert slots.in_flight == taken[T] + taken[B] <= most
        assert taken[B] <= most - most // 4
        assert slots.free(T) == most - taken[T] - taken[B]
        assert 0 <= slots.free(B) <= slots.free(T)


def test_without_a_rate_there_is_no_limit() -> None:
    rate = Rate(None, 100.0)
    rate.spend(1_000_000)
    assert rate.available(100.0) is None
    assert rate.wait_s(100.0) == 0.0


def test_a_bucket_fills_with_time_and_holds_one_second() -> None:
    rate = Rate(10.0, 100.0)
    assert rate.available(100.0) == 10
    rate.spend(10)
    assert rate.available(100.0) == 0
    assert rate.wait_s(100.0) == pytest.approx(0.1)
    assert rate.available(100.05) == 0
    assert rate.wait_s(100.05) == pytest.approx(0.05)
    assert rate.available(100.55) == 5
    assert rate.wait_s(100.55) == 0.0
    assert rate.available(1_000_000.0) == 10


@given(
    st.floats(1, 1000),
    st.lists(st.tuples(st.floats(0, 3), st.integers(0, 2000)), max_size=50),
)
def test_no_more_begin_than_the_rate_allows(per_second: float, asked: list[tuple[float, int]]) -> None:
    now, begun = 0.0, 0
    rate = Rate(per_second, now)
    for pause, wanted in asked:
        now += pause
        room = rate.available(now)
        assert room is not None
        assert 0 <= room <= per_second
        count = min(wanted, room)
        rate.spend(count)
        begun += count
        assert begun <= per_second * (now + 1) + 1e-6


@given(st.floats(1, 1000), st.floats(0, 10))
def test_who_waits_for_the_next_token_finds_one(per_second: float, start: float) -> None:
    rate = Rate(per_second, start)
    rate.spend(rate.available(start) or 0)
    wait_s = rate.wait_s(start)
    assert 0 < wait_s <= 1 / per_second + 1e-9
    assert rate.available(start + wait_s + 1e-6) == 1


def test_only_lanes_that_may_have_work_are_looked_at() -> None:
    for claims in range(50):
        assert claim_order({T}, claims) == [T]
        assert claim_order({B}, claims) == [B]
        assert claim_order(set(), claims) == []


def test_every_eighth_claim_is_bulks_while_bulk_waits() -> None:
    first = [claim_order({T, B}, claims)[0] for claims in range(10 * BULK_SHARE)]
    assert BULK_SHARE == 8
    for begin in range(0, len(first), BULK_SHARE):
        assert first[begin : begin + BULK_SHARE] == [T] * 7 + [B]


def test_both_lanes_are_looked_at_where_both_may_have_work() -> None:
    assert all(set(claim_order({T, B}, claims)) == {T, B} for claims in range(50))
