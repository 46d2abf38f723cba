"""How many requests one endpoint may have under way, so that one which hangs delays only itself.

An endpoint is a scheme, a host and a port. Its window opens as TCP's does (RFC 5681, section 3.1): small at first, one
wider with every answer, up to its share of the slots. A time-out closes it to a single request.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from types import TracebackType
from typing import Final

from channels.errors import Limited, Transient, Unknown
from channels.guard import parse_url

_LEAST: Final = 4
"""What an endpoint begins with; its share is no smaller."""

_HANGING_SHARE: Final = 8
"""All endpoints that hang have an eighth of the slots together."""

_HANGS_S: Final = 1.0
"""What fails without an answer sooner than this has not hung."""

_PATIENCE_S: Final = 0.25
"""How long a send may wait for its turn, and so hold a slot that another endpoint could use."""

_SHORTEST_S: Final = 0.5
_LONGEST_S: Final = 600.0
_JITTER: Final = 0.25
_FIRST_GUESS_S: Final = 0.01
_WEIGHT_OF_LAST: Final = 0.2
_MOST_KEPT: Final = 4096
_REMEMBERED_S: Final = 3600.0


class _Endpoint:
    """What is known of one. Times are seconds of the limits' clock.

    ``progressed_at``: when it answered last, or was given its first request. ``booked_until``: when it will have
    answered all that was put off.
    """

    __slots__ = (
        "booked_until",
        "hangs",
        "in_flight",
        "progressed_at",
        "takes_s",
        "timer",
        "touched_at",
        "waiting",
        "window",
    )

    def __init__(self, now: float, window: int) -> None:
        self.window = window
        self.in_flight = 0
        self.hangs = False
        self.takes_s = _FIRST_GUESS_S
        self.progressed_at = self.booked_until = self.touched_at = now
        self.waiting: deque[asyncio.Future[None]] = deque()
        self.timer: asyncio.TimerHandle | None = None

    @property
    def is_idle(self) -> bool:
        """Nothing is under way to it, or waits for that."""
        return not self.in_flight and not self.waiting


class Turn:
    """A request's place: ``async with`` it. Raises Limited where the endpoint has too many under way."""

    __slots__ = ("_began", "_endpoint", "_limits", "_origin", "_rescued")

    def __init__(self, limits: "EndpointLimits", origin: str, *, rescued: bool) -> None:
        self._limits = limits
        self._origin = origin
        self._rescued = rescued

    async def __aenter__(self) -> None:
        self._endpoint = await self._limits.enter(self._origin, rescued=self._rescued)
        self._began = self._limits.clock()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._limits.leave(self._origin, self._endpoint, self._limits.clock() - self._began, error)


