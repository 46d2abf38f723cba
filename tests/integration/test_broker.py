"""The broker: consumers that wake at once, wait for nothing, and outlive their server."""

import asyncio
import contextlib
import os
import signal
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dramatiq
import pytest
import redis
import structlog
from dramatiq.errors import ConnectionClosed

from models.errors import InvalidSetting
from tests.support import processes
from tests.support.broker import ValkeyServer
from tests.support.waiting import wait_until
from wireroom.embedded import find_server
from wireroom.ports import free_port
from worker import redis_keys
from worker.broker import WakingRedisBroker, make_broker
from worker.redis_client import connect

QUEUES = ("email", "webhook")


def job(queue: str = "email", lane: str = "bulk") -> "dramatiq.Message[Any]":
    return dramatiq.Message(queue_name=queue, actor_name=queue, args=(lane,), kwargs={}, options={})


class Running:
    """A dramatiq worker in this process, and what its actors were called with."""

    def __init__(self, redis_url: str) -> None:
        self.broker = make_broker(redis_url, threads=2)
        self.calls: list[tuple[str, str]] = []
        self.at: list[float] = []
        self.loops: set[str] = set()
        for queue in QUEUES:
            self._declare(queue)
        self.worker = dramatiq.Worker(self.broker, worker_threads=2)
        self.worker.start()

    async def ran(self, jobs: int, timeout: float = 10.0) -> None:
        """Return once so many jobs have run."""
        await wait_until(lambda: len(self.calls) >= jobs, timeout, interval=0.002)

    def _declare(self, queue: str) -> None:
        async def work(lane: str) -> None:
            self.at.append(time.perf_counter())
            self.loops.add(type(asyncio.get_running_loop()).__module__)
            self.calls.append((queue, lane))

        dramatiq.actor(actor_name=queue, queue_name=queue, broker=self.broker)(work)


@contextlib.contextmanager
def running(redis_url: str) -> Iterator[Running]:
    started = Running(redis_url)
    try:
        yield started
    finally:
        started.worker.stop()
        started.broker.close()


@pytest.fixture
def sender(redis_url: str) -> Iterator[WakingRedisBroker]:
    broker = WakingRedisBroker(connect(redis_url, connections=20))
    yield broker
    broker.close()


async def runs_a_job(server: ValkeyServer, worker: Running) -> None:
    """Return once a job that was sent now has run."""
    before = len(worker.calls)
    sender = WakingRedisBroker(connect(server.url, connections=2))
    sender.enqueue(job())
    sender.close()
    await worker.ran(before + 1)


async def test_a_job_runs_on_its_actor_with_its_arguments_on_uvloop(redis_url: str, sender: WakingRedisBroker) -> None:
    with running(redis_url) as worker:
        sender.enqueue(job("email", "transactional"))
        sender.enqueue(job("webhook", "bulk"))
        await worker.ran(2)
        assert set(worker.calls) == {("email", "transactional"), ("webhook", "bulk")}
        assert worker.loops == {"uvloop"}


async def test_an_idle_consumer_wakes_at_once(redis_url: str, sender: WakingRedisBroker) -> None:
    with running(redis_url) as worker:
        latencies = []
        for number in range(15):
            sent_at = time.perf_counter()
            sender.enqueue(job())
            await worker.ran(number + 1)
            latencies.append(worker.at[-1] - sent_at)
        # Polling with a back-off of up to a second takes 0.4 s, and who is not woken waits for a whole one; the bound
        # leaves room for a busy machine.
        assert statistics.median(latencies) < 0.3


def test_an_idle_worker_asks_the_server_a_few_times_a_second(redis_url: str) -> None:
    with running(redis_url) as worker, redis.Redis.from_url(redis_url) as client:
        time_before, calls_before = client.time(), _commands(client)
        worker.worker.consumers["email"].join(3.0)  # it does not end: three idle seconds
        seconds = client.time()[0] - time_before[0]
        assert set(worker.worker.consumers) == set(QUEUES), "no second consumer for delayed jobs"
        assert (_commands(client) - calls_before) / seconds < 8 * len(QUEUES)


def _commands(client: "redis.Redis") -> int:
    """How many commands clients sent; those inside of scripts are not counted."""
    statistics_of = client.info("commandstats")
    return sum(statistics_of.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("blpop", "evalsha"))


