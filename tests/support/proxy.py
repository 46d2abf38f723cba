"""What stands between a client and a server on this event loop, and passes on what either says."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, cast

_LAST_BYTES_S: Final = 5.0
_BLOCK_BYTES: Final = 65_536


@dataclass
class Proxy:
    """``port``: where to connect to, on 127.0.0.1."""

    port: int = 0
    connections: set[asyncio.Transport] = field(default_factory=set)
    _joining: set[asyncio.Task[None]] = field(default_factory=set)

    def begin(self, joining: Coroutine[Any, Any, None]) -> None:
        """Connect to the server meanwhile."""
        task = asyncio.get_running_loop().create_task(joining)
        self._joining.add(task)
        task.add_done_callback(self._joining.discard)

    @contextlib.asynccontextmanager
    async def listening(self, accept: Callable[[], asyncio.Protocol]) -> AsyncIterator[None]:
        """Take connections on a free port; at the end all are cut."""
        server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for task in self._joining:
                task.cancel()
            for transport in list(self.connections):
                transport.abort()
            async with asyncio.timeout(_LAST_BYTES_S):
                await server.wait_closed()


class End(asyncio.Protocol):
    """One end of a connection. ``take`` gets what is read of it, ``lost`` is called once nothing more will come.

    ``waits``: nothing is read of it yet.
    """

    def __init__(
        self, proxy: Proxy, take: Callable[[bytes], None], lost: Callable[[], None], *, waits: bool = False
    ) -> None:
        self._proxy = proxy
        self._take = take
        self._lost = lost
        self._waits = waits
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # cast: uvloop's transports are no subclass of asyncio's.
        self.transport = cast(asyncio.Transport, transport)
        self._proxy.connections.add(self.transport)
        if self._waits:
            self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        self._take(data)

    def eof_received(self) -> bool:
        self._lost()
        return True  # it may be told more

    def connection_lost(self, exc: Exception | None) -> None:
        if self.transport is not None:
            self._proxy.connections.discard(self.transport)
        self._lost()

    @property
    def is_there(self) -> bool:
        """Whether something can be said to it."""
        return self.transport is not None and not self.transport.is_closing()

    def read(self) -> None:
        """It has waited long enough."""
        if self.transport is not None and self.is_there:
            self.transport.resume_reading()

    def write(self, data: bytes) -> None:
        """Pass it on, while there is somebody."""
        if self.transport is not None and self.is_there:
            self.transport.write(data)

    def close(self) -> None:
        """Hang up, once what was passed on is out."""
        if self.transport is not None:
            self.transport.close()

    def cut(self) -> None:
        """Hang up at once."""
        if self.transport is not None:
            self.transport.abort()


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what one says to the other, until it has nothing more to say; then hang up."""
    with contextlib.suppress(OSError):
        while data := await reader.read(_BLOCK_BYTES):
            writer.write(data)
            await writer.drain()
    writer.close()
