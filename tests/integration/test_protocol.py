"""The limits on what comes before a body, seen from the other end of a plain socket."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api_shim.protocol import HEAD_BYTES, BoundedProtocol
from tests.support.waiting import wait_until

GOOD = b"GET /quick HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200"


class Impatient(BoundedProtocol):
    """The same, within the time of a test."""

    head_timeout_s = 0.2


class Server:
    """A server that answers one path at once and the other when it is let go."""

    def __init__(self) -> None:
        self.port = 0
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.bodies: list[int] = []

    async def quick(self, request: Request) -> Response:
        self.bodies.append(len(await request.body()))
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
            app, http=protocol, lifespan="off", log_config=None, access_log=False, timeout_keep_alive=keep_alive
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


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * HEAD_BYTES,
        b"GET / HTTP/1.1\r\nX: " + b"a" * HEAD_BYTES,
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * (HEAD_BYTES // 6),
        b"\r\n" * (HEAD_BYTES // 2 + 1),
    ],
    ids=["address", "one header", "many headers", "empty lines"],
)
async def test_an_endless_head_is_cut_off(head: bytes) -> None:
    async with serving(BoundedProtocol) as server, connected(server) as client:
        await client.say(head)
        answer = await client.hear()
        assert answer.startswith(b"HTTP/1.1 431 ")
        assert b"/problems/request-head-too-large" in answer


async def test_a_whole_head_of_any_number_of_pieces_has_one_limit() -> None:
    async with serving(BoundedProtocol) as server:
        for size, expected in ((HEAD_BYTES // 2, OK), (HEAD_BYTES + 1, b"HTTP/1.1 431")):
            async with connected(server) as client:
                await client.say(GOOD[:-2] + b"X: " + b"a" * size + b"\r\n\r\n")
                assert (await client.answer()).startswith(expected)


async def test_a_body_is_no_head() -> None:
    head = b"POST /quick HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (4 * HEAD_BYTES)
    async with serving(BoundedProtocol) as server, connected(server) as client:
        for _ in range(3):  # the next head comes with the end of a body
            await client.say(head, *[b"x" * HEAD_BYTES] * 3, b"x" * HEAD_BYTES + GOOD[:10], GOOD[10:])
            assert (await client.answer()).startswith(OK)
            assert (await client.answer()).startswith(OK)
        assert server.bodies == [4 * HEAD_BYTES, 0] * 3


@pytest.mark.parametrize("start", [b"GET /", b"\r\n", b"GET /quick HTTP/1.1\r\nHost: x\r\n"])
async def test_a_head_that_does_not_end_is_given_up(start: bytes) -> None:
    async with serving(Impatient) as server, connected(server) as client:
        await client.say(start)
        answer = await client.hear()
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close" in answer.lower()


async def test_a_second_head_that_does_not_end_is_given_up_too() -> None:
    async with serving(Impatient) as server, connected(server) as client:
        await client.say(GOOD)
        assert (await client.answer()).startswith(OK)
        await client.say(GOOD[:9])
        assert (await client.hear()).startswith(b"HTTP/1.1 408 ")


async def test_an_answer_under_way_is_finished_before_a_head_is_late() -> None:
    async with serving(Impatient) as server, connected(server) as client:
        await client.say(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        await client.say(GOOD[:9])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.reader.read(1), 3 * Impatient.head_timeout_s)
        server.go.set()
        assert (await client.answer()).startswith(OK)
        assert (await client.hear()).startswith(b"HTTP/1.1 408 ")


async def test_an_endless_head_behind_an_answer_under_way_does_not_garble_it() -> None:
    async with serving(BoundedProtocol) as server, connected(server) as client:
        await client.say(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        await server.begun.wait()
        await client.say(b"GET /" + b"a" * HEAD_BYTES)
        assert await client.hear() == b""


async def test_a_connection_that_says_nothing_is_closed() -> None:
    async with serving(BoundedProtocol, keep_alive=0) as server, connected(server) as client:
        assert await client.hear() == b""


async def test_a_slow_answer_and_a_quiet_client_are_not_late() -> None:
    async with serving(Impatient) as server, connected(server) as client:
        await client.say(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.reader.read(1), 2 * Impatient.head_timeout_s)
        server.go.set()
        assert (await client.answer()).startswith(OK)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.reader.read(1), 2 * Impatient.head_timeout_s)
        await client.say(GOOD)
        assert (await client.answer()).startswith(OK)
