"""What the client makes of answers, whole and broken, from peers that do what peers should not."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from channels.errors import Unknown
from channels.guarded_http import GuardedHttp, HttpConfig
from tests.support.waiting import wait_until
from tests.support.webhooks import LOOPBACK, Peer, post, raw_peer, read_request

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
async def http() -> AsyncIterator[GuardedHttp]:
    client = GuardedHttp(HttpConfig(LOOPBACK))
    yield client
    await client.close()


def says(*pieces: bytes, then_close: bool = False) -> Peer:
    """A peer that answers every request with these pieces, each in a segment of its own."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                # Lets the client, on the same loop, read this piece alone.
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            if then_close:
                writer.close()
                return

    return serve


def one_by_one(answer: bytes) -> list[bytes]:
    return [answer[at : at + 1] for at in range(len(answer))]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (OK, 200),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", 304),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n3;a=b\r\nabc\r\n0\r\n\r\n", 200),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n", 200),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 16 + OK, 200),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", 200),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 200),
        (b"HTTP/1.1 500\r\nContent-Length: 0\r\n\r\n", 500),
        (b"HTTP/1.1 999 \xff\xfe\r\nContent-Length: 0\r\n\r\n", 999),
        (b"HTTP/1.1 000 None\r\nContent-Length: 0\r\n\r\n", 0),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 127 + b"Content-Length: 0\r\n\r\n", 200),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 60_000 + b"\r\nContent-Length: 0\r\n\r\n", 200),
    ],
)
@pytest.mark.parametrize("split", [False, True], ids=["whole", "split"])
async def test_an_answer_that_ends_leaves_the_connection_for_the_next(
    http: GuardedHttp, answer: bytes, status: int, split: bool
) -> None:
    pieces = one_by_one(answer) if split and len(answer) < 5_000 else [answer[:40], answer[40:]] if split else [answer]
    async with raw_peer(says(*pieces)) as peer:
        for _ in range(3):
            assert (await post(http, peer.url())).status == status
        assert peer.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK + b"x",
        OK + b"\x00",
        OK + OK,
        OK + b"HTTP/1.1 500 Smuggled\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n" + bytes(65_537),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n" + bytes(65_537) + b"\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 200_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"x" * 200_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 70_000,
    ],
)
async def test_an_answer_that_does_not_end_as_it_should_counts_and_the_connection_is_closed(
    http: GuardedHttp, answer: bytes
) -> None:
    async with raw_peer(says(answer)) as peer, asyncio.timeout(10):
        for _ in range(2):
            assert (await post(http, peer.url())).status in (200, 204)
        assert peer.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n?",
    ],
)
async def test_the_end_of_the_line_is_the_end_of_a_body(http: GuardedHttp, answer: bytes) -> None:
    async with raw_peer(says(answer, then_close=True)) as peer:
        for _ in range(2):
            assert (await post(http, peer.url())).status == 200
        assert peer.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"H",
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
async def test_a_line_that_ends_before_the_head_does_leaves_the_end_unknown(http: GuardedHttp, answer: bytes) -> None:
    async with raw_peer(says(answer, then_close=True)) as peer:
        with pytest.raises(Unknown, match="connection was closed"):
            await post(http, peer.url())


@pytest.mark.parametrize(
    "answer",
    [
        b"\x00",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"220 mail.example ESMTP\r\n",
        b"<html>",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 99 X\r\n\r\n",
        b"HTTP/1.1 1000 X\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX Y: z\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokay",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + OK,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 17,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 129 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000,
        b"HTTP/1.1 200 " + b"y" * 300_000,
        b"\r\n" * 100_000,
    ],
)
async def test_what_is_no_answer_leaves_the_end_unknown_at_once(http: GuardedHttp, answer: bytes) -> None:
    async with raw_peer(says(answer)) as peer, asyncio.timeout(10):
        with pytest.raises(Unknown, match="not HTTP") as ended:
            await post(http, peer.url())
    assert "127.0.0.1" not in ended.value.detail


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nX: y\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_a_head_that_does_not_come_in_time_leaves_the_end_unknown(answer: bytes) -> None:
    http = GuardedHttp(HttpConfig(LOOPBACK, total_timeout_s=0.2))
    async with raw_peer(says(answer)) as peer, asyncio.timeout(10):
        with pytest.raises(Unknown, match="time"):
            await post(http, peer.url())
    await http.close()


async def test_a_head_that_drips_does_not_buy_time() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            writer.write(b"y")
            await writer.drain()
            await asyncio.sleep(0.01)  # the drip

    http = GuardedHttp(HttpConfig(LOOPBACK, total_timeout_s=0.3))
    async with raw_peer(serve) as peer, asyncio.timeout(10):
        with pytest.raises(Unknown, match="time"):
            await post(http, peer.url())
    await http.close()


