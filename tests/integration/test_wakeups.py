"""Wake-ups: one per lane on its way, at once, and nobody waits for a broker that is away."""

import asyncio
import contextlib
import os
import signal
import statistics
import threading
import time
from collections.abc import Iterator

import dramatiq
import pytest
import redis
import structlog

from tests.support.broker import ValkeyServer
from tests.support.waiting import wait_until
from worker.broker import WakingRedisBroker, make_broker
from worker.redis_client import connect
from worker.wakeups import Wakeups


@pytest.fixture
def wakeups(redis_url: str) -> Iterator[Wakeups]:
    opened = Wakeups(redis_url)
    yield opened
    opened.close()


@pytest.fixture
def client(redis_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(redis_url) as opened:
        yield opened


def jobs(client: "redis.Redis", queue: str = "email") -> int:
    return int(client.llen(f"wireroom:{queue}"))


def arrives(wakeups: Wakeups, client: "redis.Redis") -> bool:
    """Poke as a commit does, and say whether a job arrived: a poke just after a failure is dropped."""
    wakeups.poke("email", "transactional")
    return jobs(client) > 0


async def test_many_pokes_are_one_job_until_a_worker_has_it(
    redis_url: str, wakeups: Wakeups, client: "redis.Redis"
) -> None:
    for _ in range(50):
        for _ in range(100):
            wakeups.poke("email", "transactional")
        await asyncio.sleep(0)
    await wait_until(lambda: jobs(client) == 1)
    with contextlib.closing(WakingRedisBroker(connect(redis_url, connections=2))) as broker:
        assert next(broker.consume("email", prefetch=2)) is not None
    wakeups.poke("email", "transactional")
    await wait_until(lambda: jobs(client) == 1)
    wakeups.poke("email", "transactional")
    wakeups.poke("email", "suspects")
    await wait_until(lambda: jobs(client) == 2)


async def test_bulk_has_a_queue_of_its_own(wakeups: Wakeups, client: "redis.Redis") -> None:
    wakeups.poke("email", "bulk")
    wakeups.poke("email", "transactional")
    await wait_until(lambda: jobs(client) == 1 and jobs(client, "email.bulk") == 1)
    await wakeups.top_up("email", "bulk")
    assert await wakeups.depth("email", "bulk") == 2
    assert await wakeups.depth("email", "transactional") == 1


async def test_the_key_of_a_job_that_nobody_took_dies_soon(wakeups: Wakeups, client: "redis.Redis") -> None:
    wakeups.poke("email", "bulk")
    left = await wait_until(
        lambda: client.pttl("wireroom:wake:email:bulk") > 0 and client.pttl("wireroom:wake:email:bulk")
    )
    assert left <= 2000


async def test_a_top_up_is_sent_whatever_the_key_says(wakeups: Wakeups, client: "redis.Redis") -> None:
    await wakeups.top_up("email", "transactional")
    wakeups.poke("email", "transactional")
    await wait_until(lambda: jobs(client) == 2)
    await wakeups.top_up("email", "transactional")
    assert await wakeups.depth("email", "transactional") == 3
    assert await wakeups.depth("webhook", "transactional") == 0


async def test_a_poke_starts_the_actor_of_that_name_within_milliseconds(
    redis_url: str, wakeups: Wakeups, client: "redis.Redis"
) -> None:
    broker: WakingRedisBroker = make_broker(redis_url, threads=2)
    runs: list[tuple[str, float]] = []
    latencies: list[float] = []

    async def work(lane: str) -> None:
        runs.append((lane, time.perf_counter()))

    dramatiq.actor(actor_name="email", queue_name="email", broker=broker)(work)
    worker = dramatiq.Worker(broker, worker_threads=2)
    worker.start()
    try:
        for number in range(15):
            await wait_until(lambda: not client.exists("wireroom:wake:email:transactional"))
            poked_at = time.perf_counter()
            wakeups.poke("email", "transactional")
            await wait_until(lambda: len(runs) > len(latencies), interval=0.002)
            latencies.append(runs[number][1] - poked_at)
    finally:
        worker.stop()
        broker.close()
    assert {lane for lane, _ in runs} == {"transactional"}
    assert statistics.median(latencies) < 0.15


def test_pokes_come_from_any_thread(redis_url: str, client: "redis.Redis") -> None:
    wakeups = Wakeups(redis_url)
    lanes = [f"lane-{number}" for number in range(40)]
    threads = [threading.Thread(target=wakeups.poke, args=("email", lane)) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wakeups.close()
    assert jobs(client) == len(lanes)


def test_closing_sends_what_was_poked_and_later_pokes_are_dropped(redis_url: str, client: "redis.Redis") -> None:
    wakeups = Wakeups(redis_url)
    wakeups.poke("email", "transactional")
    wakeups.close()
    wakeups.poke("email", "suspects")
    assert jobs(client) == 1


def test_one_sender_serves_one_event_loop_after_another(wakeups: Wakeups) -> None:
    asyncio.run(wakeups.top_up("email", "bulk"))
    assert asyncio.run(wakeups.depth("email", "bulk")) == 1


async def test_without_a_server_everything_is_dropped_at_once_and_later_works_again(valkey: ValkeyServer) -> None:
    wakeups = Wakeups(valkey.url)
    assert await wakeups.reachable()
    valkey.kill()
    began = time.monotonic()
    for _ in range(1000):
        wakeups.poke("email", "bulk")
        assert await wakeups.depth("email", "bulk") is None
    await wakeups.top_up("email", "bulk")
    assert await wakeups.depth("email", "bulk") is None
    assert not await wakeups.reachable()
    # Where each waited for its time-out, they would take minutes; on a busy machine a change of threads takes a while.
    assert time.monotonic() - began < 20.0
    valkey.start_empty()
    with redis.Redis.from_url(valkey.url) as client:
        await wait_until(lambda: arrives(wakeups, client))
    assert await wakeups.depth("email", "transactional")
    await asyncio.to_thread(wakeups.close)


async def test_a_server_that_hangs_holds_up_nobody_for_long(valkey: ValkeyServer) -> None:
    wakeups = Wakeups(valkey.url)
    assert await wakeups.reachable()
    assert valkey.pid is not None
    os.kill(valkey.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        for _ in range(1000):
            wakeups.poke("email", "bulk")
        assert time.monotonic() - began < 0.5
        for _ in range(20):
            await wakeups.depth("email", "bulk")
        assert time.monotonic() - began < 8.0  # each for itself would take 10 s
    finally:
        os.kill(valkey.pid, signal.SIGCONT)
    with redis.Redis.from_url(valkey.url) as client:
        await wait_until(lambda: arrives(wakeups, client))
    await asyncio.to_thread(wakeups.close)


async def test_keys_that_somebody_else_uses_are_a_missing_broker_and_named(
    wakeups: Wakeups, client: "redis.Redis"
) -> None:
    assert await wakeups.reachable()
    client.set("wireroom:email", "another program's")
    assert not await wakeups.reachable()
    client.delete("wireroom:email")
    await wait_until(wakeups.reachable)


async def test_a_wake_up_that_meets_them_says_which(wakeups: Wakeups, client: "redis.Redis") -> None:
    client.set("wireroom:email.bulk", "another program's")
    with structlog.testing.capture_logs() as logs:
        await wakeups.top_up("email", "bulk")
    assert [entry["error"] for entry in logs] == ["wireroom:email.bulk is a string, not a list"]
