"""Several tabs at once: while one page is loaded and drawn, another one is looked at."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, Final, TypeVar

T = TypeVar("T")

TABS: Final = 3
"""One more than the processors of a small machine: a tab waits for the server now and then."""


async def side_by_side(things: Iterable[T], walk: Callable[[Iterator[T]], Coroutine[Any, Any, None]]) -> None:
    """Have each thing seen by one of the walks, of which each has a tab of its own; the first failure ends all."""
    left = iter(things)
    async with asyncio.TaskGroup() as group:
        for _ in range(TABS):
            group.create_task(walk(left))
