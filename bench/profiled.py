"""``dramatiq bench.profiled``: the worker as it is, with cProfile on its event loop's thread, where all sends run."""

import cProfile
import time
from collections.abc import Callable
from pathlib import Path

import dramatiq
from dramatiq.asyncio import get_event_loop_thread

from bench.settings import profile_path
from worker import main


class _Profiling(dramatiq.Middleware):
    """From the first job to the last. It comes behind the process's own parts, which start first and stop last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # By the thread's own processor time: what a function waits for is not its cost.
        self._profile = cProfile.Profile(time.thread_time)

    def after_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Begin."""
        _on_the_loop(self._profile.enable)

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Write the figures."""
        _on_the_loop(self._profile.disable)
        self._profile.dump_stats(self._path)


def _on_the_loop(switch: Callable[[], None]) -> None:
    """A profile knows only the thread that switches it on."""

    async def call() -> None:
        switch()

    thread = get_event_loop_thread()
    if thread is None:
        raise RuntimeError("the event loop's middleware comes first")
    thread.run_coroutine(call())


broker = main.broker
broker.add_middleware(_Profiling(profile_path()))
