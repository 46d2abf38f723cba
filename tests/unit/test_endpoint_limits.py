"""How many requests an endpoint may have under way, by a clock that the test sets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from channels.endpoint_limits import EndpointLimits
from channels.errors import Limited, NotStarted, Permanent, SendError, Transient, Unknown
from models.vocabulary import FailureReason
from tests.support.waiting import wait_until

SLOTS = 200
SHARE = SLOTS // 8
URL = "https://hooks.example/a"


class Clock:
    """Tells the time that it is set to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limits(clock: Clock) -> EndpointLimits:
    return EndpointLimits(SLOTS, share=8, clock=clock)


async def request(
    limits: EndpointLimits, clock: Clock, *, url: str = URL, takes_s: float = 0.001, error: BaseException | None = None
) -> None:
    """One request to its end."""
    with contextlib.suppress(SendError):
        async with limits.turn(url):
            clock.now += takes_s
            if error is not None:
                raise error


async def hang(limits: EndpointLimits, clock: Clock, url: str = URL) -> None:
    await request(limits, clock, url=url, takes_s=15.0, error=Unknown("no answer"))


@dataclass
class Crowd:
    """Requests that all begin at once: how many are under way, and for how long the refused ones are put off."""

    begun: int = 0
    pauses: list[float] = field(default_factory=list)


@contextlib.asynccontextmanager
async def crowd(limits: EndpointLimits, count: int, url: str = URL) -> AsyncIterator[Crowd]:
    """So many; those that began go on until the block ends, and tell nothing of their endpoint."""
    over = asyncio.Event()
    found = Crowd()

    async def one() -> None:
        try:
            async with limits.turn(url):
                found.begun += 1
                await over.wait()
                raise NotStarted("")
        except Limited as limited:
            found.pauses.append(limited.retry_after_s)
        except NotStarted:
            pass

    tasks = [asyncio.create_task(one()) for _ in range(count)]
    await asyncio.sleep(0)
    try:
        yield found
    finally:
        over.set()
        await asyncio.gather(*tasks)


async def window(limits: EndpointLimits, url: str = URL) -> int:
    async with crowd(limits, SLOTS, url) as found:
        return found.begun


async def test_the_window_opens_with_every_answer_up_to_the_share(limits: EndpointLimits, clock: Clock) -> None:
    assert await window(limits) == 4
    for expected in (5, 6, 7):
        await request(limits, clock)
        assert await window(limits) == expected
    for _ in range(SLOTS):
        await request(limits, clock)
    assert await window(limits) == SHARE
    assert await window(limits, "https://other.example/") == 4


async def test_processes_share_what_an_endpoint_may_have(clock: Clock) -> None:
    there = [5]
    limits = EndpointLimits(SLOTS, share=8, processes=lambda: there[0], clock=clock)
    for _ in range(SLOTS):
        await request(limits, clock)
    assert await window(limits) == SHARE // 5
    there[0] = 2
    for _ in range(SLOTS):
        await request(limits, clock)
    assert await window(limits) == SHARE // 2
    there[0] = 100
    await request(limits, clock)
    assert await window(limits) == 1
    assert await window(limits, "https://other.example/") == 1


@pytest.mark.parametrize(
    ("url", "is_same"),
    [
        ("https://hooks.example:443/b?c", True),
        ("https://HOOKS.example/", True),
        ("http://hooks.example:443/", False),
        ("https://hooks.example:8443/a", False),
        ("https://a.hooks.example/a", False),
    ],
)
async def test_an_endpoint_is_scheme_host_and_port(limits: EndpointLimits, url: str, is_same: bool) -> None:
    async with crowd(limits, 3):
        assert await window(limits, url) == (1 if is_same else 4)


async def test_a_time_out_leaves_one_and_an_answer_opens_it_again(limits: EndpointLimits, clock: Clock) -> None:
    for _ in range(SLOTS):
        await request(limits, clock)
    await hang(limits, clock)
    assert await window(limits) == 1
    await request(limits, clock)
    assert await window(limits) == 2


@pytest.mark.parametrize("error", [Transient("no connection within the time-out"), Unknown("no answer")])
async def test_what_took_long_and_had_no_answer_is_a_time_out(
    limits: EndpointLimits, clock: Clock, error: SendError
) -> None:
    await request(limits, clock, takes_s=5, error=error)
    assert await window(limits) == 1


@pytest.mark.parametrize(
    ("takes_s", "error"),
    [
        (0.01, Transient("refused")),
        (0.01, Unknown("cut")),
        (9.0, None),
        (9.0, NotStarted("shuts down")),
        (9.0, Permanent("no", reason=FailureReason.FORBIDDEN_DESTINATION)),
    ],
)
async def test_anything_else_is_not(
    limits: EndpointLimits, clock: Clock, takes_s: float, error: SendError | None
) -> None:
    await request(limits, clock, takes_s=takes_s, error=error)
    assert await window(limits) >= 4


