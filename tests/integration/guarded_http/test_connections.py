"""How the client comes by its connections: names, addresses, TLS, places, and who waits for what."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import trustme

from channels.errors import NotStarted, Permanent, SendError, Transient, Unknown
from channels.guard import Address, Resolver
from channels.guarded_http import GuardedHttp, HttpConfig
from models.vocabulary import FailureReason
from tests.support.waiting import wait_until
from tests.support.webhooks import LOOPBACK, NameServer, RawPeer, post, raw_peer, read_request

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await read_request(reader)
        writer.write(OK)


async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


@contextlib.asynccontextmanager
async def client(
    config: HttpConfig | None = None, resolver: Resolver | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[GuardedHttp]:
    http = GuardedHttp(config or HttpConfig(LOOPBACK), resolver=resolver, ssl_context=tls)
    try:
        async with asyncio.timeout(20):
            yield http
    finally:
        await http.close()


@dataclass
class Answering:
    """A peer that answers each request when it is told to."""

    requests: list[str] = field(default_factory=list)
    lines: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                self.requests.append((await read_request(reader)).split()[1].decode())
                self.lines.append(writer)
        self.requests.append("closed")

    def has_read(self, number: int) -> bool:
        """Whether so many requests have come."""
        return len(self.requests) >= number

    def answer(self) -> None:
        """The oldest request that waits."""
        self.lines.pop(0).write(OK)


def _is_later_than(moment: float) -> bool:
    """Whether it is; the clock of uvloop goes by the millisecond."""
    return asyncio.get_running_loop().time() > moment


@dataclass
class SlowNames:
    """Says nothing before it is told to."""

    asked: list[str] = field(default_factory=list)
    told: asyncio.Event = field(default_factory=asyncio.Event)
    fails: bool = False

    async def resolve(self, host: str) -> Sequence[Address]:
        self.asked.append(host)
        await self.told.wait()
        if self.fails:
            raise OSError("no such name")
        return [ip_address("127.0.0.1")]

    def close(self) -> None:
        """Nobody is told any more."""


async def test_the_request_to_the_byte() -> None:
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await read_request(reader))
        writer.write(OK)

    config = HttpConfig(LOOPBACK, user_agent="Ours/1")
    async with raw_peer(serve) as peer, client(config, NameServer([["127.0.0.1"]])) as http:
        url = f"http://hooks.example.:{peer.port}/a%2Fb?c=d#e"
        await http.post(url, headers={"X-Ü": "ü\t1"}, body=b"body", proceed=lambda: None)
    assert received[0].decode() == (
        f"POST /a%2Fb?c=d HTTP/1.1\r\nhost: hooks.example:{peer.port}\r\nuser-agent: Ours/1\r\naccept: */*\r\n"
        "accept-encoding: identity\r\nX-Ü: ü\t1\r\ncontent-length: 4\r\n\r\nbody"
    )


@pytest.mark.parametrize(
    "headers", [{"X": "a\r\nY: b"}, {"X": "a\n"}, {"X": "\rb"}, {"X\r\nY": "b"}, {"X": "a\0"}], ids=repr
)
async def test_no_header_begins_a_line(headers: dict[str, str]) -> None:
    async with raw_peer(answers) as peer, client() as http:
        with pytest.raises(Permanent) as refused:
            await http.post(peer.url(), headers=headers, body=b"", proceed=lambda: None)
        assert refused.value.reason is FailureReason.HEADER_INJECTION
        assert peer.connections == 0


async def test_whoever_may_not_proceed_leaves_the_connection_unused() -> None:
    def stop() -> None:
        raise NotStarted("the lease runs low")

    async with raw_peer(answers) as peer, client(HttpConfig(LOOPBACK, max_connections=1)) as http:
        for _ in range(3):
            with pytest.raises(NotStarted, match="lease"):
                await post(http, peer.url(), proceed=stop)
            assert (await post(http, peer.url())).status == 200
        assert peer.connections == 1


async def test_a_place_goes_to_whoever_has_waited_longest() -> None:
    there = Answering()
    async with raw_peer(there.serve) as peer, client(HttpConfig(LOOPBACK, max_connections=2)) as http:
        sends = [asyncio.create_task(post(http, f"{peer.url()}/{number}")) for number in range(8)]
        for under_way in (2, 3, 4, 5, 6, 7, 8):
            await wait_until(partial(there.has_read, under_way))
            assert len(there.requests) == under_way
            there.answer()
        there.answer()
        await asyncio.gather(*sends)
        # The first two go at once, each on a line of its own, and the peer reads them in either order.
        assert sorted(there.requests[:2]) == ["/hook/0", "/hook/1"]
        assert there.requests[2:] == [f"/hook/{number}" for number in range(2, 8)]
        assert peer.connections == 2


async def test_whoever_waits_for_a_place_waits_no_longer_than_the_total_time() -> None:
    there = Answering()
    config = HttpConfig(LOOPBACK, max_connections=1, total_timeout_s=0.3)
    async with raw_peer(there.serve) as peer, client(config) as http:
        sends = [asyncio.create_task(post(http, peer.url())) for _ in range(3)]
        ends = await asyncio.gather(*sends, return_exceptions=True)
        # The first one's end makes room at the very moment when the others' time is over.
        assert [type(each) for each in ends] in ([Unknown, Transient, Transient], [Unknown, Unknown, Transient])
        assert "time-out" in str(ends[2])
        # No place got lost.
        before = len(there.lines)
        sending = asyncio.create_task(post(http, peer.url()))
        await wait_until(lambda: len(there.lines) > before)
        there.lines[-1].write(OK)
        assert (await sending).status == 200


async def test_whoever_gives_up_gives_the_place_to_the_next() -> None:
    there = Answering()
    async with raw_peer(there.serve) as peer, client(HttpConfig(LOOPBACK, max_connections=1)) as http:
        sends = [asyncio.create_task(post(http, f"{peer.url()}/{number}")) for number in range(4)]
        await wait_until(lambda: there.requests)
        sends[1].cancel()
        sends[0].cancel()
        # A cancelled request may have been read: its connection is closed, and its answer is nobody else's.
        await wait_until(lambda: there.requests == ["/hook/0", "closed", "/hook/2"])
        there.lines.pop(0)
        there.answer()
        await wait_until(lambda: there.lines)
        there.answer()
        ends = await asyncio.gather(*sends, return_exceptions=True)
        assert [type(each) for each in ends[:2]] == [asyncio.CancelledError] * 2
        assert not any(isinstance(each, BaseException) for each in ends[2:])
        assert peer.connections == 2


async def test_a_place_that_comes_as_its_waiter_gives_up_goes_on() -> None:
    there = Answering()
    async with raw_peer(there.serve) as peer, client(HttpConfig(LOOPBACK, max_connections=1)) as http:

        async def first() -> None:
            await post(http, f"{peer.url()}/0")
            # The place is the second's by now, and it does not know yet.
            second.cancel()

        sending = asyncio.create_task(first())
        await wait_until(lambda: there.requests)
        second = asyncio.create_task(post(http, f"{peer.url()}/1"))
        third = asyncio.create_task(post(http, f"{peer.url()}/2"))
        await wait_until(lambda: len(http._pools["http"]._waiting) == 2)
        there.answer()
        await sending
        await wait_until(lambda: len(there.requests) == 2)
        there.answer()
        assert (await third).status == 200
        assert second.cancelled()
        assert there.requests == ["/hook/0", "/hook/2"]


async def test_an_answer_that_came_lets_the_connection_be_when_its_sender_is_cancelled() -> None:
    """The cancelled one must not close what carries the next one's request by now."""
    there = Answering()
    async with raw_peer(there.serve) as peer, client(HttpConfig(LOOPBACK, max_connections=1)) as http:
        await_first = asyncio.create_task(post(http, f"{peer.url()}/0"))
        await wait_until(lambda: there.requests)
        (connection,) = http._pools["http"]._open
        mine = connection._answering
        assert mine is not None
        there.answer()
        assert (await await_first).status == 200
        next_one = asyncio.create_task(post(http, f"{peer.url()}/1"))
        await wait_until(lambda: len(there.requests) == 2)
        connection.abandon(mine)
        there.answer()
        assert (await next_one).status == 200
        assert peer.connections == 1


