"""Wake-ups: telling the workers that a lane has work, without anybody waiting for it.

A wake-up is a job of dramatiq that says no more than (actor, lane), on the queue that ``worker.queues`` names. At most
one per lane is on its way: a key in Redis, ``wireroom:wake:<actor>:<lane>``, says so, and is written together with the
job. A worker that fetches from the lane's queue deletes it, before it claims, so that what comes after the claim's
snapshot wakes anew; the key's short life covers a job that nobody came to fetch.

Every failure is dropped: the rows are in the database, and the keeper repeats the wake-up. A worker that cannot send
one does itself what it would have been for.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

import dramatiq
import redis
import structlog

from worker import queues, redis_keys
from worker.broker import WakingRedisBroker
from worker.redis_client import connect, try_out

_KEY_LIFE_MS: Final = 2_000
_TIMEOUT_S: Final = 0.5
_REST_AFTER_FAILURE_S: Final = 0.5
# Under load the next wake-up gathers what was asked for meanwhile, instead of asking Redis for each.
_GATHER_S: Final = 0.01
_THREADS: Final = 2  # one sends; the keeper's top-ups and looks at the server's health do not wait behind it
_SECONDS_BETWEEN_WARNINGS: Final = 30.0

SUSPECTS: Final = "suspects"
"""In the place of a lane: there are messages that are sent alone, with nothing else in the process's hands."""

T = TypeVar("T")

log = structlog.get_logger("worker.wakeups")


class Wakeups:
    """The sender of wake-ups of one process.

    ``poke`` may be called from any thread; what is awaited runs on threads of its own, on any event loop.
    An operation of Redis takes 0.5 s at most; after one that failed, the next ones are dropped for 0.5 s.
    """

    def __init__(self, redis_url: str, instead: Callable[[str, str], None] | None = None) -> None:
        """Connect on first use; raises InvalidSetting where ``redis_url`` is no address.

        ``instead`` gets actor and lane of what could not be sent, on any thread.
        """
        self._broker = WakingRedisBroker(connect(redis_url, connections=2 * _THREADS, timeout_s=_TIMEOUT_S))
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="wakeups")
        self._instead = instead
        self._lock = threading.Lock()
        self._pending: set[tuple[str, str]] = set()
        self._sending = False
        self._closed = False
        self._away_until = float("-inf")
        self._warned_at = float("-inf")

    def poke(self, actor: str, lane: str) -> None:
        """Say that ``lane`` of ``actor`` has work. Returns at once; after the commit, never before."""
        with self._lock:
            self._pending.add((actor, lane))
            if self._sending or self._closed:
                return
            self._sending = True
            self._threads.submit(self._send_pending)

    async def top_up(self, actor: str, lane: str) -> None:
        """Send a job whatever the key says."""
        await self._run(partial(self._enqueue, actor, lane))

    async def depth(self, actor: str, lane: str) -> int | None:
        """How many jobs nobody has taken yet on the lane's queue; None while Redis does not answer."""
        return await self._run(partial(self._broker.depth, queues.of(actor, lane)))

    async def reachable(self) -> bool:
        """Whether Redis takes wake-ups now."""
        return await self._run(self._tried_out) is not None

    def close(self) -> None:
        """Send what was poked, then close the connections; takes a few of the time-outs at most."""
        with self._lock:
            self._closed = True
        self._threads.shutdown(wait=True)
        self._broker.close()

    def _tried_out(self) -> bool:
        try_out(self._broker.client)
        return True

    def _send_pending(self) -> None:
        while True:
            with self._lock:
                pending, self._pending = self._pending, set()
                if not pending:
                    self._sending = False
                    return
            for actor, lane in pending:
                if self._attempt(partial(self._send, actor, lane)) is None and self._instead is not None:
                    self._instead(actor, lane)
            time.sleep(_GATHER_S)

    def _send(self, actor: str, lane: str) -> bool:
        return self._broker.enqueue_once(_job(actor, lane), redis_keys.on_its_way(actor, lane), _KEY_LIFE_MS)

    def _enqueue(self, actor: str, lane: str) -> None:
        self._broker.enqueue(_job(actor, lane))

    async def _run(self, operation: Callable[[], T]) -> T | None:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._attempt, operation)

    def _attempt(self, operation: Callable[[], T]) -> T | None:
        """The operation's result; None where it failed, or where Redis failed a moment ago."""
        if time.monotonic() < self._away_until:
            return None
        try:
            return operation()
        except (redis.RedisError, OSError) as error:
            now = time.monotonic()
            self._away_until = now + _REST_AFTER_FAILURE_S
            if now - self._warned_at >= _SECONDS_BETWEEN_WARNINGS:
                self._warned_at = now
                cause = redis_keys.cause(self._broker.client, error)
                log.warning("no broker; wake-ups are dropped, the keeper repeats them", error=cause)
            return None


def _job(actor: str, lane: str) -> dramatiq.Message[Any]:
    # By name: whoever sends a wake-up knows nothing of the code that it wakes.
    return dramatiq.Message(queue_name=queues.of(actor, lane), actor_name=actor, args=(lane,), kwargs={}, options={})