class EndpointLimits:
    """The endpoints of one channel in one process, which has ``slots`` sends in hand at most.

    An endpoint has a ``share``-th of them at most, over all ``processes()``. ``clock`` tells seconds, from any moment
    on.
    """

    def __init__(
        self,
        slots: int,
        *,
        share: int,
        processes: Callable[[], int] = lambda: 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = clock
        self._most = max(_LEAST, slots // share)
        self._processes = processes
        self._most_hanging = max(1, slots // _HANGING_SHARE)
        self._endpoints: dict[str, _Endpoint] = {}
        self._probing: set[str] = set()
        self._origin = lru_cache(_MOST_KEPT)(origin_of)

    def turn(self, url: str, *, rescued: bool = False) -> Turn:
        """The place of one request to ``url``; ``rescued`` as in ``Envelope``."""
        return Turn(self, self._origin(url), rescued=rescued)

    async def enter(self, origin: str, *, rescued: bool = False) -> _Endpoint:
        """Take a place, or wait for one where it will soon be free; raises Limited."""
        now = self.clock()
        endpoint = self._find(origin, now)
        endpoint.touched_at = now
        if endpoint.in_flight < endpoint.window and not endpoint.waiting:
            self._begin(origin, endpoint, now)
            return endpoint
        stalled_s = now - endpoint.progressed_at
        if endpoint.hangs or stalled_s >= _PATIENCE_S:
            raise _put_off(stalled_s)
        expected_s = (len(endpoint.waiting) + 1) * endpoint.takes_s / endpoint.window
        if expected_s > _PATIENCE_S and not rescued:
            raise _book(endpoint, now)
        turn = asyncio.get_running_loop().create_future()
        if rescued:
            endpoint.waiting.appendleft(turn)
        else:
            endpoint.waiting.append(turn)
        if endpoint.timer is None:
            self._watch(endpoint)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                endpoint.in_flight -= 1  # the place came at the very moment
                _admit(endpoint)
            raise
        return endpoint

    def leave(self, origin: str, endpoint: _Endpoint, took_s: float, error: BaseException | None) -> None:
        """Give the place back; ``error`` is how the request ended, None with an answer."""
        endpoint.in_flight -= 1
        self._probing.discard(origin)
        now = self.clock()
        endpoint.touched_at = now
        if isinstance(error, Transient | Unknown) and took_s >= _HANGS_S:
            endpoint.hangs = True
            endpoint.window = 1
        elif error is None or isinstance(error, Transient | Unknown):
            endpoint.hangs = False
            endpoint.window = min(endpoint.window + 1, self._ours())
            endpoint.takes_s += (took_s - endpoint.takes_s) * _WEIGHT_OF_LAST
            endpoint.progressed_at = now
        _admit(endpoint)

    def _find(self, origin: str, now: float) -> _Endpoint:
        found = self._endpoints.get(origin)
        if found is not None and not (found.is_idle and found.touched_at <= now - _REMEMBERED_S):
            return found
        if len(self._endpoints) >= _MOST_KEPT:
            self._endpoints = {name: each for name, each in self._endpoints.items() if not each.is_idle or each.hangs}
        if len(self._endpoints) >= _MOST_KEPT:
            self._endpoints = {name: each for name, each in self._endpoints.items() if not each.is_idle}
        made = self._endpoints[origin] = _Endpoint(now, min(_LEAST, self._ours()))
        return made

    def _ours(self) -> int:
        """How many an endpoint may have of this process."""
        return max(1, self._most // self._processes())

    def _begin(self, origin: str, endpoint: _Endpoint, now: float) -> None:
        if endpoint.hangs:
            if len(self._probing) >= self._most_hanging:
                raise _put_off(now - endpoint.progressed_at)
            self._probing.add(origin)
        elif not endpoint.in_flight:
            endpoint.progressed_at = now
        endpoint.in_flight += 1

    def _watch(self, endpoint: _Endpoint) -> None:
        wait_s = endpoint.progressed_at + _PATIENCE_S - self.clock()
        endpoint.timer = asyncio.get_running_loop().call_later(wait_s, self._look, endpoint)

    def _look(self, endpoint: _Endpoint) -> None:
        """Send those away who wait where nothing moves."""
        endpoint.timer = None
        stalled_s = self.clock() - endpoint.progressed_at
        if stalled_s >= _PATIENCE_S:
            while endpoint.waiting:
                turn = endpoint.waiting.popleft()
                if not turn.done():
                    turn.set_exception(_put_off(stalled_s))
        elif endpoint.waiting:
            self._watch(endpoint)


def _admit(endpoint: _Endpoint) -> None:
    while endpoint.waiting and endpoint.in_flight < endpoint.window:
        turn = endpoint.waiting.popleft()
        if not turn.done():
            endpoint.in_flight += 1
            turn.set_result(None)


def _put_off(stalled_s: float) -> Limited:
    """It does not answer: come back after about as long again, so that the lane is not turned over and over."""
    pause_s = min(max(stalled_s, _SHORTEST_S), _LONGEST_S)
    return Limited("the endpoint does not answer what it has been sent", retry_after_s=pause_s * _spread())


def _book(endpoint: _Endpoint, now: float) -> Limited:
    """It answers, but has all it can take: come back when those before will have been answered."""
    endpoint.booked_until = max(endpoint.booked_until, now + _PATIENCE_S) + endpoint.takes_s / endpoint.window
    pause_s = min(max(endpoint.booked_until - now, _SHORTEST_S), _LONGEST_S)
    return Limited("the endpoint has as many requests as it may have at once", retry_after_s=pause_s * _spread())


def _spread() -> float:
    return 1 + _JITTER * random.random()


def origin_of(url: str) -> str:
    """The endpoint that a URL belongs to: scheme, host and port. Empty where it is no URL."""
    try:
        parsed = parse_url(url)
    except ValueError:
        return ""  # nothing is sent there
    return f"{parsed.scheme}://{parsed.raw_host}:{parsed.port}"
