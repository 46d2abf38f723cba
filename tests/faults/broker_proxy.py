"""A way to the broker on which the acknowledgements of jobs can be held up."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support.proxy import pipe

_ACK: Final = b"\r\nack\r\n"
"""dramatiq's word for it, as an argument of its script (RESP, "Bulk strings")."""
_BLOCK_BYTES: Final = 65_536


@dataclass
class BrokerProxy:
    """``port``: where to connect to. ``held``: acknowledgements that wait until ``let_through`` is set."""

    port: int = 0
    held: int = 0
    let_through: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        """The same broker, by this way."""
        return f"redis://127.0.0.1:{self.port}/0"


async def _to_server(proxy: BrokerProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while block := await reader.read(_BLOCK_BYTES):
        if _ACK in block and not proxy.let_through.is_set():
            proxy.held += 1
            await proxy.let_through.wait()
            proxy.held -= 1
            if reader.at_eof():  # it was killed meanwhile: its word never came through
                return
        writer.write(block)


@contextlib.asynccontextmanager
async def running(socket: Path) -> AsyncIterator[BrokerProxy]:
    """A way from a free port of this event loop to the broker at a Unix socket."""
    proxy = BrokerProxy()
    proxy.let_through.set()
    joined: set[asyncio.Task[None]] = set()

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            answers, asks = await asyncio.open_unix_connection(socket)
            ways = (_to_server(proxy, reader, asks), pipe(answers, writer))
            tasks = [asyncio.ensure_future(way) for way in ways]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                asks.close()
        writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(join(reader, writer))
        joined.add(task)
        task.add_done_callback(joined.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in joined:
            task.cancel()
        await asyncio.gather(*joined, return_exceptions=True)
