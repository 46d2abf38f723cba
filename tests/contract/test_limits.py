"""Limits that all workers keep together, on a real Valkey."""

import asyncio
import hashlib
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import cast

import pytest
import structlog
from redis import Redis

from channels.contract import Limit
from models.secrets import Keyring
from models.vocabulary import Lane
from tests.support.broker import ValkeyServer
from tests.support.waiting import wait_until
from worker.limits import LocalLimiter, RedisLimiter
from worker.paces import Pace
from worker.quota import Quota, rate

THIRTY = Limit("bot", 30.0)


@pytest.fixture
async def limiters(redis_url: str) -> AsyncIterator[tuple[RedisLimiter, RedisLimiter]]:
    """Two processes' limiters."""
    with ExitStack() as stack:
        both = RedisLimiter(redis_url, str), RedisLimiter(redis_url, str)
        for each in both:
            stack.callback(each.close)
        yield both


async def taken(limiter: RedisLimiter | LocalLimiter, *limits: Limit) -> float:
    """When it was taken, after as much waiting as was told."""
    while True:
        wait_s = await limiter.take(limits)
        if not wait_s:
            return time.monotonic()
        await asyncio.sleep(wait_s)


async def test_two_limiters_take_two_hundred_and_never_more_than_thirty_in_a_second(
    limiters: tuple[RedisLimiter, RedisLimiter],
) -> None:
    async def take_many(limiter: RedisLimiter) -> list[float]:
        return [await taken(limiter, THIRTY) for _ in range(100)]

    began = time.monotonic()
    times = sorted(each for those in await asyncio.gather(*map(take_many, limiters)) for each in those)
    # However late the answer to one came, no other came too early for it. Two clocks may differ a little.
    assert all(each >= began + number / 30 - 0.02 for number, each in enumerate(times))
    assert len(times) == 200


async def test_a_process_that_was_not_heard_of_for_a_lease_has_no_share(
    limiters: tuple[RedisLimiter, RedisLimiter], redis_url: str
) -> None:
    ago = {"dead": 16, "busy": 12}
    with Redis.from_url(redis_url) as client:
        now, _ = cast("tuple[int, int]", client.time())
        client.zadd("wireroom:limiters", {name: now - seconds for name, seconds in ago.items()})
    await limiters[0].count()
    assert limiters[0].processes == 2


async def test_a_burst_is_taken_at_once_and_refilled(limiters: tuple[RedisLimiter, RedisLimiter]) -> None:
    first, second = limiters
    limit = Limit("group", 0.25, 5.0)
    assert [await (first, second)[number % 2].take([limit]) for number in range(5)] == [0.0] * 5
    assert 3.0 < await first.take([limit]) <= 4.0
    assert 3.0 < await second.take([limit]) <= 4.0


async def test_all_limits_are_taken_or_none(limiters: tuple[RedisLimiter, RedisLimiter]) -> None:
    first, _ = limiters
    chat, other = Limit("chat", 1.0), Limit("other", 1.0)
    assert await first.take([THIRTY, chat]) == 0.0
    assert 0.5 < await first.take([other, chat]) <= 1.0
    assert await first.take([other]) == 0.0
    assert await first.take([]) == 0.0


async def test_many_are_granted_at_once_and_no_more_than_there_are(
    limiters: tuple[RedisLimiter, RedisLimiter],
) -> None:
    first, second = limiters
    limit = Limit("channel", 0.1, 10.0)  # so that there is none more while we ask
    assert (await first.grant(limit, 6)).number == 6
    assert (await second.grant(limit, 6)).number == 4
    nothing = await first.grant(limit, 6)
    assert nothing.number == 0
    assert 0 < nothing.wait_s <= 10
    # One by one and in chunks, it is the same limit.
    assert 0 < await second.take([limit]) <= 10


