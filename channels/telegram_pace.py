"""Telegram's limits, kept over all workers: how fast one bot may write, and to one chat."""

import asyncio
import hashlib
from contextlib import nullcontext
from typing import Final

from channels.contract import Limit, Limiter
from channels.errors import Limited
from channels.telegram_address import is_group

# Telegram allows 30 a second (Bots FAQ, "My bot is hitting limits"). What leaves a busy process late arrives close to
# what left after it: a sixth less keeps any second below 30 when they are up to 0.2 s late.
_PER_SECOND: Final = 25.0
_CHAT_PER_SECOND: Final = 1.0
# 20 a minute: 5 at once, and 15 more in any minute.
_GROUP_PER_SECOND: Final = 0.25
_GROUP_BURST: Final = 5.0

_PATIENCE_S: Final = 2.0
_SHORT_S: Final = 2 / _PER_SECOND


class Pace:
    """The turns of one bot, in this process."""

    def __init__(self, limiter: Limiter, token: str) -> None:
        self._limiter = limiter
        self._bot = _digest(token)
        self._asking = asyncio.Lock()
        self._first_of_others = asyncio.Lock()

    async def turn(self, chat: str, *, ahead: bool = False) -> None:
        """Wait for a turn to write to ``chat``; raises Limited where that takes longer than 2 s.

        One asks at a time, so that turns come in the order of asking, and Redis is not asked by all at once. Who waits
        for the chat's own limit stands aside meanwhile. Who goes ``ahead`` waits for one of the others at most.
        """
        loop = asyncio.get_running_loop()
        limits = self._limits(chat)
        give_up_at = loop.time() + _PATIENCE_S
        while True:
            async with nullcontext() if ahead else self._first_of_others, self._asking:
                wait_s = await self._limiter.take(limits)
                while 0 < wait_s <= _SHORT_S and loop.time() + wait_s < give_up_at:
                    await asyncio.sleep(wait_s)
                    wait_s = await self._limiter.take(limits)
            if not wait_s:
                return
            if loop.time() + wait_s >= give_up_at:
                raise Limited("waits for its turn on Telegram", retry_after_s=wait_s)
            await asyncio.sleep(wait_s)

    def _limits(self, chat: str) -> list[Limit]:
        name = f"{self._bot}:{_digest(chat)}"
        limits = [Limit(f"telegram:bot:{self._bot}", _PER_SECOND), Limit(f"telegram:chat:{name}", _CHAT_PER_SECOND)]
        if is_group(chat):
            limits.append(Limit(f"telegram:group:{name}", _GROUP_PER_SECOND, _GROUP_BURST))
        return limits


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]
