"""A bare loop is a process: its task stands on its command line, what it took comes on standard output, as JSON."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import uvloop

T = TypeVar("T")


class Task(msgspec.Struct, frozen=True):
    """What to do: ``messages`` to the sink at ``port`` of this machine, over ``connections`` at once."""

    port: int
    messages: int
    connections: int


class Done(msgspec.Struct, frozen=True):
    """How long it took by the clock and by the processor, from the first byte to the last answer; in seconds."""

    seconds: float
    cpu_seconds: float


class Clock:
    """Runs from ``start`` to ``stop``; what is made or opened before does not count."""

    def __init__(self) -> None:
        self._began = self._cpu = 0.0

    def start(self) -> None:
        """Everything is ready."""
        self._began, self._cpu = time.perf_counter(), time.process_time()

    def stop(self) -> Done:
        """The last answer is there."""
        return Done(time.perf_counter() - self._began, time.process_time() - self._cpu)


def main(run: Callable[[T], Awaitable[Done]], kind: type[T]) -> None:
    """Run the task of the command line, which is of that ``kind``, on uvloop."""

    async def _run() -> Done:
        return await run(msgspec.json.decode(sys.argv[1], type=kind))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        done = runner.run(_run())
    sys.stdout.buffer.write(msgspec.json.encode(done) + b"\n")
