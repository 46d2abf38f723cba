"""A slow link: what goes through arrives later, and every wait of the client for the server is counted."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from tests.support.proxy import End, Proxy


@dataclass
class SlowLink(Proxy):
    """``turns``: how often a client spoke after it had been answered, over all connections."""

    turns: int = 0


class _Session:
    """One client's connection and ours to the server; what is read of one is written to the other after ``delay_s``."""

    def __init__(self, link: SlowLink, delay_s: float) -> None:
        self._link = link
        self._delay_s = delay_s
        self._answered = True
        self._loop = asyncio.get_running_loop()
        self.client = End(link, self._asked, lambda: self._later(self.server.close), waits=True)
        self.server = End(link, lambda data: self._later(self._answer, data), lambda: self._later(self.client.close))

    def _later(self, *what: Any) -> None:
        self._loop.call_later(self._delay_s, *what)

    def _asked(self, data: bytes) -> None:
        if self._answered:
            self._link.turns += 1
            self._answered = False
        self._later(self.server.write, data)

    def _answer(self, data: bytes) -> None:
        self._answered = True
        self.client.write(data)

    async def join(self, port: int) -> None:
        await self._loop.create_connection(lambda: self.server, "127.0.0.1", port)
        self.client.read()


@contextlib.asynccontextmanager
async def running(port: int, delay_s: float) -> AsyncIterator[SlowLink]:
    """A way to ``port`` of this machine that takes ``delay_s`` in each direction, from a free port."""
    link = SlowLink()

    def accept() -> End:
        session = _Session(link, delay_s)
        link.begin(session.join(port))
        return session.client

    async with link.listening(accept):
        yield link
