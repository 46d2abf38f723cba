"""Messages at a rate: who stays in hand, and how the others are spread."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any
from uuid import UUID

from channels.contract import Limit
from models.store.claims import Claim
from models.store.outcomes import Ended
from models.vocabulary import Lane, OnUnknown, State
from tests.support.waiting import wait_until
from worker import verdicts
from worker.limits import Grant, LocalLimiter
from worker.paces import Pace, Paces
from worker.routes import Route, Wait

BULK, PEOPLE = Lane.BULK, Lane.TRANSACTIONAL


class Counted(LocalLimiter):
    """A limiter that counts how often it is asked."""

    asked = 0

    async def grant(self, limit: Limit, most: int) -> Grant:
        """As ``Grants``."""
        self.asked += 1
        return await super().grant(limit, most)


class Runs:
    """A runner that writes down when it was asked to send."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def in_use(self) -> AbstractAsyncContextManager[None]:
        """It is never closed."""
        return nullcontext()

    async def run(self, claim: Claim, prepared: Any) -> Ended:
        """Send at once."""
        self.times.append(time.monotonic())
        return verdicts.given_back(claim, 0)

    async def recorded(self, ended: Ended) -> None:
        """Nothing is learnt of it."""


def claims(count: int, *, token: int = 1, crashes: int = 0) -> list[Claim]:
    """Messages in this worker's hands for the ``token``-th time, after ``crashes`` of others that had them."""
    return [
        Claim(
            id=UUID(int=number),
            workspace_id=UUID(int=1),
            contact_id=UUID(int=1),
            run=1,
            token=token,
            tries=0,
            crashes=crashes,
            content_id=UUID(int=1),
            address="https://hooks.example/a",
            variables={},
            metadata={},
            on_unknown=OnUnknown.RETRY,
            claimed_at=0,
            secrets=(),
            essential=False,
            track_opens=False,
            track_clicks=False,
        )
        for number in range(count)
    ]


def spread(pace: Pace, given: Sequence[Claim], runs: Runs | None = None) -> tuple[list[Route], list[float]]:
    """The routes of those that stay, and in how many seconds the others come back."""
    ways = pace.spread(given, {claim.id: Route(runs or Runs(), None) for claim in given})
    each = [ways[claim.id] for claim in given]
    return [way for way in each if isinstance(way, Route)], [way.ms / 1000 for way in each if isinstance(way, Wait)]


async def run(routes: Sequence[Route], given: Sequence[Claim]) -> list[Ended]:
    return await asyncio.gather(*(way.runner.run(claim, None) for way, claim in zip(routes, given, strict=False)))


def test_what_cannot_begin_within_a_moment_comes_back_one_by_one_at_the_rate() -> None:
    pace = Pace(LocalLimiter(), "sender", 20.0, BULK)
    stays, waits = spread(pace, claims(100))
    assert len(stays) == 30
    assert waits == [1.5 + number / 20 for number in range(1, 71)]
    # The next chunk goes behind.
    assert spread(pace, claims(40))[1] == [1.5 + number / 20 for number in range(71, 81)]


def test_a_slow_rate_keeps_one_in_hand_and_nobody_waits_for_ever() -> None:
    stays, waits = spread(Pace(LocalLimiter(), "sender", 0.1, BULK), claims(30))
    assert len(stays) == 1
    assert waits[0] == 11.5
    assert max(waits) == waits[-1] == 120


def test_when_all_are_woken_at_once_the_first_do_not_wait_for_the_last() -> None:
    pace = Pace(LocalLimiter(), "sender", 10.0, BULK)
    first = spread(pace, claims(515))[1]
    woken = spread(pace, claims(500, token=2))[1]
    assert max(woken) <= max(first) == 1.5 + 500 / 10
    # A fifth in each fifth of the time, or about.
    assert all(50 < sum(low < wait - 1.5 <= low + 10 for wait in woken) < 150 for low in range(0, 50, 10))


async def test_no_more_than_the_rate_go_and_the_limiter_is_asked_for_many() -> None:
    limiter, runs = Counted(), Runs()
    pace, given = Pace(limiter, "sender", 200.0, BULK), claims(250)
    began = time.monotonic()
    await run(spread(pace, given, runs)[0], given)
    times = sorted(runs.times)
    assert len(times) == 250
    assert all(each >= began + (number - 50) / 200 for number, each in enumerate(times, start=1))
    assert limiter.asked <= 40


async def test_two_lanes_share_a_rate_and_neither_waits_for_the_other() -> None:
    paces = Paces(LocalLimiter())
    campaign, person = Runs(), Runs()
    many, few = claims(60), claims(3)
    bulk = asyncio.create_task(run(spread(paces.of("sender", 40.0, BULK), many, campaign)[0], many))
    await wait_until(lambda: len(campaign.times) >= 10)
    await run(spread(paces.of("sender", 40.0, PEOPLE), few, person)[0], few)
    assert len(campaign.times) < 35
    await bulk
    assert len(campaign.times) == 60


async def test_what_was_not_its_turn_in_time_is_given_back_without_a_try() -> None:
    pace, given, runs = Pace(LocalLimiter(), "sender", 0.1, BULK), claims(1), Runs()
    await run(spread(pace, given, runs)[0], given)
    [given_back] = await run(spread(pace, given, runs)[0], given)
    assert (given_back.state, given_back.outcome, len(runs.times)) == (State.QUEUED, None, 1)
    assert 1500 <= given_back.delay_ms <= 11_500


def test_a_changed_rate_counts_at_once_and_idle_paces_are_forgotten() -> None:
    paces = Paces(LocalLimiter())
    slow = paces.of("sender", 1.0, BULK)
    spread(slow, claims(50))
    assert paces.of("sender", 1.0, BULK) is slow
    assert paces.of("sender", 1.0, PEOPLE) is not slow
    for number in range(5000):
        paces.of(f"endpoint:{number}", 1.0, BULK)
    assert paces.of("sender", 1.0, BULK) is slow
    assert len(paces._paces) < 5000
    assert paces.of("sender", 2.0, BULK) is not slow


async def test_what_was_rescued_waits_neither_for_room_nor_behind_the_others() -> None:
    pace, others, rescued = Pace(LocalLimiter(), "sender", 20.0, PEOPLE), Runs(), Runs()
    many, dead = claims(30), claims(3, token=3, crashes=1)
    waiting = asyncio.create_task(run(spread(pace, many, others)[0], many))
    await wait_until(lambda: len(others.times) >= 5)
    stays, waits = spread(pace, dead, rescued)
    assert (len(stays), waits) == (3, [])
    await run(stays, dead)
    # One of the others was about to go; those that the limiter granted with it go, too.
    assert len(others.times) < 25
    await waiting
