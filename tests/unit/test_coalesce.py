"""Group commit: who is flushed with whom, and who hears of which error."""

import asyncio
import time
from collections.abc import Sequence

import pytest

from models.coalesce import Coalescer
from models.errors import StorageUnavailable
from tests.support.waiting import wait_until


class Store:
    """Doubles numbers; ``gate`` holds a flush open, ``failures`` are raised first."""

    def __init__(self) -> None:
        self.flushes: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.failures: list[Exception] = []

    async def flush(self, items: Sequence[int]) -> list[int]:
        self.flushes.append(list(items))
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        if any(item < 0 for item in items):
            raise ValueError("negative")
        return [2 * item for item in items]


def _coalescer(store: Store, *, most: int = 100, patience_s: float = 5.0, gather_s: float = 0.0) -> Coalescer[int, int]:
    return Coalescer(store.flush, most=most, patience_s=patience_s, gather_s=gather_s)


async def test_a_lone_item_is_flushed_at_once() -> None:
    store = Store()
    assert await _coalescer(store).submit(1) == 2
    assert store.flushes == [[1]]


async def test_what_arrives_during_a_flush_goes_together() -> None:
    store = Store()
    store.gate.clear()
    coalescer = _coalescer(store, most=3)
    first = coalescer.put(0)
    await asyncio.sleep(0)
    others = [coalescer.put(item) for item in range(1, 6)]
    store.gate.set()
    assert [*await asyncio.gather(first, *others)] == [0, 2, 4, 6, 8, 10]
    assert store.flushes == [[0], [1, 2, 3], [4, 5]]


async def test_soon_after_a_flush_it_waits_for_company_and_first_for_nobody() -> None:
    store = Store()
    coalescer = _coalescer(store, gather_s=60.0)
    assert await asyncio.wait_for(coalescer.put(0), 40) == 0
    coalescer = _coalescer(store, gather_s=0.5)
    assert await coalescer.put(1) == 2
    second = coalescer.put(2)
    await asyncio.sleep(0)
    assert [*await asyncio.gather(second, coalescer.put(3))] == [4, 6]
    assert store.flushes == [[0], [1], [2, 3]]


async def test_later_after_a_flush_it_waits_for_nobody() -> None:
    coalescer = _coalescer(Store(), gather_s=0.05)
    await coalescer.put(1)
    over_at = time.monotonic() + 0.05
    await wait_until(lambda: time.monotonic() > over_at)
    late = coalescer.put(2)
    for _ in range(5):  # turns of the loop, which take no time
        await asyncio.sleep(0)
    assert late.done()


async def test_a_lost_answer_repeats_the_chunk_whole() -> None:
    store = Store()
    store.failures = [StorageUnavailable("gone"), StorageUnavailable("gone")]
    coalescer = _coalescer(store)
    assert [*await asyncio.gather(coalescer.put(1), coalescer.put(2))] == [2, 4]
    assert store.flushes == [[1, 2]] * 3


async def test_patience_ends_for_the_whole_chunk() -> None:
    store = Store()
    store.failures = [StorageUnavailable("gone")]
    coalescer = _coalescer(store, patience_s=0.0)
    answers = await asyncio.gather(coalescer.put(1), coalescer.put(2), return_exceptions=True)
    assert [type(answer) for answer in answers] == [StorageUnavailable] * 2
    assert store.flushes == [[1, 2]]
    assert await coalescer.submit(3) == 6


async def test_one_bad_item_spoils_nothing_but_itself() -> None:
    store = Store()
    coalescer = _coalescer(store)
    good, bad, other = coalescer.put(1), coalescer.put(-1), coalescer.put(2)
    assert [*await asyncio.gather(good, other)] == [2, 4]
    with pytest.raises(ValueError, match="negative"):
        await bad
    assert store.flushes == [[1, -1, 2], [1], [-1], [2]]


async def test_a_cancelled_waiter_cancels_no_flush() -> None:
    store = Store()
    store.gate.clear()
    coalescer = _coalescer(store)
    waiter = asyncio.create_task(coalescer.submit(1))
    await asyncio.sleep(0)
    other = coalescer.put(2)
    await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.wait({waiter})
    store.gate.set()
    assert await other == 4
    assert waiter.cancelled()
    assert sorted(item for flush in store.flushes for item in flush) == [1, 2]


async def test_drain_waits_for_everything() -> None:
    store = Store()
    store.gate.clear()
    coalescer = _coalescer(store, most=1)
    results = [coalescer.put(item) for item in (1, 2, 3)]
    draining = asyncio.create_task(coalescer.drain())
    await asyncio.sleep(0)
    assert not draining.done()
    store.gate.set()
    await draining
    assert [result.result() for result in results] == [2, 4, 6]
    await coalescer.drain()


async def test_what_is_ahead_is_what_waits_and_the_chunk_under_way() -> None:
    store = Store()
    store.gate.clear()
    coalescer = _coalescer(store, most=1)
    assert coalescer.ahead == 0
    results = [coalescer.put(item) for item in (1, 2)]
    await asyncio.sleep(0)
    assert (store.flushes, coalescer.ahead) == ([[1]], 2)
    store.gate.set()
    assert await asyncio.gather(*results) == [2, 4]
    await coalescer.drain()
    assert coalescer.ahead == 0
