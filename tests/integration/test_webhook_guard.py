"""The guard where it counts: what is dialled, over real sockets, with a name server that lies."""

import asyncio
import ssl
from ipaddress import ip_network

import pytest
import trustme

from channels.contract import Content
from channels.errors import Permanent, Transient
from channels.webhook import WebhookChannel, WebhookConfig
from models.vocabulary import FailureReason
from tests.support import http_sink
from tests.support.envelopes import envelope
from tests.support.http_sink import HttpSink
from tests.support.webhooks import LOOPBACK, NameServer, opened, raw_peer, read_request

CONTENT = Content(subject="s", body="b")
PUBLIC = "192.88.98.1"
"""An address that the guard takes for public. No test connects to it."""


async def _answer_ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


async def refused(channel: WebhookChannel, url: str) -> Permanent:
    with pytest.raises(Permanent) as caught:
        await channel.send(envelope(url), channel.prepare(CONTENT))
    return caught.value


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::ffff:127.0.0.1]"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_this_machine_is_not_reached(host: str, scheme: str) -> None:
    asked: list[bool] = []
    async with raw_peer(_answer_ok) as peer, opened(WebhookConfig()) as channel:
        message = envelope(peer.url(host, scheme), proceed=lambda: asked.append(True))
        with pytest.raises(Permanent) as caught:
            await channel.send(message, channel.prepare(CONTENT))
        assert peer.connections == 0
    assert caught.value.reason is FailureReason.FORBIDDEN_DESTINATION
    assert not caught.value.bounced
    assert asked == []
    assert "127" not in caught.value.detail


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
async def test_inside_the_allowed_networks_it_is(host: str) -> None:
    async with raw_peer(_answer_ok) as peer, opened(WebhookConfig(LOOPBACK)) as channel:
        assert (await channel.send(envelope(peer.url(host)), channel.prepare(CONTENT))).delivered


async def test_ipv6() -> None:
    async with raw_peer(_answer_ok, host="::1") as peer, opened(WebhookConfig(LOOPBACK)) as channel:
        assert (await channel.send(envelope(peer.url("[::1]")), channel.prepare(CONTENT))).delivered


