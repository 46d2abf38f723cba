"""A server that speaks our HTTP, and the other end of a plain socket to it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api_shim.decoding import WHOLE_BODY
from api_shim.protocol import BoundedProtocol
from tests.support.waiting import wait_until


class Server:
    """A server that answers one path at once and the other when it is let go."""

    def __init__(self) -> None:
        self.port = 0
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.bodies: list[bytes] = []
        self.headers: list[list[tuple[bytes, bytes]]] = []
        self.was_whole: list[bool] = []

    async def quick(self, request: Request) -> Response:
        self.was_whole.append(WHOLE_BODY in request.scope.get("extensions", {}))
        self.bodies.append(await request.body())
        self.headers.append(request.headers.raw)
        return Response(b"yes")

    async def slow(self, _: Request) -> Response:
        self.begun.set()
        await self.go.wait()
        return Response(b"at last")


@asynccontextmanager
async def serving(protocol: type[BoundedProtocol], keep_alive: int = 5) -> AsyncIterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        served = Server()
        served.port = listener.getsockname()[1]
        app = Starlette(
            routes=[
                Route("/quick", served.quick, methods=["GET", "POST"]),
                Route("/slow", served.slow, methods=["GET"]),
            ]
        )
        config = uvicorn.Config(
            app,
            http=protocol,
            lifespan="off",
            log_config=None,
            access_log=False,
            ws="none",
            timeout_keep_alive=keep_alive,
        )
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        await wait_until(lambda: server.started or task.done())
        try:
            yield served
        finally:
            served.go.set()
            server.should_exit = True
            await task


class Client:
    """A plain connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def settle(self) -> None:
        """Let the server, which runs in the same loop, read what was said, so that it comes in a piece of its own."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def hear(self) -> bytes:
        """Everything until the server closes; what it had to say may be lost where we still wrote."""
        try:
            return await asyncio.wait_for(self.reader.read(), 10)
        except ConnectionError:
            return b""

    async def answer(self) -> bytes:
        """The head of one answer."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await self.reader.readexactly(length)
        return head


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
