"""Answers that are written as they come."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import structlog
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

_SEND_S: Final = 30.0

log = structlog.get_logger("api_shim")


class Streamed(StreamingResponse):
    """Lets a client go that takes nothing of its answer for 30 s. ``ended`` is called in the end, whatever it was."""

    def __init__(self, chunks: AsyncIterator[bytes], *args: Any, ended: Callable[[], None]) -> None:
        super().__init__(chunks, *args)
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write the answer."""

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(_SEND_S):
                await send(message)

        try:
            await super().__call__(scope, receive, send_in_time)
        except TimeoutError:
            log.info("a client took nothing of its answer for too long")  # the server closes its connection
        finally:
            self._ended()
