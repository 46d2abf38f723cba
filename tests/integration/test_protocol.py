"""The limits on what comes before a body, seen from the other end of a plain socket."""

import asyncio

import pytest

from api_shim.protocol import HEAD_BYTES, BoundedProtocol
from tests.support.plain_http import connected, serving
from tests.support.waiting import wait_until

GOOD = b"GET /quick HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200"


class Impatient(BoundedProtocol):
    """The same, within the time of a test."""

    head_timeout_s = 0.2


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * HEAD_BYTES,
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * HEAD_BYTES,
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
        assert [len(body) for body in server.bodies] == [4 * HEAD_BYTES, 0] * 3


async def test_a_body_that_comes_with_its_head_is_known_to_be_whole() -> None:
    head = b"POST /quick HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
    async with serving(BoundedProtocol) as server, connected(server) as client:
        await client.say(head + b"body")
        assert (await client.answer()).startswith(OK)
        await client.say(head)
        await wait_until(lambda: len(server.was_whole) == 2)
        await client.say(b"body")
        assert (await client.answer()).startswith(OK)
        assert (server.was_whole, server.bodies) == ([True, False], [b"body"] * 2)


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