async def test_the_longer_it_hangs_the_longer_the_pause(limits: EndpointLimits, clock: Clock) -> None:
    pauses = []
    for _ in range(8):
        await hang(limits, clock)
        async with crowd(limits, 3) as found:
            pauses.append(max(found.pauses))
        clock.now += pauses[-1]
    assert all(after > before for before, after in pairwise(pauses[:5]))
    assert 15 <= pauses[0] < 25
    assert 600 <= pauses[-1] <= 750


async def test_pauses_are_spread(limits: EndpointLimits, clock: Clock) -> None:
    await hang(limits, clock)
    async with crowd(limits, 50) as found:
        assert len(set(found.pauses)) > 40


async def test_before_the_first_time_out_comes_nobody_waits_for_what_does_not_move(
    limits: EndpointLimits, clock: Clock
) -> None:
    async with crowd(limits, 4):
        clock.now += 0.3
        async with crowd(limits, 10) as late:
            assert (late.begun, len(late.pauses)) == (0, 10)
            assert all(0.5 <= pause < 1 for pause in late.pauses)


async def test_who_waits_is_sent_away_once_nothing_moves(limits: EndpointLimits, clock: Clock) -> None:
    async with crowd(limits, 10) as found:
        assert (found.begun, found.pauses) == (4, [])
        clock.now += 0.3
        await wait_until(lambda: found.pauses)
        assert (found.begun, len(found.pauses)) == (4, 6)


async def test_who_waits_gets_the_place_that_comes_free(limits: EndpointLimits) -> None:
    async with crowd(limits, 3) as first:
        async with crowd(limits, 10) as second:
            assert (first.begun, second.begun) == (3, 1)
        assert (second.begun, second.pauses) == (10, [])


async def test_who_gives_up_waiting_takes_no_place(limits: EndpointLimits) -> None:
    async with crowd(limits, 4):
        waiting = asyncio.create_task(limits.turn(URL).__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
    assert await window(limits) == 4


async def test_a_place_that_comes_to_one_who_gives_up_goes_on_to_the_next(limits: EndpointLimits) -> None:
    async with crowd(limits, 3):
        ending = limits.turn(URL)
        await ending.__aenter__()
        waiting = asyncio.create_task(limits.turn(URL).__aenter__())
        await asyncio.sleep(0)
        await ending.__aexit__(NotStarted, NotStarted(""), None)
        waiting.cancel()  # the place is there, but the task has not run since
        await asyncio.wait([waiting])
        assert waiting.cancelled()
    assert await window(limits) == 4


async def test_one_that_answers_slowly_is_booked_ahead(limits: EndpointLimits, clock: Clock) -> None:
    for _ in range(SLOTS):
        await request(limits, clock, takes_s=3)
    async with crowd(limits, 1025) as found:
        assert found.begun == SHARE
        assert len(found.pauses) >= 990
        # 25 at once, for 3 s each: 1,000 take 120 s.
        assert 110 < max(found.pauses) < 160
        assert min(found.pauses) < 1


async def test_all_that_hang_have_an_eighth_of_the_slots_together(limits: EndpointLimits, clock: Clock) -> None:
    urls = [f"https://{number}.example/" for number in range(60)]
    for url in urls:
        await hang(limits, clock, url)
    async with contextlib.AsyncExitStack() as stack:
        crowds = [await stack.enter_async_context(crowd(limits, 1, url)) for url in urls]
        assert sum(each.begun for each in crowds) == SLOTS // 8
        assert await window(limits) == 4


async def test_what_was_not_used_for_long_is_forgotten(limits: EndpointLimits, clock: Clock) -> None:
    await hang(limits, clock)
    clock.now += 3601
    assert await window(limits) == 4


async def test_so_many_endpoints_are_remembered(limits: EndpointLimits, clock: Clock) -> None:
    await hang(limits, clock)
    async with crowd(limits, 4, "https://busy.example/"):
        for number in range(5000):
            await request(limits, clock, url=f"https://{number}.example/", takes_s=0)
        clock.now += 0.3
        assert await window(limits, "https://busy.example/") == 0
    assert await window(limits) == 1


async def test_what_was_rescued_waits_before_the_others_and_is_not_put_off_for_them(
    limits: EndpointLimits, clock: Clock
) -> None:
    for _ in range(SHARE):
        await request(limits, clock, takes_s=0.05)
    order: list[str] = []

    async def one(name: str, *, rescued: bool = False) -> None:
        try:
            async with limits.turn(URL, rescued=rescued):
                order.append(name)
                await asyncio.sleep(0)
        except Limited:
            order.append(f"{name} put off")

    async with contextlib.AsyncExitStack() as held:
        for _ in range(SHARE):
            await held.enter_async_context(limits.turn(URL))
        sends = [asyncio.create_task(one(str(number))) for number in range(200)]
        await wait_until(lambda: "199 put off" in order)
        sends.append(asyncio.create_task(one("rescued", rescued=True)))
        await asyncio.sleep(0)
        assert "rescued put off" not in order
        put_off = len(order)
    await asyncio.gather(*sends)
    assert order[put_off] == "rescued"
