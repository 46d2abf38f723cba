"""``python -m bench.floors.aiohttp_loop``: what aiohttp does alone, with neither queue nor database.

As its documentation shows: one session, so many tasks, each posting one finished webhook after another.
"""

import asyncio
from collections import deque

import aiohttp

from bench.errors import BenchFailed
from bench.floors.task import Clock, Done, Task, main
from bench.traffic import FinishedHook, finished_hooks


async def run(task: Task) -> Done:
    """Post finished bodies over kept connections."""
    waiting = deque(finished_hooks(task.messages, task.port))
    connector = aiohttp.TCPConnector(limit=task.connections)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        await asyncio.gather(*(_open(session, task.port) for _ in range(task.connections)))
        clock = Clock()
        clock.start()
        await asyncio.gather(*(_post_all(session, waiting) for _ in range(task.connections)))
        return clock.stop()


async def _open(session: aiohttp.ClientSession, port: int) -> None:
    async with session.get(f"http://127.0.0.1:{port}/") as answer:
        await answer.read()


async def _post_all(session: aiohttp.ClientSession, waiting: deque[FinishedHook]) -> None:
    while waiting:
        hook = waiting.popleft()
        async with session.post(hook.url, data=hook.body, headers=hook.headers) as answer:
            await answer.read()
            if answer.status != 200:
                raise BenchFailed(f"the sink answered {answer.status}")


if __name__ == "__main__":
    main(run, Task)