async def test_each_request_has_its_own_time() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_request(reader)
        if b"/slow" in head:
            await reader.read()
        while True:
            writer.write(OK)
            head = await read_request(reader)
            if b"/slow" in head:
                await reader.read()

    http = GuardedHttp(HttpConfig(LOOPBACK, total_timeout_s=1.0))
    loop = asyncio.get_running_loop()
    async with raw_peer(serve) as peer, asyncio.timeout(10):
        for _ in range(2):
            started = loop.time()
            slow = asyncio.create_task(post(http, peer.url() + "/slow"))
            while not slow.done():
                assert (await post(http, peer.url())).status == 200
            with pytest.raises(Unknown, match="time"):
                await slow
            assert 0.99 <= loop.time() - started < 5
    await http.close()


async def test_an_earlier_end_than_any_so_far_is_kept_too() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        await reader.read()

    http = GuardedHttp(HttpConfig(LOOPBACK, total_timeout_s=0.2))
    loop = asyncio.get_running_loop()
    async with raw_peer(serve) as peer, asyncio.timeout(10):
        assert (await post(http, peer.url())).status == 200
        # Now the idle connection's end is the next, in seconds.
        await wait_until(lambda: http._pools["http"]._timer_at > loop.time() + 1)
        started = loop.time()
        with pytest.raises(Unknown, match="time"):
            await post(http, peer.url())
        assert loop.time() - started < 2
    await http.close()


@pytest.mark.parametrize(("length", "connections"), [(10, 1), (11, 2)])
async def test_the_cap_is_kept_to_the_byte(length: int, connections: int) -> None:
    http = GuardedHttp(HttpConfig(LOOPBACK, response_cap=10))
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length
    async with raw_peer(says(answer, b"x" * 10, b"x" * (length - 10))) as peer, asyncio.timeout(10):
        for _ in range(2):
            assert (await post(http, peer.url())).status == 200
        assert peer.connections == connections
    await http.close()


async def test_of_interim_answers_nothing_stays(http: GuardedHttp) -> None:
    interim = b"HTTP/1.1 103 Early\r\nRetry-After: 5\r\n\r\n"
    async with raw_peer(says(interim + b"HTTP/1.1 503 No\r\nX: y\r\nContent-Length: 0\r\n\r\n")) as peer:
        answer = await post(http, peer.url())
    assert (answer.status, answer.reason, dict(answer.headers)) == (503, "No", {"x": "y", "content-length": "0"})


async def test_of_a_trailer_nothing_is_kept(http: GuardedHttp) -> None:
    chunked = b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nRetry-After: 5\r\n\r\n"
    async with raw_peer(says(chunked)) as peer:
        assert "retry-after" not in (await post(http, peer.url())).headers


async def test_bytes_on_an_idle_connection_are_no_answer_to_the_next_request(http: GuardedHttp) -> None:
    late = asyncio.Event()
    closed: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        await late.wait()
        writer.write(b"HTTP/1.1 201 Smuggled\r\nContent-Length: 0\r\n\r\n")
        closed.append(await reader.read())

    async with raw_peer(serve) as peer:
        assert (await post(http, peer.url())).status == 200
        late.set()
        await wait_until(lambda: closed == [b""])
        assert (await post(http, peer.url())).status == 200
        assert peer.connections == 2


async def test_an_idle_connection_that_the_peer_closes_is_not_used_again(http: GuardedHttp) -> None:
    async with raw_peer(says(OK, then_close=True)) as peer:
        for number in range(1, 4):
            assert (await post(http, peer.url())).status == 200
            assert peer.connections == number
            await wait_until(lambda: not _kept(http))


def _kept(http: GuardedHttp) -> int:
    return sum(map(len, http._pools["http"]._idle.values()))


async def test_a_large_request_whose_answer_comes_early(http: GuardedHttp) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with raw_peer(serve) as peer, asyncio.timeout(10):
        assert (await post(http, peer.url(), body=bytes(8_000_000))).status == 413


async def test_a_reset_line_leaves_the_end_unknown(http: GuardedHttp) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    async with raw_peer(serve) as peer, asyncio.timeout(10):
        with pytest.raises(Unknown):
            await post(http, peer.url(), body=bytes(8_000_000))


async def test_what_is_read_has_a_body_and_what_is_posted_has_none(http: GuardedHttp) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1\r\n!\r\n0\r\n\r\n"
    async with raw_peer(says(*one_by_one(chunked))) as peer:
        for _ in range(2):
            read = await http.get(f"{peer.url()}?b=c")
            assert (read.status, read.body) == (200, b"ok!")
            assert (await post(http, peer.url())).body == b""
        assert peer.connections == 1


async def test_of_what_is_read_no_more_is_kept_than_the_cap() -> None:
    client = GuardedHttp(HttpConfig(LOOPBACK, response_cap=1_000))
    pieces = [b"x" * 600] * 3
    async with raw_peer(says(b"HTTP/1.1 200 OK\r\nContent-Length: 1800\r\n\r\n", *pieces)) as peer:
        assert len((await client.get(peer.url())).body) <= 1_000
    await client.close()
