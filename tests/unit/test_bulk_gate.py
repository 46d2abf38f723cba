"""How many bulk messages are on their way out at once, by how long a turn of the event loop takes."""

import asyncio

from worker.bulk_gate import BulkGate

MOST = 800
SHORT_S = 0.0003
LONG_S = 0.01


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def turning(gate: BulkGate, clock: Clock, took_s: float, *, for_s: float = 2.0) -> BulkGate:
    """The loop turns every 10 ms, while a person writes now and then."""
    ends_at = clock.now + for_s
    while clock.now < ends_at:
        clock.now += 0.01
        gate.people_write()
        gate.turned(took_s)
    return gate


def test_it_is_wide_open_while_no_person_writes() -> None:
    clock = Clock()
    gate = BulkGate(MOST, clock)
    assert gate.width() == MOST
    turning(gate, clock, LONG_S)
    assert gate.width() == 2
    clock.now += 1.1
    assert gate.width() == MOST


def test_it_narrows_while_turns_are_long_and_opens_while_they_are_short() -> None:
    clock = Clock()
    gate = turning(BulkGate(MOST, clock), clock, SHORT_S)
    assert gate.width() == MOST  # bulk waits for its peers, not for us
    turning(gate, clock, LONG_S, for_s=0.5)
    narrowing = gate.width()
    assert 2 < narrowing < MOST
    turning(gate, clock, LONG_S)
    assert gate.width() == 2


def test_in_between_it_stays_as_it_is() -> None:
    clock = Clock()
    gate = turning(BulkGate(MOST, clock), clock, 0.001)
    before = gate.width()
    assert turning(gate, clock, 0.001).width() == before < MOST


def test_what_the_loop_was_like_is_asked_anew_when_people_come_back() -> None:
    clock = Clock()
    gate = turning(BulkGate(MOST, clock), clock, SHORT_S)
    clock.now += 60
    gate.people_write()
    gate.turned(LONG_S)
    assert gate.width() < MOST


def test_a_few_slots_are_no_less() -> None:
    clock = Clock()
    assert turning(BulkGate(1, clock), clock, LONG_S).width() == 1


async def test_no_more_are_let_through() -> None:
    clock = Clock()
    gate = turning(BulkGate(MOST, clock), clock, LONG_S)
    inside = most = 0

    async def send() -> None:
        nonlocal inside, most
        async with gate:
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(send() for _ in range(20)))
    assert most == 2
