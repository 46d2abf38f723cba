"""The broker: dramatiq on Redis or Valkey, with consumers that wait for work instead of polling for it.

A job here is a hint, "this lane has work": the database knows the rest, and the keeper repeats the hint. So a
job may be lost, doubled or late, and nothing here tries hard to prevent it; what matters is that a consumer
wakes within milliseconds, costs nothing while idle, and survives whatever happens to the server.
"""

import threading
import time
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import redis
import structlog
import uvloop
from dramatiq import Broker, Consumer, Message, MessageProxy, Middleware, Worker
from dramatiq.asyncio import EventLoopThread, set_event_loop_thread
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import AsyncIO
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from models.errors import InvalidSetting
from worker import queues, redis_keys
from worker.settings import THREADS

_QUEUES: Final = len(queues.PEOPLE) + len(queues.BULK)
_WAIT_S: Final = 1
_SOCKET_TIMEOUT_S: Final = 5.0  # longer than a wait in BLPOP
_HEARTBEAT_TIMEOUT_MS: Final = 10_000
# One fetch in ten also gives back what a dead worker had fetched. Its KEYS command is dear on a server that is
# shared, and there is no hurry: the keeper's next hint does the work.
_MAINTENANCE_CHANCE: Final = 100_000
_TOKENS_KEPT: Final = 16
_TRIED_LIFE_MS: Final = 1_000
_TOKEN_LIFE_S: Final = 60
_PAUSE_WITHOUT_SERVER_S: Final = 0.5
_SECONDS_BETWEEN_WARNINGS: Final = 30.0

log = structlog.get_logger("worker.broker")


def connect(redis_url: str, *, connections: int, timeout_s: float = _SOCKET_TIMEOUT_S) -> redis.Redis:
    """A client for ``unix:///path``, ``redis://``, ``rediss://`` or ``redis+sentinel://``; connects on first use.

    Sentinels are ``redis+sentinel://[user:password@]host:port,host:port/service[/db]``. Raises InvalidSetting for
    any other address. Every operation ends within ``timeout_s`` seconds: it may raise redis.ConnectionError or
    redis.TimeoutError, and nothing is repeated, because a repeated fetch loses the jobs of the first one's reply.
    """
    options: dict[str, Any] = {
        "max_connections": connections,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "health_check_interval": 15,
        "retry": Retry(NoBackoff(), 0),
        # RESP3 brings maintenance notices, and with them a pool that hands out connections closed by the server.
        "protocol": 2,
    }
    try:
        if redis_url.startswith("redis+sentinel://"):
            return _through_sentinels(redis_url, options)
        return redis.Redis.from_url(redis_url, **options)
    except ValueError:
        # Without the cause: its text may hold the password.
        raise InvalidSetting(
            "WIREROOM_REDIS_URL: none of unix:///path, redis://host:port/db, rediss://host:port/db, "
            "redis+sentinel://host:port,host:port/service/db"
        ) from None


def try_out(client: redis.Redis) -> None:
    """Raises redis.RedisError where no wake-up can be written, though it answers.

    A replica, a server that is full, or keys that somebody else uses (``redis_keys.Occupied``).
    """
    client.set(redis_keys.TRIED, b"1", px=_TRIED_LIFE_MS)
    redis_keys.check(client)


def _through_sentinels(url: str, options: dict[str, Any]) -> redis.Redis:
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    service, _, db = parts.path.strip("/").partition("/")
    if not service or not hosts:
        raise ValueError
    addresses = [urlsplit(f"//{host}") for host in hosts.split(",")]
    sentinel = Sentinel(  # type: ignore[no-untyped-call]  # redis-py has no types here
        [(address.hostname or "", address.port or 26_379) for address in addresses],
        sentinel_kwargs={name: value for name, value in options.items() if name != "max_connections"},
        **options,
    )
    client: redis.Redis = sentinel.master_for(  # type: ignore[no-untyped-call]  # redis-py has no types here
        unquote(service), db=int(db or 0), username=unquote(user) or None, password=unquote(password) or None
    )
    return client


