"""Where a request ends and the next one begins, however the bytes come, and what is no request at all."""

import json
import logging

import pytest

from api_shim.protocol import HEAD_BYTES, BoundedProtocol
from tests.support.plain_http import Client, connected, serving

POST = b"POST /quick HTTP/1.1\r\nHost: x\r\n"
GET = b"GET /quick HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200"
SMUGGLED = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"  # as a body; as a request it would wait for ever

UPGRADES = {
    "as Java's HttpClient": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n",
    "websocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    "anything": b"Connection: Upgrade\r\nUpgrade: anything\r\n",
    "upper case": b"CONNECTION: UPGRADE\r\nUPGRADE: H2C\r\n",
    "lower case": b"connection:upgrade\r\nupgrade:h2c\r\n",
    "twice": b"Upgrade: a\r\nConnection: Upgrade\r\nUpgrade: b\r\nConnection: upgrade\r\nX-Empty:\r\n",
    "beside another option": b"Connection: keep-alive, Upgrade\r\nUpgrade: h2c, websocket\r\n",
}
FRAMINGS = {
    "by length": (b"Content-Length: %d\r\n\r\n" % len(SMUGGLED), SMUGGLED),
    "in chunks": (
        b"Transfer-Encoding: chunked\r\n\r\n",
        b"%x\r\n%b\r\n%x;ext=1\r\n%b\r\n0\r\nX-Trailer: y\r\n\r\n" % (5, SMUGGLED[:5], len(SMUGGLED) - 5, SMUGGLED[5:]),
    ),
}


async def _next_is_answered(client: Client) -> None:
    await client.say(GET)
    assert (await client.answer()).startswith(OK)


@pytest.mark.parametrize("upgrade", UPGRADES.values(), ids=UPGRADES)
@pytest.mark.parametrize(("framing", "body"), FRAMINGS.values(), ids=FRAMINGS)
async def test_an_upgrade_is_ignored_and_the_body_is_read(upgrade: bytes, framing: bytes, body: bytes) -> None:
    async with serving(BoundedProtocol) as server:
        whole = POST + upgrade + framing + body
        head = len(whole) - len(body)
        cuts = {
            "whole": [whole],
            "the body later": [whole[:head], body],
            "the body in two, with the next head": [whole[: head + 7], whole[head + 7 :]],
            "cut in the last line of the head": [whole[: head - 1], whole[head - 1 :]],
            "cut in a name": [whole[:44], whole[44:]],
        }
        for pieces in cuts.values():
            async with connected(server) as client:
                for piece in pieces:
                    await client.say(piece)
                    await client.settle()
                assert (await client.answer()).startswith(OK)
                await _next_is_answered(client)
        assert server.bodies == [SMUGGLED, b""] * len(cuts)


@pytest.mark.parametrize(("framing", "body"), FRAMINGS.values(), ids=FRAMINGS)
async def test_an_upgrade_in_single_bytes(framing: bytes, body: bytes) -> None:
    whole = POST + UPGRADES["twice"] + framing + body
    async with serving(BoundedProtocol) as server, connected(server) as client:
        for at in range(len(whole)):
            await client.say(whole[at : at + 1])
        assert (await client.answer()).startswith(OK)
        await _next_is_answered(client)
        assert server.bodies == [SMUGGLED, b""]


@pytest.mark.parametrize("size", [1, 10, 97, 100_000])
async def test_requests_in_a_row_that_all_ask_for_an_upgrade_stay_apart(size: int) -> None:
    row = b"".join(POST + UPGRADES["anything"] + framing + body + GET for framing, body in FRAMINGS.values()) * 2
    async with serving(BoundedProtocol) as server, connected(server) as client:
        for at in range(0, len(row), size):
            await client.say(row[at : at + size])
        for _ in range(8):
            assert (await client.answer()).startswith(OK)
        await _next_is_answered(client)
        assert server.bodies == [SMUGGLED, b""] * 4 + [b""]


async def test_what_else_the_head_says_stays_and_the_upgrade_does_not() -> None:
    head = POST + b"X-One: 1\r\nx-none:\r\nX-One:  \xe9\t2\r\n" + UPGRADES["anything"] + b"Content-Length: 0\r\n\r\n"
    async with serving(BoundedProtocol) as server, connected(server) as client:
        await client.say(head)
        assert (await client.answer()).startswith(OK)
        assert server.headers == [
            [
                (b"host", b"x"),
                (b"x-one", b"1"),
                (b"x-none", b""),
                (b"x-one", b"\xe9\t2"),
                (b"connection", b"Upgrade"),
                (b"content-length", b"0"),
            ]
        ]


