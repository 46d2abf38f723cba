"""What changes with size: a database with many rows beside one with few, and two workers beside one."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

from bench import ground, many_messages
from bench.compare import alternate
from bench.pipeline import Pipeline
from bench.results import WORKER, Measured, Rival, RowResult, summarise
from bench.stage import Stage
from bench.ways import EMAIL

_FEW: Final = 10_000
_WORKING: Final = ("worker", "database")


async def rows(stage: Stage) -> list[RowResult]:
    """Mails from an installation that has had very many messages beside one that has had few."""
    async with AsyncExitStack() as stack:
        many = await stack.enter_async_context(_house(stage, "many", stage.size.rows))
        few = await stack.enter_async_context(_house(stage, "few", _FEW))
        for pipeline in (many, few):
            stage.say("warming up")
            await pipeline.run(EMAIL, stage.size.warm_up)
        ours, against = await alternate(
            stage.size.pairs,
            lambda: many.run(EMAIL, stage.size.messages),
            lambda: few.run(EMAIL, stage.size.messages),
            stage.say,
        )
    rival = f"{stage.size.rows:,} rows beside {_FEW:,}"
    return [summarise("email/growth", ours, against, Rival(rival, _WORKING), working=_WORKING)]


async def workers(stage: Stage) -> list[RowResult]:
    """Mails from two workers beside one; every core is theirs to use, as it is everybody's."""

    async def run(count: int) -> Measured:
        stage.house.staff(count, stage.ground.cores.all)
        await stage.pipeline.run(EMAIL, stage.size.warm_up)
        return await stage.pipeline.run(EMAIL, stage.size.messages)

    try:
        ours, against = await alternate(stage.size.pairs, partial(run, 2), partial(run, 1), stage.say)
    finally:
        stage.house.staff(1)
    return [summarise("email/two-workers", ours, against, Rival("one worker", WORKER))]


@asynccontextmanager
async def _house(stage: Stage, name: str, number: int) -> AsyncIterator[Pipeline]:
    """An installation in whose database there are so many messages already, all of them done with."""
    url = await stage.ground.postgres.make(name)
    async with ground.opened(stage.ground, f"with-{name}", url, stage.size.people) as opened:
        stage.say(f"writing {number:,} messages")
        await many_messages.fill(url, number, waiting=False)
        yield opened