def test_delayed_jobs_are_refused(sender: WakingRedisBroker) -> None:
    with pytest.raises(ValueError, match="never delayed"):
        sender.enqueue(job(), delay=1000)


def test_wake_tokens_do_not_pile_up_while_nobody_waits(sender: WakingRedisBroker) -> None:
    for _ in range(100):
        sender.enqueue(job())
    key = sender.wake_key("email")
    assert 1 <= sender.client.llen(key) <= 16
    assert 0 < sender.client.ttl(key) <= 60
    assert sender.depth("email") == 100


def test_every_job_goes_to_one_consumer(redis_url: str, sender: WakingRedisBroker) -> None:
    consumers = [sender.consume("email", prefetch=8), sender.consume("email", prefetch=8)]
    for number in range(12):
        sender.enqueue(job(lane=str(number)))
    taken: list[str] = []
    while len(taken) < 12:
        for consumer in consumers:
            message = next(consumer)
            if message is not None:
                taken.append(message.args[0])
                consumer.ack(message)
    assert sorted(taken, key=int) == [str(number) for number in range(12)]
    assert sender.client.hlen("wireroom:email.msgs") == 0


def test_what_has_no_token_is_fetched_without_waiting_for_one(redis_url: str, sender: WakingRedisBroker) -> None:
    for number in range(40):
        sender.enqueue(job(lane=str(number)))
    sender.client.delete(sender.wake_key("email"))
    sender.client.config_resetstat()
    consumer = sender.consume("email", prefetch=2)
    taken = []
    for _ in range(40):
        message = next(consumer)
        assert message is not None
        taken.append(message.args[0])
        consumer.ack(message)
    assert taken == [str(number) for number in range(40)]
    assert "cmdstat_blpop" not in sender.client.info("commandstats")


def test_a_server_that_forgot_the_scripts_is_told_them_again(sender: WakingRedisBroker) -> None:
    consumer = sender.consume("email", prefetch=2)
    assert next(consumer) is None
    for _ in range(2):
        sender.client.script_flush()
        sender.enqueue(job())
        sender.client.script_flush()
        message = next(consumer)
        assert message is not None
        consumer.ack(message)


def test_a_job_is_on_its_way_once_and_its_key_is_never_without_it(sender: WakingRedisBroker) -> None:
    assert sender.enqueue_once(job(), "wireroom:wake:email:transactional", 60_000)
    assert not sender.enqueue_once(job(), "wireroom:wake:email:transactional", 60_000)
    assert sender.depth("email") == sender.client.llen(sender.wake_key("email")) == 1
    assert 0 < sender.client.pttl("wireroom:wake:email:transactional") <= 60_000


def test_the_next_job_is_sent_once_the_last_is_fetched_and_not_while_hands_are_full(sender: WakingRedisBroker) -> None:
    key = redis_keys.on_its_way("email", "transactional")
    consumer = sender.consume("email", prefetch=1)
    assert sender.enqueue_once(job(), key, 60_000)
    first = next(consumer)
    assert first is not None
    assert sender.enqueue_once(job(), key, 60_000)
    assert next(consumer) is None
    assert not sender.enqueue_once(job(), key, 60_000)
    consumer.ack(first)
    assert next(consumer) is not None
    assert sender.enqueue_once(job(), key, 60_000)


def test_a_consumer_holds_no_more_than_it_may(sender: WakingRedisBroker) -> None:
    consumer = sender.consume("email", prefetch=2)
    for _ in range(3):
        sender.enqueue(job())
    first, second = next(consumer), next(consumer)
    assert first is not None
    assert second is not None
    assert next(consumer) is None
    assert sender.depth("email") == 1
    consumer.ack(first)
    third = next(consumer)
    assert third is not None
    consumer.requeue([second, third])
    assert sender.depth("email") == 2


async def test_jobs_run_again_after_the_server_forgot_everything(valkey: ValkeyServer) -> None:
    with running(valkey.url) as worker:
        await runs_a_job(valkey, worker)
        valkey.flush()
        await runs_a_job(valkey, worker)


async def test_jobs_run_again_soon_after_the_server_came_back_empty(valkey: ValkeyServer) -> None:
    with running(valkey.url) as worker:
        await runs_a_job(valkey, worker)
        consumer = worker.worker.consumers["email"].consumer
        with structlog.testing.capture_logs() as logs:
            valkey.kill()
            await wait_until(lambda: logs)
        valkey.start_empty()
        back_at = time.monotonic()
        await runs_a_job(valkey, worker)
        assert time.monotonic() - back_at < 5.0  # within which workers look for work themselves
        # It waited itself: a new one is what dramatiq makes, three seconds after the old one failed.
        assert worker.worker.consumers["email"].consumer is consumer


