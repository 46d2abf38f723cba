"""How many messages may begin: slots that keep room for people, a rate, and whose turn a claim is."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.vocabulary import Lane
from worker.pacing import BULK_SHARE, Bucket, Slots, claim_order

T, B = Lane.TRANSACTIONAL, Lane.BULK

OURS, THEIRS = UUID(int=1), UUID(int=2)

moves = st.lists(st.tuples(st.sampled_from(Lane), st.booleans(), st.integers(1, 50)), max_size=60)


def take(slots: Slots, lane: Lane, count: int, workspace_id: UUID = OURS) -> None:
    for _ in range(count):
        slots.take(lane, workspace_id)


@pytest.mark.parametrize(("most", "bulk"), [(1, 1), (3, 3), (4, 3), (5, 4), (8, 6), (200, 150), (400, 300)])
def test_bulk_never_holds_the_last_quarter(most: int, bulk: int) -> None:
    slots = Slots(most)
    assert (slots.free(T), slots.free(B)) == (most, bulk)
    take(slots, B, bulk)
    assert (slots.free(T), slots.free(B)) == (most - bulk, 0)


def test_people_may_hold_every_slot() -> None:
    slots = Slots(8)
    take(slots, T, 7)
    assert (slots.in_flight, slots.free(T), slots.free(B)) == (7, 1, 1)
    take(slots, T, 1)
    assert (slots.in_flight, slots.free(T), slots.free(B)) == (8, 0, 0)
    slots.give_back(T, OURS)
    assert (slots.in_flight, slots.free(T), slots.free(B)) == (7, 1, 1)


def test_no_more_is_read_than_whoever_has_most_may_have() -> None:
    slots = Slots(800)
    assert slots.worth_reading(200) == 200
    take(slots, B, 200)
    assert slots.worth_reading(200) == 200  # 200 more are its share
    take(slots, B, 190)
    assert (slots.allowed(OURS), slots.worth_reading(200)) == (10, 20)
    take(slots, B, 8)
    assert (slots.allowed(OURS), slots.worth_reading(200)) == (2, 16)
    take(slots, B, 2)
    assert (slots.allowed(OURS), slots.worth_reading(200)) == (0, 200), "the others may have more"
    assert slots.worth_reading(5) == 5


def test_what_a_claim_under_way_may_bring_is_kept_free() -> None:
    slots = Slots(8)
    slots.expect(B, 4)
    assert (slots.in_flight, slots.free(T), slots.free(B)) == (0, 4, 2)
    take(slots, B, 1)
    slots.expect(B, -4)
    assert (slots.in_flight, slots.free(T), slots.free(B)) == (1, 7, 5)


@given(st.integers(1, 100), moves)
def test_whoever_takes_what_is_free_keeps_the_limits(most: int, played: list[tuple[Lane, bool, int]]) -> None:
    slots = Slots(most)
    taken = {T: 0, B: 0}
    for lane, takes, count in played:
        if takes:
            begun = min(count, slots.free(lane))
            take(slots, lane, begun)
            taken[lane] += begun
        elif taken[lane]:
            slots.give_back(lane, OURS)
            taken[lane] -= 1
        assert slots.in_flight == taken[T] + taken[B] <= most
        assert taken[B] <= most - most // 4
        assert slots.free(T) == most - taken[T] - taken[B]
        assert 0 <= slots.free(B) <= slots.free(T)


@pytest.mark.parametrize(("most", "alone"), [(1, 1), (2, 1), (3, 2), (4, 2), (20, 10), (400, 200)])
def test_a_workspace_alone_has_half(most: int, alone: int) -> None:
    slots = Slots(most)
    assert slots.share == alone
    while slots.allowed(OURS):
        slots.take(T, OURS)
    assert slots.in_flight == alone
    assert slots.full(crumbs=True) == [OURS]


@given(st.integers(20, 600), st.integers(1, 8))
def test_however_many_take_all_they_may_the_next_finds_room(most: int, hogs: int) -> None:
    slots = Slots(most)
    for hog in range(hogs):
        while slots.allowed(UUID(int=hog)):
            slots.take(T, UUID(int=hog))
    newcomer = UUID(int=hogs)
    assert slots.in_flight <= most
    assert (slots.allowed(newcomer) >= 1) is (slots.in_flight < most)
    assert slots.most - slots.in_flight >= most // 2**hogs
    assert set(slots.full(crumbs=False)) <= {UUID(int=hog) for hog in range(hogs)}


def test_who_holds_little_is_not_full() -> None:
    slots = Slots(400)
    take(slots, T, 200, OURS)
    take(slots, T, 10, THEIRS)
    assert slots.full(crumbs=False) == slots.full(crumbs=True) == [OURS]
    assert slots.allowed(THEIRS) == 90
    slots.give_back(T, OURS)
    slots.give_back(T, OURS)
    assert (slots.allowed(OURS), slots.full(crumbs=False), slots.full(crumbs=True)) == (0, [OURS], [OURS])


def test_few_are_claimed_only_where_that_must_do() -> None:
    slots = Slots(400)
    take(slots, T, 350)
    assert (slots.chunk(T, crumbs=False), slots.chunk(T, crumbs=True)) == (0, 50)
    for _ in range(350):
        slots.give_back(T, OURS)
    assert (slots.chunk(T, crumbs=False), slots.full(crumbs=False)) == (200, [])


def test_a_bucket_fills_with_time_and_holds_its_burst() -> None:
    bucket = Bucket(10.0, 3.0, 100.0)
    for _ in range(3):
        assert bucket.wait_s(100.0) == 0.0
        bucket.take()
    assert bucket.wait_s(100.0) == pytest.approx(0.1)
    assert bucket.wait_s(100.05) == pytest.approx(0.05)
    assert not bucket.is_full(100.25)
    assert bucket.is_full(100.3 + 1e-6)


@given(st.floats(1, 1000), st.floats(1, 50), st.lists(st.tuples(st.floats(0, 3), st.integers(0, 100)), max_size=50))
def test_no_more_are_taken_than_the_rate_allows(
    per_second: float, burst: float, asked: list[tuple[float, int]]
) -> None:
    now, taken = 0.0, 0
    bucket = Bucket(per_second, burst, now)
    for pause, wanted in asked:
        now += pause
        for _ in range(wanted):
            if bucket.wait_s(now):
                break
            bucket.take()
            taken += 1
        assert taken <= per_second * now + burst + 1e-6


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
