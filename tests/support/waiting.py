"""Waiting by predicate. The only place in the tests that lets time pass."""

import asyncio
import inspect
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

T = TypeVar("T")


@overload
async def wait_until(predicate: Callable[[], Awaitable[T]], timeout: float = 15.0, interval: float = 0.01) -> T: ...


@overload
async def wait_until(predicate: Callable[[], T], timeout: float = 15.0, interval: float = 0.01) -> T: ...


async def wait_until(predicate: Callable[[], object], timeout: float = 15.0, interval: float = 0.01) -> object:
    """The first true value of ``predicate`` (plain or async); AssertionError after ``timeout`` seconds."""
    give_up_at = time.monotonic() + timeout
    while True:
        answer = predicate()
        value: object = await answer if inspect.isawaitable(answer) else answer
        if value:
            return value
        if time.monotonic() >= give_up_at:
            raise AssertionError(
                f"not true within {timeout} s: {inspect.getsource(getattr(predicate, 'func', predicate)).strip()}"
            )
        await asyncio.sleep(interval)


async def wait_for_sqlite_threads() -> None:
    """Wait for the threads of failed connections: aiosqlite answers from them once more after it raised."""
    await wait_until(lambda: not [thread for thread in threading.enumerate() if "_connection_worker" in thread.name])