def test_a_lost_server_is_said_once_for_all_queues() -> None:
    broker = make_broker("redis://127.0.0.1:1", threads=2)
    with structlog.testing.capture_logs() as logs:
        for _queue in QUEUES:
            broker.warn_away(redis.ConnectionError("gone"))
    assert [entry["error"] for entry in logs] == ["ConnectionError"]


async def test_a_worker_starts_without_a_server_and_waits_for_it(valkey: ValkeyServer) -> None:
    valkey.kill()
    with structlog.testing.capture_logs() as logs, running(valkey.url) as worker:
        await wait_until(lambda: any(entry["error"] == "ConnectionError" for entry in logs))
        valkey.start()
        await runs_a_job(valkey, worker)


async def test_a_server_that_hangs_is_a_lost_connection(valkey: ValkeyServer) -> None:
    with running(valkey.url) as worker:
        await runs_a_job(valkey, worker)
        assert valkey.pid is not None
        with structlog.testing.capture_logs() as logs:
            os.kill(valkey.pid, signal.SIGSTOP)
            await wait_until(lambda: any(entry["error"] == "TimeoutError" for entry in logs))
            os.kill(valkey.pid, signal.SIGCONT)
        await runs_a_job(valkey, worker)


def test_without_a_server_nothing_blocks_and_a_worker_still_stops(valkey: ValkeyServer) -> None:
    with running(valkey.url) as worker:
        consumer = worker.broker.consume("other", prefetch=4)
        worker.broker.enqueue(job("other"))
        message = next(consumer)
        assert message is not None
        valkey.kill()
        began = time.monotonic()
        assert next(consumer) is None
        consumer.ack(message)
        with pytest.raises(ConnectionClosed):
            consumer.requeue([message])
        assert time.monotonic() - began < 3.0


@pytest.mark.parametrize(
    "url", ["", "http://localhost", "redis+sentinel://", "redis+sentinel://host:26379", "redis+sentinel://h:1/s/x"]
)
def test_what_is_no_address_of_a_broker_is_refused_without_telling_it(url: str) -> None:
    with pytest.raises(InvalidSetting, match="WIREROOM_REDIS_URL") as refused:
        connect(url, connections=1)
    assert "localhost" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("url", ["redis://:secret@localhost:7000/3", "rediss://:secret@localhost:7000/3"])
def test_addresses_over_tcp(url: str) -> None:
    client = connect(url, connections=7)
    options = client.connection_pool.connection_kwargs
    assert (options["host"], options["port"], options["db"], options["password"]) == ("localhost", 7000, 3, "secret")
    assert client.connection_pool.max_connections == 7
    client.close()


@contextlib.contextmanager
def server_on_a_port(folder: Path, *options: str, config: str = "") -> Iterator[int]:
    """A server or sentinel on a free port of 127.0.0.1."""
    port = free_port()
    file = folder / f"{port}.conf"
    file.write_text(f'port {port}\nbind 127.0.0.1\ndir "{folder}"\n{config}')
    log = folder / f"{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen([find_server(), file, *options], stdout=output, preexec_fn=processes.die_with_parent)  # noqa: PLW1509 - it calls prctl and nothing else

    def listens() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            return False
        return True

    try:
        processes.block_until(listens, process, log)
        yield port
    finally:
        processes.stop(process)


def test_sentinels_lead_to_the_master(tmp_path: Path) -> None:
    with (
        server_on_a_port(tmp_path, config="requirepass secret\nsave ''\n") as master,
        server_on_a_port(
            tmp_path,
            "--sentinel",
            config=f"sentinel monitor wireroom 127.0.0.1 {master} 1\nsentinel auth-pass wireroom secret\n",
        ) as sentinel,
        connect(f"redis+sentinel://:secret@127.0.0.1:1,127.0.0.1:{sentinel}/wireroom/2", connections=2) as client,
        redis.Redis.from_url(f"redis://:secret@127.0.0.1:{master}/2") as direct,
    ):
        client.set("seen", "1")
        assert direct.get("seen") == b"1"