async def test_a_rate_holds_over_processes_and_chunks(limiters: tuple[RedisLimiter, RedisLimiter]) -> None:
    async def draw(limiter: RedisLimiter) -> list[float]:
        quota, times = Quota(limiter, rate("channel", 100.0)), list[float]()
        while len(times) < 100:
            count, wait_s = await quota.draw(40)
            quota.spend(count)
            times += [time.monotonic()] * count
            await asyncio.sleep(wait_s)
        return times

    began = time.monotonic()
    times = sorted(each for those in await asyncio.gather(*map(draw, limiters)) for each in those)
    assert all(each >= began + (number - 25) / 100 - 0.02 for number, each in enumerate(times, start=1))


async def test_what_was_drawn_and_not_used_is_used_first_and_then_lost() -> None:
    limiter = LocalLimiter()
    quota = Quota(limiter, Limit("channel", 0.001, 10.0))
    assert await quota.draw(4) == (4, 0.0)
    quota.spend(1)
    count, wait_s = await quota.draw(9)
    assert count == 9
    assert wait_s == pytest.approx(1000, rel=0.1)
    quota.spend(9)
    assert (await quota.draw(1))[0] == 0
    assert await Quota(limiter, None).draw(7) == (7, 0.0)


async def in_turn(pace: Pace, count: int) -> list[float]:
    """When each of so many had its turn."""

    async def one() -> float:
        await pace.turn()
        return time.monotonic()

    return await asyncio.gather(*(one() for _ in range(count)))


async def test_a_pace_holds_over_processes_and_lanes(limiters: tuple[RedisLimiter, RedisLimiter]) -> None:
    paces = [Pace(each, "sender:a", 100.0, lane) for each in limiters for lane in Lane]
    began = time.monotonic()
    times = sorted(each for those in await asyncio.gather(*(in_turn(pace, 60) for pace in paces)) for each in those)
    # However late the word of one came, no other had its turn too early for it.
    assert all(each >= began + (number - 25) / 100 for number, each in enumerate(times, start=1))
    assert len(times) == 240


async def test_each_knows_how_many_there_are(limiters: tuple[RedisLimiter, RedisLimiter], redis_url: str) -> None:
    first, second = limiters
    assert first.processes == 1
    for each in (first, second, first):
        await each.count()
    assert (first.processes, second.processes) == (2, 2)
    second.close()
    await first.count()
    assert first.processes == 1


async def test_nothing_is_left_behind(limiters: tuple[RedisLimiter, RedisLimiter]) -> None:
    first, _ = limiters
    await first.take([Limit("chat:a", 50.0), Limit("chat:b", 50.0)])
    await wait_until(lambda: not first._client.keys("wireroom:limit:*"))
    assert 0 < first._client.ttl("wireroom:limiters") <= 60


async def test_a_clock_that_was_set_back_stops_nobody(limiters: tuple[RedisLimiter, RedisLimiter]) -> None:
    first, _ = limiters
    hour_ahead = (time.time() + 3600) * 1e6
    first._client.set("wireroom:limit:chat:chat", f"{hour_ahead:.0f}")
    assert 0 < await first.take([Limit("chat", 2.0)]) <= 0.5


async def test_without_redis_each_keeps_to_its_share(valkey: ValkeyServer) -> None:
    limit = Limit("bot", 10.0, 10.0)
    with ExitStack() as stack:
        limiters = [RedisLimiter(valkey.url, str), RedisLimiter(valkey.url, str)]
        for each in limiters:
            stack.callback(each.close)
        assert [await each.take([limit]) for each in (*limiters, *limiters)] == [0.0] * 4
        valkey.kill()
        for each in limiters:
            began = time.monotonic()
            at_once = 0
            while not await each.take([limit]):
                at_once += 1
            assert 5 <= at_once <= 6 + 5 * (time.monotonic() - began)
        granted = [(await each.grant(Limit("chunks", 10.0, 10.0), 10)).number for each in limiters]
        assert granted == [5, 5]
        paces = [Pace(each, "sender:a", 40.0, Lane.BULK) for each in limiters]
        began = time.monotonic()
        times = sorted(each for those in await asyncio.gather(*(in_turn(pace, 30) for pace in paces)) for each in those)
        assert all(each >= began + (number - 10) / 40 for number, each in enumerate(times, start=1))
        valkey.start()

        async def is_back() -> bool:
            await limiters[0].take([Limit("probe", 1000.0)])
            return limiters[0]._client.exists("wireroom:limiters") == 1 and limiters[0]._local is None

        await wait_until(is_back)


