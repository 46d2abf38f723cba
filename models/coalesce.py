"""Group commit: requests that arrive together share one transaction.

The first request is flushed at once; what arrives while a flush runs is gathered into the next. Items carry
ids that were given before the flush, and a flush must be repeatable as a whole (``ON CONFLICT DO NOTHING``),
because a lost answer to COMMIT leaves nobody knowing whether it happened.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from models.errors import StorageUnavailable

_RETRY_PAUSE_S: Final = 0.05

T = TypeVar("T")
R = TypeVar("R")


class Coalescer(Generic[T, R]):
    """Gathers items and flushes them in chunks.

    ``flush`` takes the items of a chunk and returns their results in the same order. It may raise
    StorageUnavailable (nobody knows whether it was stored: the whole chunk is repeated until ``patience_s``
    have passed) or anything else (bad data: the items go one by one, and each gets its own error). For ``gather_s``
    after a flush what comes is gathered; who comes later, with nobody about, waits for nobody.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        *,
        most: int,
        patience_s: float,
        gather_s: float = 0.0,
    ) -> None:
        self._flush = flush
        self._most = most
        self._patience_s = patience_s
        self._gather_s = gather_s
        self._flushed_at = float("-inf")
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._runner: asyncio.Task[None] | None = None

    async def submit(self, item: T) -> R:
        """The result for ``item``, once its chunk is durable. Cancelling the wait cancels no flush."""
        return await self.put(item)

    def put(self, item: T) -> "asyncio.Future[R]":
        """The same without waiting."""
        result: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, result))
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())
        return result

    @property
    def ahead(self) -> int:
        """How much is flushed before what is put now, the chunk under way for one."""
        return len(self._waiting) + (self._runner is not None)

    async def drain(self) -> None:
        """Return once everything that was put is flushed or has failed."""
        while self._runner is not None:
            await asyncio.wait({self._runner})

    async def _run(self) -> None:
        try:
            while self._waiting:
                left_s = self._flushed_at + self._gather_s - time.monotonic()
                if left_s > 0 and len(self._waiting) < self._most:
                    await asyncio.sleep(left_s)
                chunk = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
                await self._flush_chunk(chunk)
                self._flushed_at = time.monotonic()
        finally:
            self._runner = None
            if self._waiting:  # only after a cancellation: leave nobody waiting for ever
                self._runner = asyncio.create_task(self._run())

    async def _flush_chunk(self, chunk: "list[tuple[T, asyncio.Future[R]]]") -> None:
        try:
            results = await self._repeated([item for item, _ in chunk])
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to those who wait
            if len(chunk) > 1 and not isinstance(error, StorageUnavailable):
                for waiting in chunk:
                    await self._flush_chunk([waiting])
                return
            for _, waiter in chunk:
                if not waiter.done():
                    waiter.set_exception(error)
            return
        for (_, waiter), result in zip(chunk, results, strict=True):
            if not waiter.done():
                waiter.set_result(result)

    async def _repeated(self, items: list[T]) -> Sequence[R]:
        give_up_at = time.monotonic() + self._patience_s
        while True:
            try:
                return await self._flush(items)
            except StorageUnavailable:
                if time.monotonic() >= give_up_at:
                    raise
                await asyncio.sleep(_RETRY_PAUSE_S)
