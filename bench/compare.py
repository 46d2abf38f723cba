"""One row: warm up, prove the sink, then bare loop and pipeline in alternation."""

import asyncio
import pstats
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from bench.errors import BenchFailed
from bench.floors.task import Done, Task
from bench.machine import Cores
from bench.pipeline import Pipeline
from bench.processes import Children, pinned
from bench.results import Measured, RowResult, summarise
from bench.rows import Row

WARM_UP: Final = 500
_PROCESS: Final = "bare loop"
_FLOOR_S: Final = 300.0


class Comparison:
    """How rows are compared: ``pairs`` times ``messages`` on each side. ``say`` is told what runs now."""

    def __init__(
        self,
        children: Children,
        cores: Cores,
        pipeline: Pipeline,
        *,
        pairs: int,
        messages: int,
        say: Callable[[str], None],
    ) -> None:
        self._children = children
        self._cores = cores
        self._pipeline = pipeline
        self._pairs = pairs
        self._messages = messages
        self._say = say

    async def compare(self, row: Row) -> RowResult:
        """The row's figures; raises BenchFailed."""
        self._say(f"{row.id}: warming up")
        await self._pipeline.run(row, min(WARM_UP, self._messages))
        self._say(f"{row.id}: what the sink can take")
        sink = await self._bare(row, row.raw)
        ours: list[Measured] = []
        against: list[Measured] = []
        for number in range(self._pairs):
            # In turn, so that a machine that gets slower or faster favours neither.
            sides = (self._take_against, self._take_ours)
            for take in sides if number % 2 == 0 else sides[::-1]:
                await take(row, number, ours, against)
        return summarise(row.id, ours, against, sink.rate)

    async def profile(self, row: Row, path: Path) -> pstats.Stats:
        """Where the worker's event loop spends its time; the figures of such a run are no measure of speed."""
        house = self._pipeline.house
        self._say(f"{row.id}: profiling")
        house.profile_worker(path)
        await self._pipeline.run(row, self._messages)
        await asyncio.to_thread(house.stop_worker)
        house.use_plain_worker()
        return pstats.Stats(str(path))

    async def _take_ours(self, row: Row, number: int, ours: list[Measured], _against: list[Measured]) -> None:
        self._say(f"{row.id}: pair {number + 1} of {self._pairs}, the pipeline")
        run = await self._pipeline.run(row, self._messages)
        ours.append(Measured(self._messages, run.seconds, run.cpu_seconds, run.size, run.others))

    async def _take_against(self, row: Row, number: int, _ours: list[Measured], against: list[Measured]) -> None:
        self._say(f"{row.id}: pair {number + 1} of {self._pairs}, the bare loop")
        against.append(await self._bare(row, row.floor))

    async def _bare(self, row: Row, module: str) -> Measured:
        """Run a row's bare loop as a process of its own on the sending core, where the worker is idle meanwhile."""
        sink = self._pipeline.house.sinks[row.sink]
        await sink.reset()
        done = await self.bare(module, Task(port=sink.port, messages=self._messages, connections=row.connections))
        counted = await sink.require(self._messages)
        return Measured(self._messages, done.seconds, {"bare loop": done.cpu_seconds}, counted.size)

    async def bare(self, module: str, task: msgspec.Struct) -> Done:
        """Run a bare loop with its task; raises BenchFailed."""
        log = self._children.log_path(_PROCESS)
        log.unlink(missing_ok=True)
        with pinned(self._cores.sending):
            command = [sys.executable, "-P", "-m", module, msgspec.json.encode(task).decode()]
            process = self._children.start(_PROCESS, command)
        try:
            status = await asyncio.to_thread(process.wait, _FLOOR_S)
        except subprocess.TimeoutExpired:
            raise BenchFailed(f"{module} did not end within {_FLOOR_S:.0f} s") from None
        finally:
            self._children.stop(process)
        if status:
            raise BenchFailed(f"{module} failed:\n{self._children.log_tail(_PROCESS)}")
        return msgspec.json.decode(log.read_bytes(), type=Done)
