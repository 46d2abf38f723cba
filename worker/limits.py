"""Limits on how fast sends may begin, kept by all worker processes together."""

import asyncio
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec
import redis
import structlog

from channels.contract import Limit
from worker.broker import connect
from worker.pacing import Bucket

_TIMEOUT_S: Final = 0.5
_REST_AFTER_FAILURE_S: Final = 0.5
_SECONDS_BETWEEN_WARNINGS: Final = 30.0
_THREADS: Final = 2
_MOST_BUCKETS: Final = 10_000
_SEEN_FOR_S: Final = 60

_PREFIX: Final = "wireroom:limit:"
_PROCESSES: Final = "wireroom:limiters"

# Each limit is the time at which its bucket will be full again (GCRA). All are looked at before any is taken.
# KEYS: the processes, then the limits. ARGV: this process, seconds, then per limit microseconds a token, and burst.
# Redis' own clock counts: where it was set back, no bucket can be emptier than empty.
_TAKE: Final = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
redis.call('ZADD', KEYS[1], clock[1], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', clock[1] - ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[2])
local processes = redis.call('ZCARD', KEYS[1])
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

log = structlog.get_logger(__name__)


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

    def _bucket(self, limit: Limit, now: float) -> Bucket:
        found = self._buckets.get(limit.name)
        if found is None:
            if len(self._buckets) >= _MOST_BUCKETS:
                self._buckets = {name: bucket for name, bucket in self._buckets.items() if not bucket.is_full(now)}
            burst = max(limit.burst * self.share, 1.0)
            found = self._buckets[limit.name] = Bucket(limit.per_second * self.share, burst, now)
        return found


class RedisLimiter:
    """Keeps limits over all processes that share a Redis.

    While Redis does not answer, this process keeps to its share of each limit: one part of as many as there were
    limiters in the last minute. An operation takes 0.5 s at most; after one that failed none is tried for 0.5 s.
    """

    def __init__(self, redis_url: str) -> None:
        """Connect on first use; raises InvalidSetting where ``redis_url`` is no address."""
        self._client = connect(redis_url, connections=_THREADS, timeout_s=_TIMEOUT_S)
        self._script = self._client.register_script(_TAKE)
        # The client is the one of the wake-ups, which knows Sentinels too; it blocks, so it runs beside the loop.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="limits")
        self._id = os.urandom(8).hex()
        self._local: LocalLimiter | None = None
        self._processes = 1
        self._away_until = float("-inf")
        self._warned_at = float("-inf")

    async def take(self, limits: Sequence[Limit]) -> float:
        """As ``channels.contract.Limiter``."""
        if time.monotonic() >= self._away_until:
            try:
                wait_s = await asyncio.get_running_loop().run_in_executor(self._threads, self._take, tuple(limits))
            except (redis.RedisError, OSError) as error:
                self._rest(error)
            else:
                self._local = None
                return wait_s
        if self._local is None:
            self._local = LocalLimiter(1 / self._processes)
        return await self._local.take(limits)

    def close(self) -> None:
        """Close the connections, once what is asked has been answered."""
        self._threads.shutdown(wait=True)
        self._client.close()

    def _take(self, limits: Sequence[Limit]) -> float:
        keys = [_PROCESSES, *(_PREFIX + limit.name for limit in limits)]
        numbers = [number for limit in limits for number in (1_000_000 / limit.per_second, limit.burst)]
        answer = self._script(keys, [self._id, _SEEN_FOR_S, *numbers])
        microseconds, self._processes = msgspec.convert(answer, tuple[int, int])
        return microseconds / 1_000_000

    def _rest(self, error: Exception) -> None:
        now = time.monotonic()
        self._away_until = now + _REST_AFTER_FAILURE_S
        if now - self._warned_at >= _SECONDS_BETWEEN_WARNINGS:
            self._warned_at = now
            log.warning("no Redis; each process keeps to its share of the limits", error=type(error).__name__)
