"""The composition root of a worker process: ``dramatiq worker.main`` imports this and finds a broker."""

from models import light_start

light_start.begin()
light_start.load_libraries()

import threading
from collections.abc import Coroutine

import dramatiq
import structlog
from dramatiq.asyncio import get_event_loop_thread

from channels.rendering import warm_up
from channels.settings import ChannelSettings
from models import logs, threads
from models.settings import StorageSettings
from worker import actors
from worker.broker import make_broker
from worker.process import WorkerProcess
from worker.settings import WorkerSettings

log = structlog.get_logger(__name__)


class _Life(dramatiq.Middleware):
    """Starts the process's own parts before the first job, and stops them after the last."""

    def __init__(self, process: WorkerProcess) -> None:
        self._process = process

    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Runs after the event loop has started: this middleware comes behind the loop's."""
        threading.Thread(target=warm_up, name="liquid", daemon=True).start()
        serves = worker.consumer_whitelist or broker.get_declared_queues()
        _run(self._process.start(serves))
        log.info("worker.serves", queues=sorted(serves))

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Runs while consumers still feed the actors: from here on they claim nothing."""
        _run(self._process.stop_sending())

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Runs when no actor does, before the loop stops: after-signals go from the last middleware to the first."""
        _run(self._process.stop())


def _run(coroutine: Coroutine[object, object, None]) -> None:
    thread = get_event_loop_thread()
    if thread is None:
        raise RuntimeError("the event loop's middleware comes first")
    thread.run_coroutine(coroutine)


_storage = StorageSettings.read()
logs.configure(_storage.log_level, _storage.log_format)
threads.share_evenly()
_process = WorkerProcess(_storage, ChannelSettings.read(), WorkerSettings.read())
broker = make_broker(_storage.redis_url)
broker.add_middleware(_Life(_process))
actors.declare(broker, _process)
dramatiq.set_broker(broker)
