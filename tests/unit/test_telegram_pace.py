"""Whose turn it is to write by a bot."""

import asyncio

from channels.telegram_pace import Pace
from worker.limits import LocalLimiter


async def test_who_goes_ahead_waits_for_one_of_the_others_at_most() -> None:
    pace, order = Pace(LocalLimiter(), "1:token"), list[str]()

    async def one(name: str, *, ahead: bool = False) -> None:
        await pace.turn(name, ahead=ahead)
        order.append(name)

    sends = [asyncio.create_task(one(str(number))) for number in range(20)]
    await asyncio.sleep(0)
    await one("first", ahead=True)
    assert order.index("first") <= 2
    await asyncio.gather(*sends)
    assert [name for name in order if name != "first"] == [str(number) for number in range(20)]
