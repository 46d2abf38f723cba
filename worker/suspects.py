"""Messages that may have killed their workers: sent one by one, with nothing else in the process's hands."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from models.vocabulary import Lane
from worker.quota import Quota
from worker.services import Services

_ALONE_AFTER_S: Final = 10.0
_ALONE_FOR_S: Final = 30.0


async def send_alone(services: Services, quota: Quota, send_one: Callable[[Lane], Awaitable[bool]]) -> None:
    """Send all there are; ``send_one`` begins to send one of a lane, and says whether there was any."""
    hand = services.hand
    if not await hand.close_when_empty(_ALONE_AFTER_S):
        return
    try:
        for lane in Lane:
            while services.lease.holds():
                room, wait_s = await quota.draw(1)
                if not room:
                    await asyncio.sleep(wait_s)
                    continue
                if not await send_one(lane):
                    break
                if not await hand.emptied(_ALONE_FOR_S):
                    return
    finally:
        hand.open = True
