"""Messages at a rate that all worker processes keep together, of one sender or to one endpoint.

What may begin within a moment waits in hand, since what is given back comes again once a second only (the keeper's
turn). The rest comes back later, spread as the rate will have it, so that a backlog is not turned over and over.
"""

import asyncio
import math
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Final
from uuid import UUID

from models.store.claims import Claim
from models.store.outcomes import Ended
from models.vocabulary import Lane
from worker import verdicts
from worker.limits import Grants
from worker.quota import rate
from worker.routes import Route, Runner, Wait

_IN_HAND_S: Final = 1.5
"""Of a rate, so many seconds are in hand: a turn of the keeper, and half a one more."""
_PATIENCE_S: Final = 5.0
"""Other processes may have as many in hand. Nobody waits longer there: a slot is taken by it."""
_LONGEST_WAIT_S: Final = 120.0
"""A rate may be raised meanwhile: so long may that go unnoticed."""
_ASKING_S: Final = {Lane.TRANSACTIONAL: 0.0125, Lane.BULK: 0.05}
"""When there was too little, the limiter is asked no sooner again; a rate's burst lasts longer than that.

Whoever asks more often finds more: of one rate, a person's message gets its share soon while a campaign takes the rest.
"""
_LUCK_S: Final = 0.005
"""Who waits for the same is not to come in the same order each time."""
_MOST_KEPT: Final = 4096


class Pace:
    """One rate, as the messages of one lane see it: a person's never wait behind a campaign's."""

    def __init__(self, limiter: Grants, name: str, per_second: float, lane: Lane) -> None:
        self.per_second = per_second
        self._limiter = limiter
        self._limit = rate(name, per_second)
        self._most = math.ceil(per_second * _IN_HAND_S)
        self._in_hand = 0
        self._asking = asyncio.Lock()
        self._first_of_others = asyncio.Lock()
        self._asking_s = _ASKING_S[lane]
        self._ask_at = 0.0
        self._granted = 0
        self._put_off = 0
        self._put_off_until = float("-inf")

    @property
    def is_idle(self) -> bool:
        """Whether it knows nothing that a new one would not."""
        return not self._in_hand and time.monotonic() >= self._put_off_until

    def spread(self, claims: Sequence[Claim], routes: Mapping[UUID, Route]) -> dict[UUID, Route | Wait]:
        """By message id: at its turn by its route, or when to come back."""
        room = max(0, self._most - self._in_hand)
        spread: dict[UUID, Route | Wait] = {}
        for number, claim in enumerate(claims):
            came_back = self._came_back(claim)
            if number < room or claim.rescued:
                route = routes[claim.id]
                spread[claim.id] = route._replace(runner=_InTurn(route.runner, self))
            else:
                spread[claim.id] = Wait(self._put_off_ms(came_back=came_back))
        return spread

    def put_off_ms(self, claim: Claim) -> int:
        """When to come back, for one whose turn did not come in time."""
        self._came_back(claim)
        return self._put_off_ms(came_back=True)

    def _came_back(self, claim: Claim) -> bool:
        """Whether it was in somebody's hands before; then it is not among those put off any more."""
        if time.monotonic() >= self._put_off_until:
            self._put_off = 0
        came_back = claim.token > 1
        if came_back and self._put_off:
            self._put_off -= 1
        return came_back

    def _put_off_ms(self, *, came_back: bool) -> int:
        """What is new goes behind all that was put off, what came back to any place among them.

        Should all of them have been woken at once, their places are free again: behind them nobody would go for long.
        """
        self._put_off += 1
        place = random.random() * self._put_off if came_back else self._put_off
        wait_s = min(_IN_HAND_S + place / self.per_second, _LONGEST_WAIT_S)
        self._put_off_until = max(self._put_off_until, time.monotonic() + wait_s)
        return math.ceil(1000 * wait_s)

    async def turn(self, *, rescued: bool = False) -> None:
        """Wait until one more may begin: who came first is first. Raises TimeoutError where that takes long.

        What was rescued from a dead worker has waited for a lease already: it waits for one of the others at most.
        """
        self._in_hand += 1
        try:
            others = nullcontext() if rescued else self._first_of_others
            async with asyncio.timeout(_PATIENCE_S), others, self._asking:
                while not self._granted:
                    await self._ask()
                self._granted -= 1
        finally:
            self._in_hand -= 1
            if not self._in_hand:
                self._granted = 0  # saved up, it would come on top of later seconds

    async def _ask(self) -> None:
        """Ask for all who wait, when it is time to."""
        await asyncio.sleep(self._ask_at - time.monotonic())
        wanted = self._in_hand
        self._granted, wait_s = await self._limiter.grant(self._limit, wanted)
        if self._granted < wanted:
            pause_s = max(wait_s, self._asking_s * random.uniform(0.5, 1.5)) + random.uniform(0, _LUCK_S)
            self._ask_at = time.monotonic() + pause_s


class _InTurn:
    """Makes an attempt when its turn has come."""

    def __init__(self, runner: Runner, pace: Pace) -> None:
        self._runner = runner
        self._pace = pace

    async def run(self, claim: Claim, prepared: Any) -> Ended:
        """As ``Runner``."""
        async with self._runner.in_use():
            try:
                await self._pace.turn(rescued=claim.rescued)
            except TimeoutError:
                return verdicts.given_back(claim, self._pace.put_off_ms(claim))
            return await self._runner.run(claim, prepared)

    def in_use(self) -> AbstractAsyncContextManager[None]:
        """As ``Runner``."""
        return self._runner.in_use()

    async def recorded(self, ended: Ended) -> None:
        """As ``Runner``."""
        await self._runner.recorded(ended)


class Paces:
    """The paces of one process, by their limits' names."""

    def __init__(self, limiter: Grants) -> None:
        self._limiter = limiter
        self._paces: dict[tuple[str, Lane], Pace] = {}

    def of(self, name: str, per_second: float, lane: Lane) -> Pace:
        """The pace of that name; a new one where the rate was changed."""
        key = name, lane
        pace = self._paces.get(key)
        if pace is None or pace.per_second != per_second:
            pace = self._paces[key] = Pace(self._limiter, name, per_second, lane)
            if len(self._paces) > _MOST_KEPT:
                self._paces = {each: kept for each, kept in self._paces.items() if kept is pace or not kept.is_idle}
        return pace