async def test_the_coldest_connection_makes_room_for_another_host() -> None:
    async with contextlib.AsyncExitStack() as stack:
        peers: list[RawPeer] = [await stack.enter_async_context(raw_peer(answers)) for _ in range(3)]
        http = await stack.enter_async_context(client(HttpConfig(LOOPBACK, max_connections=2)))
        for peer in (peers[0], peers[1], peers[0], peers[2], peers[0], peers[1]):
            await post(http, peer.url())
            await wait_until(partial(_is_later_than, asyncio.get_running_loop().time()))
        assert [peer.connections for peer in peers] == [1, 2, 1]


async def test_an_idle_connection_is_closed_before_the_peer_would() -> None:
    ended: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        ended.append(await reader.read())

    loop = asyncio.get_running_loop()
    async with raw_peer(serve) as peer, client() as http:
        await post(http, peer.url())
        answered = loop.time()
        await wait_until(lambda: ended)
        assert 3.9 < loop.time() - answered < 5
        assert not http._pools["http"]._open
        assert http._pools["http"]._timer is None


async def test_lookups_of_one_name_at_once_are_one_and_it_is_remembered() -> None:
    names = SlowNames()
    async with raw_peer(answers) as peer, client(resolver=names) as http:
        sends = [asyncio.create_task(post(http, peer.url("hooks.example"))) for _ in range(10)]
        await wait_until(lambda: names.asked)
        sends[0].cancel()
        names.told.set()
        ends = await asyncio.gather(*sends, return_exceptions=True)
        assert [type(each) for each in ends].count(asyncio.CancelledError) == 1
        assert not any(isinstance(each, SendError) for each in ends)
        await post(http, peer.url("hooks.example"), proceed=lambda: None)
        await asyncio.gather(*(post(http, peer.url("hooks.example")) for _ in range(20)))
        assert names.asked == ["hooks.example"]