async def test_nobody_waits_for_a_redis_that_did_not_answer(valkey: ValkeyServer) -> None:
    with ExitStack() as stack:
        limiter = RedisLimiter(valkey.url, str)
        stack.callback(limiter.close)
        assert not await limiter.take([THIRTY])
        pid = valkey.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        stack.callback(os.kill, pid, signal.SIGCONT)
        began = time.monotonic()
        # They ask all at once, on two threads: the first ones wait for their time-out, the others not one by one.
        await asyncio.gather(*(limiter.take([THIRTY]) for _ in range(20)))
        assert time.monotonic() - began < 2.0
        since, waited_s = time.monotonic(), 0.0
        while limiter._look_at < began + 3.0:
            at = time.monotonic()
            await limiter.take([THIRTY])
            waited_s += time.monotonic() - at
            await asyncio.sleep(0.01)  # between questions, or the loop has time for nothing else
        # Who waits for its time-out, and then for as long not, waits for half of the time.
        assert waited_s < (time.monotonic() - since) / 4
        os.kill(pid, signal.SIGCONT)

        async def is_back() -> bool:
            await limiter.take([THIRTY])
            return not limiter._away

        await wait_until(is_back)


async def test_a_local_limiter_forgets_what_is_full_again() -> None:
    limiter = LocalLimiter()
    for number in range(10_001):
        assert await limiter.take([Limit(f"chat:{number}", 1e9)]) == 0.0
    assert len(limiter._buckets) < 10_000


async def test_while_somebody_else_uses_its_keys_each_process_keeps_to_its_share(
    redis_url: str, limiters: tuple[RedisLimiter, RedisLimiter]
) -> None:
    first, _ = limiters
    for each in limiters:
        await each.count()
    await first.count()
    with Redis.from_url(redis_url) as client:
        client.delete("wireroom:limiters")
        client.set("wireroom:limiters", "another program's")
    with structlog.testing.capture_logs() as logs:
        assert await first.take([Limit("one", 1.0)]) == 0.0
        assert await first.take([Limit("one", 1.0)]) > 1.0, "half of it is another process's"
    assert [entry["error"] for entry in logs] == ["wireroom:limiters is a string, not a zset"]


async def test_redis_is_not_told_who_is_written_to(redis_url: str) -> None:
    chat = "telegram:chat:bot:987654321"
    ours, same, other = (Keyring([b"any key"], bytes([key]) * 32).alias for key in (1, 1, 2))
    with ExitStack() as stack:
        limiters = [RedisLimiter(redis_url, alias) for alias in (ours, same, other)]
        for each in limiters:
            stack.callback(each.close)
        waits = [await each.take([Limit(chat, 0.01)]) for each in limiters]
        names = [name.decode() for name in cast("list[bytes]", limiters[0]._client.keys("wireroom:limit:*"))]
    # The same key is the same limit, whatever the process; what another key makes of the name tells nothing of it.
    assert [bool(wait) for wait in waits] == [False, True, False]
    assert len(set(names)) == 2
    assert all(name.startswith("wireroom:limit:telegram:") for name in names)
    guesses = {chat, "987654321", *(hashlib.sha256(each.encode()).hexdigest()[:24] for each in (chat, "987654321"))}
    assert not [guess for guess in guesses for name in names if guess in name]
