"""Limits on how fast sends may begin, kept by all worker processes together."""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Final, NamedTuple, Protocol, TypeVar

import msgspec
import redis
import structlog

from channels.contract import Limit
from worker.pacing import Bucket
from worker.redis_client import connect
from worker.redis_keys import LIMITERS, NAMESPACE, cause

T = TypeVar("T")

_TIMEOUT_S: Final = 0.5
_REST_AFTER_FAILURE_S: Final = 0.5
_SECONDS_BETWEEN_WARNINGS: Final = 30.0
_THREADS: Final = 2
_MOST_BUCKETS: Final = 10_000
_SEEN_FOR_S: Final = 15
"""As long as a lease: longer, and workers that died and were replaced would still have a share of each limit."""

_PREFIX: Final = f"{NAMESPACE}:limit:"

# Each limit is the time at which its bucket will be full again (GCRA). All are looked at before any is taken.
# KEYS: the processes, then the limits. ARGV: this process, seconds, then per limit microseconds a token, and burst.
# Redis' own clock counts: where it was set back, no bucket can be emptier than empty.
_BEGIN: Final = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
redis.call('ZADD', KEYS[1], clock[1], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', clock[1] - ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[2])
local processes = redis.call('ZCARD', KEYS[1])
"""
_TAKE: Final = (
    _BEGIN
    + """
local wait = 0
local full = {}
for each = 2, #KEYS do
  local per_token, burst = tonumber(ARGV[each * 2 - 1]), tonumber(ARGV[each * 2])
  local at = tonumber(redis.call('GET', KEYS[each]) or now)
  at = math.min(math.max(at, now), now + burst * per_token)
  wait = math.max(wait, at - now - (burst - 1) * per_token)
  full[each] = at + per_token
end
if wait > 0 then
  return {math.ceil(wait), processes}
end
for each = 2, #KEYS do
  local life = math.ceil((full[each] - now) / 1000) + 1
  redis.call('SET', KEYS[each], string.format('%.0f', full[each]), 'PX', string.format('%.0f', life))
end
return {0, processes}
"""
)

# Of one limit as many as there are, up to ARGV[5]; then how long until there is one more.
_GRANT: Final = (
    _BEGIN
    + """
local per_token, burst, most = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local at = tonumber(redis.call('GET', KEYS[2]) or now)
at = math.min(math.max(at, now), now + burst * per_token)
local count = math.min(most, math.floor(burst - (at - now) / per_token))
if count > 0 then
  at = at + count * per_token
  local life = math.ceil((at - now) / 1000) + 1
  redis.call('SET', KEYS[2], string.format('%.0f', at), 'PX', string.format('%.0f', life))
end
return {count, math.ceil(math.max(0, at - now - (burst - 1) * per_token)), processes}
"""
)

log = structlog.get_logger(__name__)


class Grant(NamedTuple):
    """How many were taken; in how many seconds there is the next."""

    number: int
    wait_s: float


class Grants(Protocol):
    """What deals out many at once."""

    async def grant(self, limit: Limit, most: int) -> Grant:
        """Take of a limit as many as there are, up to ``most``."""


class LocalLimiter:
    """Keeps limits within this process. ``share``: how much of each limit is this process's."""

    def __init__(self, share: float = 1.0) -> None:
        self.share = share
        self._buckets: dict[str, Bucket] = {}

    async def take(self, limits: Sequence[Limit]) -> float:
        """As ``channels.contract.Limiter``."""
        now = time.monotonic()
        buckets = [self._bucket(limit, now) for limit in limits]
        wait_s = max((bucket.wait_s(now) for bucket in buckets), default=0.0)
        if not wait_s:
            for bucket in buckets:
                bucket.take()
        return wait_s

    @property
    def processes(self) -> int:
        """As ``channels.contract.Limiter``."""
        return 1

    async def grant(self, limit: Limit, most: int) -> Grant:
        """As ``Grants``."""
        now = time.monotonic()
        bucket = self._bucket(limit, now)
        count = 0
        while count < most and not bucket.wait_s(now):
            bucket.take()
            count += 1
        return Grant(count, bucket.wait_s(now))

    def _bucket(self, limit: Limit, now: float) -> Bucket:
        found = self._buckets.get(limit.name)
        if found is None:
            if len(self._buckets) >= _MOST_BUCKETS:
                self._buckets = {name: bucket for name, bucket in self._buckets.items() if not bucket.is_full(now)}
            burst = max(limit.burst * self.share, 1.0)
            found = self._buckets[limit.name] = Bucket(limit.per_second * self.share, burst, now)
        return found


def _key(alias: Callable[[str], str], name: str) -> str:
    kind, _, _ = name.partition(":")
    return f"{_PREFIX}{kind}:{alias(name)}"


class RedisLimiter:
    """Keeps limits over all processes that share a Redis.

    While Redis does not answer, this process keeps to its share of each limit: one part of as many as there were
    limiters in the last 15 s; each is to ``count`` itself more often. An operation takes 0.5 s at most; after one that
    failed nobody waits for the next: twice a second one looks whether it is back.
    """

    def __init__(self, redis_url: str, alias: Callable[[str], str]) -> None:
        """Connect on first use; raises InvalidSetting where ``redis_url`` is no address.

        ``alias``: what Redis knows a limit's name by, in every process the same. Names tell who is written to.
        """
        self._key = lru_cache(_MOST_BUCKETS)(partial(_key, alias))
        self._client = connect(redis_url, connections=_THREADS, timeout_s=_TIMEOUT_S)
        self._taking = self._client.register_script(_TAKE)
        self._granting = self._client.register_script(_GRANT)
        self._counting = self._client.register_script(_BEGIN + "return processes")
        # The client is the one of the wake-ups, which knows Sentinels too; it blocks, so it runs beside the loop.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="limits")
        self._id = os.urandom(8).hex()
        self._local: LocalLimiter | None = None
        self._processes = 1
        self._closed = False
        self._away = False
        self._look_at = float("-inf")
        self._looking: asyncio.Task[None] | None = None
        self._warned_at = float("-inf")

    async def take(self, limits: Sequence[Limit]) -> float:
        """As ``channels.contract.Limiter``."""
        wait_s = await self._ask(self._take, tuple(limits))
        return await self._alone.take(limits) if wait_s is None else wait_s

    async def grant(self, limit: Limit, most: int) -> Grant:
        """As ``Grants``."""
        granted = await self._ask(self._grant, limit, most)
        return await self._alone.grant(limit, most) if granted is None else granted

    async def _ask(self, question: Callable[..., T], *arguments: object) -> T | None:
        """Redis' answer; None where there is none: nobody waits for a Redis that did not answer last."""
        if self._away:
            if time.monotonic() >= self._look_at and (self._looking is None or self._looking.done()):
                self._looking = asyncio.create_task(self._look())
            return None
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._put, question, *arguments)
        except (redis.RedisError, OSError) as error:
            await self._rest(error)
            return None

    def _put(self, question: Callable[..., T], *arguments: object) -> T:
        if self._away:
            raise redis.ConnectionError("it did not answer those who asked before")
        return question(*arguments)

    async def _look(self) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._count)
        except (redis.RedisError, OSError) as error:
            await self._rest(error)
        else:
            self._away = False
            self._local = None

    @property
    def _alone(self) -> LocalLimiter:
        if self._local is None:
            self._local = LocalLimiter(1 / self._processes)
        return self._local

    @property
    def processes(self) -> int:
        """As ``channels.contract.Limiter``, by what Redis said last."""
        return self._processes

    @property
    def away(self) -> bool:
        """Whether Redis did not answer last."""
        return self._away

    async def count(self) -> None:
        """Count this process among them, and find how many there are."""
        await self._ask(self._count)

    def close(self) -> None:
        """Close the connections, once what is asked has been answered."""
        if not self._closed:
            self._closed = True
            self._threads.submit(self._leave)
            self._threads.shutdown(wait=True)
            self._client.close()

    def _count(self) -> int:
        self._processes = msgspec.convert(self._counting([LIMITERS], [self._id, _SEEN_FOR_S]), int)
        return self._processes

    def _leave(self) -> None:
        if not self._away:
            with contextlib.suppress(redis.RedisError, OSError):
                self._client.zrem(LIMITERS, self._id)

    def _take(self, limits: Sequence[Limit]) -> float:
        keys = [LIMITERS, *(self._key(limit.name) for limit in limits)]
        numbers = [number for limit in limits for number in (1_000_000 / limit.per_second, limit.burst)]
        answer = self._taking(keys, [self._id, _SEEN_FOR_S, *numbers])
        microseconds, self._processes = msgspec.convert(answer, tuple[int, int])
        return microseconds / 1_000_000

    def _grant(self, limit: Limit, most: int) -> Grant:
        arguments: list[str | float] = [self._id, _SEEN_FOR_S, 1_000_000 / limit.per_second, limit.burst, most]
        answer = self._granting([LIMITERS, self._key(limit.name)], arguments)
        number, microseconds, self._processes = msgspec.convert(answer, tuple[int, int, int])
        return Grant(number, microseconds / 1_000_000)

    async def _rest(self, error: Exception) -> None:
        now = time.monotonic()
        self._away = True
        self._look_at = now + _REST_AFTER_FAILURE_S
        if now - self._warned_at >= _SECONDS_BETWEEN_WARNINGS:
            self._warned_at = now
            said = await asyncio.to_thread(cause, self._client, error)  # a closed limiter has no threads
            log.warning("no Redis; each process keeps to its share of the limits", error=said)
