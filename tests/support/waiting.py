"""Waiting by predicate. The only place in the tests that lets time pass."""

import asyncio
import inspect
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, overload

T = TypeVar("T")

_PATIENCE: Final = 4  # times what a look has cost: looking must not take the time of what is waited for
_LONGEST_PAUSE_S: Final = 0.25


@overload
async def wait_until(predicate: Callable[[], Awaitable[T]], timeout: float = 30.0, interval: float = 0.01) -> T: ...


@overload
async def wait_until(predicate: Callable[[], T], timeout: float = 30.0, interval: float = 0.01) -> T: ...


async def wait_until(predicate: Callable[[], object], timeout: float = 30.0, interval: float = 0.01) -> object:
    """The first true value of ``predicate`` (plain or async); AssertionError after ``timeout`` seconds.

    It is asked every ``interval`` seconds, and where that costs this process much, less often.
    """
    give_up_at = time.monotonic() + timeout
    while True:
        began = time.process_time()
        answer = predicate()
        value: object = await answer if inspect.isawaitable(answer) else answer
        if value:
            return value
        if time.monotonic() >= give_up_at:
            raise AssertionError(
                f"not true within {timeout} s: {inspect.getsource(getattr(predicate, 'func', predicate)).strip()}"
            )
        cost = time.process_time() - began
        await asyncio.sleep(max(interval, min(_PATIENCE * cost, _LONGEST_PAUSE_S)))


async def wait_for_sqlite_threads() -> None:
    """Wait for the threads of failed connections: aiosqlite answers from them once more after it raised."""
    await wait_until(lambda: not [thread for thread in threading.enumerate() if "_connection_worker" in thread.name])