async def test_a_failed_lookup_is_not_remembered() -> None:
    names = NameServer([[], ["127.0.0.1"]])
    async with raw_peer(answers) as peer, client(resolver=names) as http:
        with pytest.raises(Transient, match=r"^the host name does not resolve$"):
            await post(http, peer.url("hooks.example"))
        assert (await post(http, peer.url("hooks.example"))).status == 200


async def test_a_failed_lookup_fails_everybody_who_waits_for_it() -> None:
    names = SlowNames(fails=True)
    async with client(resolver=names) as http:
        sends = [asyncio.create_task(post(http, "http://hooks.example/")) for _ in range(3)]
        await wait_until(lambda: names.asked)
        names.told.set()
        for sending in sends:
            with pytest.raises(Transient, match="resolve"):
                await sending
        assert names.asked == ["hooks.example"]


async def test_a_name_that_cannot_be_encoded_does_not_resolve() -> None:
    async with client() as http:
        with pytest.raises(Transient, match=r"^the host name does not resolve$"):
            await post(http, f"http://xn--{'a' * 50}.invalid/")


async def test_a_resolver_that_says_nothing_costs_the_time_out() -> None:
    async with client(HttpConfig(LOOPBACK, connect_timeout_s=0.2), SlowNames()) as http:
        with pytest.raises(Transient, match="time-out"):
            await post(http, "http://hooks.example/")


async def test_the_next_address_is_tried() -> None:
    names = NameServer([["127.0.0.2", "::1", "127.0.0.1"]])
    async with raw_peer(answers) as peer, client(resolver=names) as http:
        assert (await post(http, peer.url("hooks.example"))).status == 200


async def test_where_no_address_answers_it_is_said_how() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with client() as http:
            with pytest.raises(Transient, match=r"^no connection: ConnectionRefusedError$"):
                await post(http, f"http://127.0.0.1:{taken.getsockname()[1]}/")


@dataclass
class SecurePeer(RawPeer):
    """A peer behind TLS, and the protocols that were agreed on."""

    agreed: list[str | None] = field(default_factory=list)


@pytest.fixture
async def secure_peer(authority: trustme.CA) -> AsyncIterator[SecurePeer]:
    peer = SecurePeer()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["h2", "http/1.1"])
    authority.issue_cert("localhost").configure_cert(context)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer.connections += 1
        peer.agreed.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await answers(reader, writer)
        writer.transport.abort()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    peer.port = server.sockets[0].getsockname()[1]
    yield peer
    server.close()
    await server.wait_closed()


