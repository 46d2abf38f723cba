"""What is sent: ours against a bare client in a loop, and against a peer."""

import asyncio
import pstats
from pathlib import Path

from bench.compare import alternate
from bench.floors.task import Task
from bench.peers import work
from bench.peers.catalogue import Peer
from bench.results import Measured, Rival, RowResult, summarise
from bench.stage import Stage
from bench.ways import Way


async def against_loop(stage: Stage, row_id: str, way: Way, module: str, rival: str) -> list[RowResult]:
    """Ours beside the same client alone, with finished bytes and neither queue nor database."""
    stage.say("warming up")
    await stage.pipeline.run(way, stage.size.warm_up)
    stage.say("what the sink can take")
    sink = await _loop(stage, way, way.raw)
    ours, against = await alternate(
        stage.size.pairs,
        lambda: stage.pipeline.run(way, stage.size.messages),
        lambda: _loop(stage, way, module),
        stage.say,
    )
    return [summarise(row_id, ours, against, Rival(rival), sink_rate=sink.rate)]


async def against_peer(stage: Stage, row_id: str, way: Way, peer: Peer, rival: str) -> list[RowResult]:
    """Ours beside what others would build the service from, each from its intake to its row; may raise LeftOut."""
    async with work.at_work(stage.ground, peer, stage.say) as there:
        stage.say("warming up")
        await stage.pipeline.run(way, stage.size.warm_up)
        await there.run(way, stage.size.warm_up)
        ours, against = await alternate(
            stage.size.pairs,
            lambda: stage.pipeline.run(way, stage.size.messages),
            lambda: there.run(way, stage.size.messages),
            stage.say,
        )
    return [summarise(row_id, ours, against, Rival(rival, work.WORKING, is_peer=True))]


async def profile(stage: Stage, way: Way, path: Path) -> pstats.Stats:
    """Where the worker's event loop spends its time; the figures of such a run are no measure of speed."""
    stage.say("profiling")
    stage.house.profile_worker(path)
    await stage.pipeline.run(way, stage.size.messages)
    await asyncio.to_thread(stage.house.stop_workers)
    stage.house.staff(1)
    return pstats.Stats(str(path))


async def _loop(stage: Stage, way: Way, module: str) -> Measured:
    sink = stage.house.sinks[way.sink]
    await sink.reset()
    done = await stage.bare(module, Task(sink.port, stage.size.messages, way.connections))
    counted = await sink.require(stage.size.messages)
    return Measured(stage.size.messages, done.seconds, {"bare loop": done.cpu_seconds}, counted.size)
