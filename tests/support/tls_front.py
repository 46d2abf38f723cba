"""TLS before a server that speaks none, as stunnel or a hosted service's own front has it."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any

from tests.support.proxy import pipe


@contextlib.asynccontextmanager
async def running(tls: ssl.SSLContext, socket_path: str) -> AsyncIterator[int]:
    """The port of a front on 127.0.0.1 for the server on a Unix socket."""
    lines: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(socket_path)
        both = [asyncio.create_task(pipe(*each)) for each in ((reader, inner_writer), (inner_reader, writer))]
        lines.update(both)
        await asyncio.wait(both)
        for end in (writer, inner_writer):
            end.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for line in lines:
            line.cancel()
        await asyncio.gather(*lines, return_exceptions=True)
