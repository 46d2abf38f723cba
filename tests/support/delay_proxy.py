"""A slow link: what goes through arrives later, and every wait of the client for the server is counted."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from typing import cast

_LAST_BYTES_S = 5.0


@dataclass
class SlowLink:
    """Where to connect to. ``turns``: how often a client spoke after it had been answered, over all connections."""

    port: int = 0
    turns: int = 0
    connections: set[asyncio.Transport] = field(default_factory=set)


class _End(asyncio.Protocol):
    """One end of a connection; what is read there is written at the other end after ``delay_s``."""

    def __init__(self, link: SlowLink, delay_s: float, *, counted: bool) -> None:
        self.link = link
        self.delay_s = delay_s
        self.counted = counted
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None
        self.answered = True
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # cast: uvloop's transports are no subclass of asyncio's.
        self.transport = cast(asyncio.Transport, transport)
        self.link.connections.add(self.transport)

    def data_received(self, data: bytes) -> None:
        if self.counted and self.answered:
            self.link.turns += 1
            self.answered = False
        self._loop.call_later(self.delay_s, self._pass_on, data)

    def eof_received(self) -> bool:
        self._loop.call_later(self.delay_s, self._pass_on, b"")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if self.transport is not None:
            self.link.connections.discard(self.transport)
        self._loop.call_later(self.delay_s, self._pass_on, b"")

    def _pass_on(self, data: bytes) -> None:
        if self.other is None or self.other.transport is None or self.other.transport.is_closing():
            return
        if not data:
            self.other.transport.close()
            return
        self.other.answered = True
        self.other.transport.write(data)


@contextlib.asynccontextmanager
async def running(port: int, delay_s: float) -> AsyncIterator[SlowLink]:
    """A way to ``port`` of this machine that takes ``delay_s`` in each direction, from a free port."""
    link = SlowLink()
    loop = asyncio.get_running_loop()
    joining: set[asyncio.Task[None]] = set()

    async def join(near: _End) -> None:
        _, far = await loop.create_connection(partial(_End, link, delay_s, counted=False), "127.0.0.1", port)
        near.other, far.other = far, near
        if near.transport is not None:
            near.transport.resume_reading()

    class Near(_End):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            cast(asyncio.Transport, transport).pause_reading()
            task = loop.create_task(join(self))
            joining.add(task)
            task.add_done_callback(joining.discard)

    server = await loop.create_server(lambda: Near(link, delay_s, counted=True), "127.0.0.1", 0)
    link.port = server.sockets[0].getsockname()[1]
    try:
        yield link
    finally:
        server.close()
        for task in joining:
            task.cancel()
        for transport in list(link.connections):
            transport.abort()
        async with asyncio.timeout(_LAST_BYTES_S):
            await server.wait_closed()
