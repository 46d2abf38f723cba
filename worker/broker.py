"""The broker: dramatiq on Redis or Valkey, with consumers that wait for work instead of polling for it.

A job here is a hint, "this lane has work": the database knows the rest, and the keeper repeats the hint. So a
job may be lost, doubled or late, and nothing here tries hard to prevent it; what matters is that a consumer
wakes within milliseconds, costs nothing while idle, and survives whatever happens to the server.
"""

import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import uuid4

import redis
import structlog
import uvloop
from dramatiq import Broker, Consumer, Message, MessageProxy, Middleware, Worker
from dramatiq.asyncio import EventLoopThread, set_event_loop_thread
from dramatiq.brokers.redis import RedisBroker
from dramatiq.common import current_millis
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import AsyncIO

from worker import queues, redis_keys
from worker.redis_client import connect
from worker.settings import THREADS

_QUEUES: Final = len(queues.PEOPLE) + len(queues.BULK)
_WAIT_S: Final = 1  # less than an operation of the client may take
_HEARTBEAT_TIMEOUT_MS: Final = 10_000
# One fetch in ten also gives back what a dead worker had fetched. Its KEYS command is dear on a server that is
# shared, and there is no hurry: the keeper's next hint does the work.
_MAINTENANCE_CHANCE: Final = 100_000
_TOKENS_KEPT: Final = 16
_TOKEN_LIFE_S: Final = 60
_PAUSE_WITHOUT_SERVER_S: Final = 0.5
_SECONDS_BETWEEN_WARNINGS: Final = 30.0

# A job as dramatiq writes it (its dispatch.lua, ``enqueue``), and the token that wakes a consumer; neither where one is
# on its way already. KEYS: the queue, its jobs, its tokens, and the key that says so, if anything does. ARGV: the job's
# id and data, tokens kept and for how many seconds, milliseconds for which a job is taken to be on its way.
_ENQUEUE: Final = """
if KEYS[4] and not redis.call('SET', KEYS[4], '1', 'NX', 'PX', ARGV[5]) then
  return 0
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('RPUSH', KEYS[1], ARGV[1])
redis.call('LPUSH', KEYS[3], '1')
redis.call('LTRIM', KEYS[3], 0, ARGV[3] - 1)
redis.call('EXPIRE', KEYS[3], ARGV[4])
return 1
"""

log = structlog.get_logger("worker.broker")


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
        self._enqueuing = client.register_script(_ENQUEUE)
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
        return self._enqueue(message, [], 0)[0]

    def enqueue_once(self, message: Message[Any], key: str, life_ms: int) -> bool:
        """The same unless ``key`` is set, which it sets for ``life_ms``; returns whether it was not.

        In one step: a key without its job would keep the lane's next wake-ups from being sent.
        """
        return self._enqueue(message, [key], life_ms)[1]

    def _enqueue(self, message: Message[Any], guard: Sequence[str], life_ms: int) -> tuple[Message[Any], bool]:
        message = message.copy(options={"redis_message_id": str(uuid4())})
        self.emit_before("enqueue", message, None)
        queue = f"{self.namespace}:{message.queue_name}"
        keys = [queue, f"{queue}.msgs", self.wake_key(message.queue_name), *guard]
        # While nobody waits the tokens must not pile up; one too few costs one wait of a second at most.
        arguments = [message.options["redis_message_id"], message.encode(), _TOKENS_KEPT, _TOKEN_LIFE_S, life_ms]
        is_new = bool(self._enqueuing(keys, arguments))
        self.emit_after("enqueue", message, None)
        return message, is_new

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = _WAIT_S * 1000) -> Consumer:
        """A consumer of one queue that holds at most ``prefetch`` jobs at a time."""
        return _WakingConsumer(self, queue_name, prefetch)

    def fetch(self, queue_name: str, most: int, *, wait: bool) -> list[bytes]:
        """Up to ``most`` jobs; ``wait``: once a token says that there is one, or a second has passed. One round trip.

        The next poke of the queue's lane then sends a job again: what it is for may come too late for the claim that
        these jobs lead to.
        """
        pipeline = self.client.pipeline(transaction=False)
        if wait:
            pipeline.blpop([self.wake_key(queue_name)], timeout=_WAIT_S)
        # As ``do_fetch`` asks; a pipeline that is given the script itself asks first whether the server knows it.
        pipeline.evalsha(
            self.scripts["dispatch"].sha,
            1,
            self.namespace,
            "fetch",
            current_millis(),
            queue_name,
            self.broker_id,
            self.heartbeat_timeout,
            self.dead_message_ttl,
            self._should_do_maintenance("fetch"),
            self._max_unpack_size(),  # type: ignore[no-untyped-call]  # dramatiq has no types here
            most,
        )
        # Behind the fetch: before it, a poke in between would set the key for a job that is then fetched, and what
        # comes after that job's claim would wake nobody as long as the key lives. Where the hands are full the key
        # stays: jobs would pile up.
        if most and queue_name in queues.LANE_OF:
            pipeline.delete(redis_keys.on_its_way(*queues.LANE_OF[queue_name]))
        try:
            fetched = pipeline.execute()[int(wait)]
        except redis.exceptions.NoScriptError:
            fetched = self.do_fetch(queue_name, most)
        return [data for data in fetched if data is not None]

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
    """Fetches what there is, then waits for a token that tells of more.

    It stays alive without a server: dramatiq would restart it after three seconds, and would hold a worker
    thread for five on a failed acknowledgement.
    """

    def __init__(self, broker: WakingRedisBroker, queue_name: str, prefetch: int) -> None:
        self._broker = broker
        self._queue_name = queue_name
        self._prefetch = prefetch
        self._fetched: list[bytes] = []
        self._may_be_more = True  # than tokens tell of: what was there before us, or came together
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
            self._fetched = self._fetch(max(0, self._prefetch - len(self._in_hand)))
            self._may_be_more = self._may_be_more or bool(self._fetched)
            if not self._fetched:
                return None
        message: Message[Any] = Message.decode(self._fetched.pop(0))
        self._in_hand.add(message.message_id)
        return MessageProxy(message)

    def _fetch(self, room: int) -> list[bytes]:
        """What there is that we have room for, at the latest after a second."""
        if not room or self._may_be_more:
            # Also where there is no room: a fetch of nothing still tells the others that we live.
            fetched = self._broker.fetch(self._queue_name, room, wait=False)
            if fetched:
                return fetched
        if not room:
            self._room.wait(_WAIT_S)
            return []
        self._may_be_more = False
        return self._broker.fetch(self._queue_name, room, wait=True)

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