class WakingRedisBroker(RedisBroker):
    """A RedisBroker whose consumers wait on a wake key (``<namespace>:<queue>.wake``) and never poll.

    ``enqueue`` puts a token on that list, and one waiting consumer takes it. There are no delayed jobs: due
    times are a column of the database.
    """

    client: redis.Redis

    def __init__(self, client: redis.Redis, middleware: Iterable[Middleware] = ()) -> None:
        super().__init__(  # type: ignore[no-untyped-call]  # dramatiq has no types here
            client=client,
            middleware=list(middleware),
            namespace=redis_keys.NAMESPACE,
            heartbeat_timeout=_HEARTBEAT_TIMEOUT_MS,
            maintenance_chance=_MAINTENANCE_CHANCE,
        )
        self._warning = threading.Lock()
        self._warned_at = float("-inf")

    def declare_queue(self, queue_name: str) -> None:
        """Declare a queue, without the queue of delayed jobs that dramatiq would poll beside it."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Add a job and wake one consumer of its queue. Raises ValueError for a delayed one."""
        if delay is not None:
            raise ValueError("jobs are never delayed: write the due time into the row")
        enqueued = super().enqueue(message)
        key = self.wake_key(message.queue_name)
        pipeline = self.client.pipeline(transaction=False)
        pipeline.lpush(key, b"1")
        # While nobody waits the list must not grow; a token too few costs one wait of a second at most.
        pipeline.ltrim(key, 0, _TOKENS_KEPT - 1)
        pipeline.expire(key, _TOKEN_LIFE_S)
        pipeline.execute()
        return enqueued

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = _WAIT_S * 1000) -> Consumer:
        """A consumer of one queue that holds at most ``prefetch`` jobs at a time."""
        return _WakingConsumer(self, queue_name, prefetch)

    def depth(self, queue_name: str) -> int:
        """How many jobs wait in the queue, those already fetched not counted."""
        return int(self.client.llen(f"{self.namespace}:{queue_name}"))

    def wake_key(self, queue_name: str) -> str:
        """The list of wake tokens of a queue."""
        return f"{self.namespace}:{queue_name}.wake"

    def warn_away(self, error: redis.RedisError) -> None:
        """Log that the server is away: now and then, and once for all consumers."""
        with self._warning:
            now = time.monotonic()
            if now - self._warned_at < _SECONDS_BETWEEN_WARNINGS:
                return
            self._warned_at = now
        log.warning("no broker, trying again", error=redis_keys.cause(self.client, error))

    def close(self) -> None:
        """Close the connections."""
        self.client.close()


class _WakingConsumer(Consumer):
    """Fetches what there is, then waits for a token.

    It stays alive without a server: dramatiq would restart it after three seconds, and would hold a worker
    thread for five on a failed acknowledgement.
    """

    def __init__(self, broker: WakingRedisBroker, queue_name: str, prefetch: int) -> None:
        self._broker = broker
        self._queue_name = queue_name
        self._wake_key = broker.wake_key(queue_name)
        self._prefetch = prefetch
        self._fetched: list[bytes] = []
        self._in_hand: set[str] = set()
        self._room = threading.Event()

    def __next__(self) -> MessageProxy | None:
        try:
            return self._next()
        except redis.RedisError as error:  # TimeoutError too: no answer in time is a lost connection
            self._broker.warn_away(error)
            time.sleep(_PAUSE_WITHOUT_SERVER_S)
            return None

    def _next(self) -> MessageProxy | None:
        if not self._fetched:
            self._room.clear()
            room = max(0, self._prefetch - len(self._in_hand))
            # Also where there is no room: a fetch of nothing still tells the others that we live.
            self._fetched = [data for data in self._broker.do_fetch(self._queue_name, room) if data is not None]
            if not self._fetched:
                self._wait(room)
                return None
        message: Message[Any] = Message.decode(self._fetched.pop(0))
        self._in_hand.add(message.message_id)
        return MessageProxy(message)

    def _wait(self, room: int) -> None:
        """Return when there may be work that we have room for, at the latest after a second."""
        if room:
            self._broker.client.blpop([self._wake_key], timeout=_WAIT_S)
        else:
            self._room.wait(_WAIT_S)

    def ack(self, message: MessageProxy) -> None:
        """Forget a finished job."""
        self._finish("ack", message)

    def nack(self, message: MessageProxy) -> None:
        """Move a job that no actor knows to the dead letters."""
        self._finish("nack", message)

    def _finish(self, command: str, message: MessageProxy) -> None:
        try:
            getattr(self._broker, f"do_{command}")(self._queue_name, message.options["redis_message_id"])
        except redis.RedisError as error:
            # The job may run again once this process is gone, and will find nothing to do.
            self._broker.warn_away(error)
        finally:
            self._in_hand.discard(message.message_id)
            self._room.set()

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Give back jobs that were fetched and not begun; raises ConnectionClosed without a server."""
        ids = [message.options["redis_message_id"] for message in messages]
        if ids:
            try:
                self._broker.do_requeue(self._queue_name, *ids)
            except redis.RedisError as error:
                raise ConnectionClosed(error) from error  # type: ignore[no-untyped-call]  # nor here


class _UvloopThread(EventLoopThread):
    """dramatiq's event loop thread on uvloop."""

    def __init__(self, logger: Any) -> None:
        super().__init__(logger)
        self.daemon = True  # a process that is told twice to stop must not wait for what is being sent
        self.loop.close()
        self.loop = uvloop.new_event_loop()


class UvloopAsyncIO(AsyncIO):
    """The event loop of a worker process: all its sends run there."""

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        """Start the loop before the first job arrives."""
        thread = _UvloopThread(self.logger)
        thread.start(timeout=5.0)
        set_event_loop_thread(thread)


def make_broker(redis_url: str, threads: int = THREADS) -> WakingRedisBroker:
    """The broker of a worker process with ``threads`` worker threads; connects on first use."""
    # A thread holds one connection at most: the worker threads, two for each consumer, and some to spare.
    client = connect(redis_url, connections=threads + 2 * _QUEUES + 20)
    return WakingRedisBroker(
        client,
        middleware=[
            # Actors are coroutines. First, so that what is added later is stopped while the loop still runs.
            UvloopAsyncIO(),
            # Not here: Retries, which delays jobs (the row says when to try again); TimeLimit, AgeLimit (a claim
            # has time-outs of its own); ShutdownNotifications (an actor returns within milliseconds, and a claim
            # cut short would leave rows to be rescued); Prometheus (we export from our own process).
        ],
    )