async def test_an_upgrade_of_http_1_0_is_ignored_too() -> None:
    head = POST.replace(b"1.1", b"1.0") + UPGRADES["anything"] + FRAMINGS["by length"][0]
    async with serving(BoundedProtocol) as server, connected(server) as client:
        await client.say(head)
        await client.settle()
        await client.say(SMUGGLED)
        said = await client.hear()
        assert said.startswith(OK)
        assert said.count(b"HTTP/1.") == 1
        assert server.bodies == [SMUGGLED]


async def test_a_client_that_waits_to_be_asked_for_the_body_is_asked_once() -> None:
    head = POST + UPGRADES["anything"] + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    async with serving(BoundedProtocol) as server, connected(server) as client:
        await client.say(head)
        asked = b"HTTP/1.1 100 Continue\r\n\r\n"
        assert await client.reader.readexactly(len(asked)) == asked
        await client.say(b"yes")
        assert (await client.answer()).startswith(OK)
        assert server.bodies == [b"yes"]


async def test_a_close_beside_an_upgrade_is_obeyed() -> None:
    head = POST + b"Connection: close, Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nyes"
    async with serving(BoundedProtocol) as server, connected(server) as client:
        await client.say(head + GET)
        said = await client.hear()
        assert said.count(b"HTTP/1.1 200") == 1
        assert server.bodies == [b"yes"]


async def test_upgrades_and_rubbish_leave_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "uvicorn")
    async with serving(BoundedProtocol) as server:
        before = len(caplog.records)
        for sent in (*UPGRADES.values(), b"rubbish"):
            async with connected(server) as client:
                await client.say(POST + sent + b"Content-Length: 0\r\n\r\n")
                assert (await client.answer()).startswith(b"HTTP/1.1 ")
        assert [record.getMessage() for record in caplog.records[before:]] == []


NO_REQUEST = {
    "rubbish": b"rubbish\r\n\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "folded": POST + b"X: y\r\n folded\r\n\r\n",
    "folded, with an upgrade": POST + b"Connection:\r\n Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n",
    "space before the colon": POST + b"Content-Length : 3\r\n\r\nyes",
    "two lengths": POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nyes",
    "length and chunks": POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "length and chunks, with an upgrade": POST
    + UPGRADES["anything"]
    + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "an encoding without an end": POST + b"Transfer-Encoding: gzip\r\n\r\nyes",
    "an encoding without an end, with an upgrade": POST + UPGRADES["anything"] + b"Transfer-Encoding: gzip\r\n\r\nyes",
    "an encoding before chunks": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a chunk that is none": POST + UPGRADES["anything"] + b"Transfer-Encoding: chunked\r\n\r\nz\r\n",
    "a tunnel": b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n" + GET,
    "no host": b"GET /quick HTTP/1.1\r\n\r\n" + GET,
    "no host, with an upgrade": b"GET /quick HTTP/1.1\r\n" + UPGRADES["anything"] + b"\r\n" + GET,
    "two hosts": b"GET /quick HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n" + GET,
    "two hosts in HTTP/1.0": b"GET /quick HTTP/1.0\r\nHost: x\r\nhost: y\r\n\r\n",
}


@pytest.mark.parametrize("sent", NO_REQUEST.values(), ids=NO_REQUEST)
async def test_what_is_no_request_is_refused_as_a_problem_and_the_connection_closed(sent: bytes) -> None:
    async with serving(BoundedProtocol) as server, connected(server) as client:
        await client.say(sent)
        said = await client.hear()
        if b"chunked\r\n\r\nz" in sent:  # the request had begun, so that the answer may be the handler's
            assert not said.startswith(OK)
        else:
            head, _, body = said.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
            assert b"content-type: application/problem+json" in head.lower()
            assert b"connection: close" in head.lower()
            assert json.loads(body)["type"] == "/problems/malformed-request"
        assert server.bodies == []


async def test_http_1_0_needs_no_host() -> None:
    async with serving(BoundedProtocol) as server, connected(server) as client:
        await client.say(b"GET /quick HTTP/1.0\r\n\r\n")
        assert (await client.hear()).startswith(OK)


async def test_a_trailer_is_no_header() -> None:
    body = b"3\r\nyes\r\n0\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n"
    async with serving(BoundedProtocol) as server, connected(server) as client:
        await client.say(POST + b"Transfer-Encoding: chunked\r\n\r\n" + body)
        assert (await client.answer()).startswith(OK)
        assert server.headers == [[(b"host", b"x"), (b"transfer-encoding", b"chunked")]]


@pytest.mark.parametrize("start", [b"0\r\nX: ", b"3;"], ids=["a trailer", "a chunk extension"])
async def test_what_stands_around_chunks_has_the_limit_of_a_head(start: bytes) -> None:
    async with serving(BoundedProtocol) as server, connected(server) as client:
        await client.say(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        await client.say(start + b"a" * (4 * HEAD_BYTES))
        assert not (await client.hear()).startswith(OK)
        assert server.bodies == []