@pytest.mark.parametrize(
    "answer",
    [
        ["127.0.0.1"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["169.254.169.254"],
        ["fe80::1%lo"],
        ["64:ff9b::7f00:1"],
        [PUBLIC, "127.0.0.1"],
        ["127.0.0.1", PUBLIC],
        [PUBLIC, "fd00:ec2::254"],
    ],
)
async def test_one_forbidden_address_of_a_name_is_enough(answer: list[str]) -> None:
    async with opened(WebhookConfig(), resolver=NameServer([answer])) as channel:
        error = await refused(channel, "https://hooks.example/")
    assert error.reason is FailureReason.FORBIDDEN_DESTINATION


@pytest.mark.parametrize("url", ["http://hooks.example/", "https://hooks.example:8080/"])
async def test_networks_allowed_elsewhere_open_no_public_address(url: str) -> None:
    names = NameServer([[PUBLIC]])
    async with opened(WebhookConfig((ip_network("10.0.0.0/8"),)), resolver=names) as channel:
        error = await refused(channel, url)
    assert error.reason is FailureReason.FORBIDDEN_DESTINATION
    assert names.asked == ["hooks.example"]


async def test_a_name_that_answers_otherwise_the_second_time_gains_nothing(
    server_tls: ssl.SSLContext, authority: trustme.CA
) -> None:
    """First it answers an allowed address where nobody listens, then a forbidden one where somebody does."""
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    async with http_sink.running(tls=server_tls) as sink:
        names = NameServer([["127.0.0.2"], ["127.0.0.1"]])
        config = WebhookConfig((ip_network("127.0.0.2/32"),))
        async with opened(config, resolver=names, ssl_context=trusted) as channel:
            with pytest.raises(Transient):
                await channel.send(envelope(f"https://localhost:{sink.port}/"), channel.prepare(CONTENT))
            assert names.asked == ["localhost"]
        async with opened(config, resolver=names, ssl_context=trusted) as channel:
            error = await refused(channel, f"https://localhost:{sink.port}/")
        assert error.reason is FailureReason.FORBIDDEN_DESTINATION
        assert names.asked == ["localhost", "localhost"]
        assert sink.requests == []


async def test_a_name_is_asked_once_for_check_and_dial(web_sink: HttpSink) -> None:
    names = NameServer([["127.0.0.1"], ["10.0.0.1"]])
    async with opened(WebhookConfig(LOOPBACK), resolver=names) as channel:
        await channel.send(envelope(f"http://hooks.example:{web_sink.port}/"), channel.prepare(CONTENT))
    assert names.asked == ["hooks.example"]
    assert web_sink.requests[0].headers["host"] == f"hooks.example:{web_sink.port}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(web_sink: HttpSink, status: int) -> None:
    async with raw_peer(_answer_ok) as inside, opened(WebhookConfig(LOOPBACK)) as channel:
        web_sink.script(status, headers={"Location": inside.url()})
        with pytest.raises(Transient):
            await channel.send(envelope(web_sink.url()), channel.prepare(CONTENT))
        assert inside.connections == 0


async def test_a_name_without_address_is_transient() -> None:
    async with opened(WebhookConfig(), resolver=NameServer([[]])) as channel:
        with pytest.raises(Transient) as caught:
            await channel.send(envelope("https://hooks.example/"), channel.prepare(CONTENT))
    assert "hooks.example" not in caught.value.detail


async def test_a_certificate_is_checked_against_the_name(server_tls: ssl.SSLContext, authority: trustme.CA) -> None:
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    names = NameServer([["127.0.0.1"]])
    async with http_sink.running(tls=server_tls) as sink:
        async with opened(WebhookConfig(LOOPBACK), resolver=names, ssl_context=trusted) as channel:
            prepared = channel.prepare(CONTENT)
            assert (await channel.send(envelope(f"https://localhost:{sink.port}/"), prepared)).delivered
            with pytest.raises(Transient, match="certificate") as wrong_name:
                await channel.send(envelope(f"https://hooks.example:{sink.port}/"), prepared)
            assert "hooks.example" not in wrong_name.value.detail
        async with opened(WebhookConfig(LOOPBACK), resolver=names) as channel:
            with pytest.raises(Transient, match="certificate"):
                await channel.send(envelope(f"https://localhost:{sink.port}/"), prepared)
        assert len(sink.requests) == 1


async def test_a_peer_that_speaks_no_tls_is_transient(web_sink: HttpSink) -> None:
    async with opened(WebhookConfig(LOOPBACK)) as channel:
        with pytest.raises(Transient):
            await channel.send(envelope(f"https://127.0.0.1:{web_sink.port}/"), channel.prepare(CONTENT))
    assert web_sink.requests == []


async def test_a_handshake_that_never_ends_is_transient() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_peer(hang) as peer, opened(WebhookConfig(LOOPBACK, connect_timeout_s=0.2)) as channel:
        with pytest.raises(Transient, match="time-out"):
            await channel.send(envelope(peer.url(scheme="https")), channel.prepare(CONTENT))


async def test_proxies_of_the_environment_are_not_used(web_sink: HttpSink, monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_peer(_answer_ok) as proxy, opened(WebhookConfig(LOOPBACK)) as channel:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url())
        await channel.send(envelope(web_sink.url()), channel.prepare(CONTENT))
        assert proxy.connections == 0
    assert len(web_sink.requests) == 1


@pytest.mark.parametrize("url", ["", "hooks.example", "ftp://127.0.0.1/", "https://user:word@hooks.example/"])
async def test_what_is_no_url_is_refused_for_good(url: str) -> None:
    async with opened(WebhookConfig()) as channel:
        error = await refused(channel, url)
    assert error.reason is FailureReason.INVALID_ADDRESS
    assert "word" not in error.detail