@pytest.fixture
def trusted(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.mark.parametrize("host", ["localhost", "localhost."])
async def test_connections_over_tls_are_kept_too(secure_peer: SecurePeer, trusted: ssl.SSLContext, host: str) -> None:
    async with client(tls=trusted, resolver=NameServer([["127.0.0.1"]])) as http:
        for _ in range(3):
            assert (await post(http, secure_peer.url(host, "https"), body=bytes(300_000))).status == 200
    assert secure_peer.connections == 1


@pytest.mark.parametrize("host", ["hooks.example", "127.0.0.1"])
async def test_a_certificate_of_another_name(secure_peer: SecurePeer, trusted: ssl.SSLContext, host: str) -> None:
    asked: list[bool] = []
    async with client(tls=trusted, resolver=NameServer([["127.0.0.1"]])) as http:
        with pytest.raises(Transient, match=r"^the certificate is not valid for the host, or not trusted$"):
            await post(http, secure_peer.url(host, "https"), proceed=lambda: asked.append(True))
    assert asked == []


async def test_the_default_context_asks_for_http_1_1_and_trusts_the_system_alone(
    secure_peer: SecurePeer, authority_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = secure_peer.url("localhost", "https")
    async with client() as http:
        with pytest.raises(Transient, match=r"^the certificate is not valid for the host, or not trusted$"):
            await post(http, url)
    # OpenSSL's own variable for where the system's authorities are.
    monkeypatch.setenv("SSL_CERT_FILE", str(authority_file))
    async with client() as http:
        assert (await post(http, url)).status == 200
    assert secure_peer.agreed[-1] == "http/1.1"


async def test_a_peer_that_speaks_no_tls() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with raw_peer(serve) as peer, client() as http:
        with pytest.raises(Transient, match=r"^the TLS handshake failed$"):
            await post(http, peer.url(scheme="https"))


async def test_a_peer_that_leaves_in_the_handshake() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()

    async with raw_peer(serve) as peer, client() as http:
        with pytest.raises(Transient, match=r"^(no connection: Connection\w+Error|the TLS handshake failed)$"):
            await post(http, peer.url(scheme="https"))


async def _closed_while(http: GuardedHttp, sends: list["asyncio.Task[object]"]) -> set[type]:
    async with asyncio.timeout(5):
        await http.close()
        ends = await asyncio.gather(*sends, return_exceptions=True)
        with pytest.raises(NotStarted):
            await post(http, "http://127.0.0.1/")
        await http.close()
    return {type(each) for each in ends}


async def test_closing_while_names_are_looked_up() -> None:
    names = SlowNames()
    async with client(resolver=names) as http:
        sends: list[asyncio.Task[object]] = [
            asyncio.create_task(post(http, f"http://{host}.example/")) for host in "aabc"
        ]
        await wait_until(lambda: len(names.asked) == 3)
        assert await _closed_while(http, sends) == {NotStarted}


async def test_closing_while_connections_come_about() -> None:
    async with raw_peer(hangs) as peer, client() as http:
        sends: list[asyncio.Task[object]] = [
            asyncio.create_task(post(http, peer.url(scheme="https"))) for _ in range(3)
        ]
        await wait_until(lambda: peer.connections == 3)
        assert await _closed_while(http, sends) == {NotStarted}


async def test_closing_while_some_wait_for_a_place() -> None:
    there = Answering()
    async with raw_peer(there.serve) as peer, client(HttpConfig(LOOPBACK, max_connections=1)) as http:
        sending: asyncio.Task[object] = asyncio.create_task(post(http, peer.url()))
        waiting: list[asyncio.Task[object]] = [asyncio.create_task(post(http, peer.url())) for _ in range(3)]
        await wait_until(lambda: there.requests)
        assert await _closed_while(http, [sending, *waiting]) == {Unknown, NotStarted}
        assert all(isinstance(each.exception(), NotStarted) for each in waiting)
        assert there.requests[0] == "/hook"
        assert peer.connections == 1


async def test_names_that_nobody_answers_for_hold_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def getaddrinfo(host: str, *arguments: Any, **options: Any) -> Any:
        if host.startswith("silent"):
            assert answered.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return real(host, *arguments, **options)

    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    async with raw_peer(answers) as peer, client() as http:
        silent = [asyncio.create_task(post(http, f"http://silent{number}.example/")) for number in range(200)]
        try:
            assert (await post(http, peer.url("localhost"))).status == 200
            assert not any(each.done() for each in silent)
        finally:
            answered.set()
            ends = await asyncio.gather(*silent, return_exceptions=True)
    assert {str(end) for end in ends} <= {"the host name does not resolve", "no connection within the time-out"}
