"""The WEBHOOK channel against real servers: what it sends, and what it makes of every answer."""

import asyncio
import gzip
import re
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
import uvloop
from standardwebhooks import Webhook

from channels.contract import Content
from channels.errors import NotStarted, Permanent, Transient, Unknown
from channels.standard_webhooks import new_secret
from channels.webhook import WebhookChannel, WebhookConfig
from models.vocabulary import FailureReason
from tests.support.envelopes import SECRET, envelope
from tests.support.http_sink import HttpSink
from tests.support.waiting import wait_until
from tests.support.webhooks import LOOPBACK, opened, raw_peer, read_request

CONTENT = Content(subject="Hello {{firstName}}", body="Your code is {{code}}.")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
async def channel() -> AsyncIterator[WebhookChannel]:
    async with opened(WebhookConfig(LOOPBACK)) as it:
        yield it


async def test_what_the_receiver_gets(channel: WebhookChannel, web_sink: HttpSink) -> None:
    message = envelope(
        web_sink.url("/hook?key=a%2Fb"),
        variables={"firstName": "Zoë <b>", "code": '"1\\2"'},
        metadata={"order": 7, "nested": {"a": [None, True]}, "snake_case": "ü"},
    )
    before = int(time.time())
    receipt = await channel.send(message, channel.prepare(CONTENT))
    assert receipt.code == "200"
    assert receipt.delivered
    [request] = web_sink.requests
    assert (request.method, request.path, request.query) == ("POST", "/hook", "key=a/b")
    body = request.json()
    assert set(body) == {"type", "timestamp", "data"}
    assert body["type"] == "message"
    accepted_at = datetime.fromisoformat(body["timestamp"]).timestamp()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body["timestamp"])
    assert before <= accepted_at <= time.time()
    assert body["data"] == {
        "messageId": message.message_id,
        "contactId": message.contact_id,
        "subject": "Hello Zoë <b>",
        "body": 'Your code is "1\\2".',
        "metadata": {"order": 7, "nested": {"a": [None, True]}, "snake_case": "ü"},
    }
    assert "Zoë".encode() in request.body
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == message.message_id
    assert before <= int(request.headers["webhook-timestamp"]) <= time.time()
    assert request.headers["accept-encoding"] == "identity"
    assert Webhook(SECRET).verify(request.body, dict(request.headers)) == body


async def test_every_attempt_repeats_id_and_body(channel: WebhookChannel, web_sink: HttpSink) -> None:
    prepared, message = channel.prepare(CONTENT), envelope(web_sink.url())
    web_sink.script(500, times=1)
    with pytest.raises(Transient):
        await channel.send(message, prepared)
    await channel.send(message, prepared)
    first, second = web_sink.requests
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == message.message_id


async def test_both_secrets_sign_while_they_rotate(channel: WebhookChannel, web_sink: HttpSink) -> None:
    secrets = (new_secret(), new_secret())
    await channel.send(envelope(web_sink.url(), secrets=secrets), channel.prepare(CONTENT))
    [request] = web_sink.requests
    for secret in secrets:
        Webhook(secret).verify(request.body, dict(request.headers))


@pytest.mark.parametrize(("text_format", "shown"), [("html", "Anna &amp; Bob"), ("text", "Anna & Bob")])
async def test_values_are_escaped_in_an_html_body_alone(
    channel: WebhookChannel, web_sink: HttpSink, text_format: str, shown: str
) -> None:
    prepared = channel.prepare(Content(subject="{{names}}", body="{{names}}", format=text_format))
    await channel.send(envelope(web_sink.url(), variables={"names": "Anna & Bob"}), prepared)
    data = web_sink.requests[0].json()["data"]
    assert (data["subject"], data["body"]) == ("Anna & Bob", shown)


async def test_without_subject_and_body(channel: WebhookChannel, web_sink: HttpSink) -> None:
    await channel.send(envelope(web_sink.url()), channel.prepare(Content()))
    data = web_sink.requests[0].json()["data"]
    assert (data["subject"], data["body"], data["metadata"]) == (None, None, {})


async def test_headers_of_the_message_are_added(channel: WebhookChannel, web_sink: HttpSink) -> None:
    prepared = channel.prepare(Content(headers={"X-Tenant": "a\tb ü", "authorization": "Bearer t"}))
    await channel.send(envelope(web_sink.url()), prepared)
    headers = web_sink.requests[0].headers
    assert (headers["x-tenant"], headers["authorization"]) == ("a\tb ü", "Bearer t")
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-A", "b\r\nX-Evil: 1"),
        ("X-A", "b\nc"),
        ("X-A", "b\rc"),
        ("X-A", "\x00"),
        ("X-A", "\x7f"),
        ("X-A", "\x85"),
        ("X-A", "\ud800"),
        ("X-A\r\nX-Evil", "1"),
        ("X A", "1"),
        ("X-A:", "1"),
        ("", "1"),
        ("Ünï", "1"),
        ("Host", "other.example"),
        ("content-length", "0"),
        ("Content-Type", "text/plain"),
        ("Content-Encoding", "gzip"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "close"),
        ("Keep-Alive", "1"),
        ("Upgrade", "h2c"),
        ("TE", "trailers"),
        ("Trailer", "X"),
        ("Expect", "100-continue"),
        ("Proxy-Authorization", "x"),
        ("User-Agent", "x"),
        ("Webhook-Id", "msg_other"),
        ("webhook-signature", "v1,x"),
        ("webhook-anything", "x"),
    ],
)
def test_headers_that_cannot_be_sent(name: str, value: str) -> None:
    with pytest.raises(Permanent) as refused:
        WebhookChannel(WebhookConfig()).prepare(Content(headers={name: value}))
    assert refused.value.reason is FailureReason.HEADER_INJECTION


def test_a_text_that_does_not_render() -> None:
    with pytest.raises(Permanent) as refused:
        WebhookChannel(WebhookConfig()).prepare(Content(body="{{#if x}}"))
    assert refused.value.reason is FailureReason.RENDER_ERROR


@pytest.mark.parametrize("secrets", [(), ("whsec_short",), (SECRET, "other")])
async def test_without_a_usable_secret_nothing_is_sent(
    channel: WebhookChannel, web_sink: HttpSink, secrets: tuple[str, ...]
) -> None:
    with pytest.raises(Permanent) as refused:
        await channel.send(envelope(web_sink.url(), secrets=secrets), channel.prepare(CONTENT))
    assert refused.value.reason is FailureReason.CHANNEL_NOT_CONFIGURED
    assert web_sink.requests == []


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 299])
async def test_every_2xx_is_delivered(channel: WebhookChannel, web_sink: HttpSink, status: int) -> None:
    web_sink.script(status)
    receipt = await channel.send(envelope(web_sink.url()), channel.prepare(CONTENT))
    assert (receipt.code, receipt.delivered) == (str(status), True)


@pytest.mark.parametrize("status", [301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 413, 422, 429, 500, 502, 503])
async def test_every_other_answer_is_transient(channel: WebhookChannel, web_sink: HttpSink, status: int) -> None:
    web_sink.script(status, headers={"Location": web_sink.url("/elsewhere")} if 300 <= status <= 399 else {})
    with pytest.raises(Transient) as refused:
        await channel.send(envelope(web_sink.url("/hook?token=t")), channel.prepare(CONTENT))
    assert refused.value.code == str(status)
    assert refused.value.retry_after_s is None
    assert refused.value.detail.startswith(str(status))
    assert "token" not in refused.value.detail
    assert [request.path for request in web_sink.requests] == ["/hook"]


async def test_410_is_the_end_of_the_address(channel: WebhookChannel, web_sink: HttpSink) -> None:
    web_sink.script(410)
    with pytest.raises(Permanent) as refused:
        await channel.send(envelope(web_sink.url()), channel.prepare(CONTENT))
    error = refused.value
    assert (error.reason, error.hard, error.bounced, error.code) == (FailureReason.ENDPOINT_GONE, True, True, "410")


@pytest.mark.parametrize(
    ("status", "value", "low", "high"),
    [
        (429, "17", 17, 17),
        (503, "17", 17, 17),
        (503, "315360000", 86400, 86400),
        (429, format_datetime(datetime(2999, 1, 1, tzinfo=UTC), usegmt=True), 86400, 86400),
        (429, format_datetime(datetime(2001, 1, 1, tzinfo=UTC), usegmt=True), 0, 0),
        (429, "soon", None, None),
        (500, "17", None, None),
    ],
)
async def test_retry_after(
    channel: WebhookChannel, web_sink: HttpSink, status: int, value: str, low: float | None, high: float | None
) -> None:
    web_sink.script(status, headers={"Retry-After": value})
    with pytest.raises(Transient) as refused:
        await channel.send(envelope(web_sink.url()), channel.prepare(CONTENT))
    asked = refused.value.retry_after_s
    assert asked == low == high


async def test_a_reason_phrase_of_any_bytes_is_shown_clean(channel: WebhookChannel) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 500 \xff\xfe" + b"x" * 900 + b"\r\nContent-Length: 0\r\n\r\n")

    async with raw_peer(serve) as peer:
        with pytest.raises(Transient) as refused:
            await channel.send(envelope(peer.url()), channel.prepare(CONTENT))
    assert len(refused.value.detail) == 200
    assert refused.value.detail.encode().isascii()


async def test_refused_connections_are_transient(channel: WebhookChannel) -> None:
    async with raw_peer(_never) as peer:
        url = peer.url()
    with pytest.raises(Transient) as refused:
        await channel.send(envelope(url), channel.prepare(CONTENT))
    assert str(peer.port) not in refused.value.detail


async def _never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    raise AssertionError("nobody should connect")


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 O", b"HTTP/1.1 200 OK\r\nContent-Length: ", b"\x00\x01\x02\r\n"]
)
async def test_a_line_that_breaks_after_the_request_leaves_the_end_unknown(
    channel: WebhookChannel, answer: bytes
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with raw_peer(serve) as peer:
        with pytest.raises(Unknown) as refused:
            await channel.send(envelope(peer.url()), channel.prepare(CONTENT))
    assert "127.0.0.1" not in refused.value.detail


async def test_no_answer_in_time_leaves_the_end_unknown(web_sink: HttpSink) -> None:
    web_sink.script(delay_s=30)
    async with opened(WebhookConfig(LOOPBACK, total_timeout_s=1.0)) as channel:
        with pytest.raises(Unknown):
            await channel.send(envelope(web_sink.url()), channel.prepare(CONTENT))
    assert len(web_sink.requests) == 1


async def test_an_answer_whose_body_breaks_off_is_an_answer(channel: WebhookChannel) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
        writer.close()

    async with raw_peer(serve) as peer:
        assert (await channel.send(envelope(peer.url()), channel.prepare(CONTENT))).delivered


async def test_a_body_that_drips_costs_no_more_than_the_time_out() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n.")
        await reader.read()

    async with raw_peer(serve) as peer, opened(WebhookConfig(LOOPBACK, total_timeout_s=1.0)) as channel:
        async with asyncio.timeout(10):
            assert (await channel.send(envelope(peer.url()), channel.prepare(CONTENT))).delivered


async def test_an_endless_answer_is_cut_at_the_cap(channel: WebhookChannel) -> None:
    written = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        while written < 100_000_000:
            writer.write(bytes(16_384))
            await writer.drain()
            written += 16_384

    async with raw_peer(serve) as peer:
        assert (await channel.send(envelope(peer.url()), channel.prepare(CONTENT))).delivered
        await channel.send(envelope(peer.url()), channel.prepare(CONTENT))
        assert peer.connections == 2
    # What the sockets' buffers hold is written too: a few megabytes.
    assert written < 40_000_000


async def test_a_compressed_answer_is_not_inflated(channel: WebhookChannel) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    assert len(bomb) < 65_536

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n")
            writer.write(b"Content-Length: %d\r\n\r\n" % len(bomb) + bomb)

    async with raw_peer(serve) as peer:
        for _ in range(2):
            assert (await channel.send(envelope(peer.url()), channel.prepare(CONTENT))).delivered
        # Inflated it would have passed the cap, and the connection would have been dropped.
        assert peer.connections == 1


async def test_connections_are_used_again_and_cookies_are_not(channel: WebhookChannel, web_sink: HttpSink) -> None:
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            requests.append(await read_request(reader))
            writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 40000\r\n\r\n" + bytes(40_000))

    async with raw_peer(serve) as peer:
        for _ in range(5):
            await channel.send(envelope(peer.url()), channel.prepare(CONTENT))
        assert peer.connections == 1
    assert len(requests) == 5
    assert not any(b"cookie" in request.lower() for request in requests)


async def test_an_answer_before_the_request_was_read_counts(channel: WebhookChannel) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await asyncio.Event().wait()

    async with raw_peer(serve) as peer, asyncio.timeout(10):
        with pytest.raises(Transient) as refused:
            await channel.send(envelope(peer.url(), metadata={"a": "x" * 1_000_000}), channel.prepare(CONTENT))
    assert refused.value.code == "413"


async def test_proceed_is_asked_on_the_connection_and_before_the_first_byte(channel: WebhookChannel) -> None:
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(1))

    connections_when_asked: list[int] = []

    async with raw_peer(serve) as peer:

        def proceed() -> None:
            connections_when_asked.append(peer.connections)
            raise NotStarted("the lease runs low")

        message = envelope(peer.url(), proceed=proceed)
        with pytest.raises(NotStarted):
            await channel.send(message, channel.prepare(CONTENT))
        await wait_until(lambda: received)
    assert received == [b""]
    assert len(connections_when_asked) == 1


async def test_proceed_is_not_asked_where_no_connection_comes_about(channel: WebhookChannel) -> None:
    asked: list[bool] = []
    async with raw_peer(_never) as peer:
        url = peer.url()
    with pytest.raises(Transient):
        await channel.send(envelope(url, proceed=lambda: asked.append(True)), channel.prepare(CONTENT))
    assert asked == []


async def test_sends_at_once_do_not_mix(channel: WebhookChannel, web_sink: HttpSink) -> None:
    messages = [envelope(web_sink.url(f"/{number}"), secrets=(new_secret(),)) for number in range(100)]
    prepared = channel.prepare(CONTENT)
    await asyncio.gather(*(channel.send(message, prepared) for message in messages))
    for number, message in enumerate(messages):
        [request] = web_sink.received_at(f"/{number}")
        Webhook(message.secrets[0]).verify(request.body, dict(request.headers))
        assert request.json()["data"]["messageId"] == message.message_id


async def test_closing_ends_what_is_in_flight_and_lets_nothing_begin(web_sink: HttpSink) -> None:
    web_sink.script(delay_s=30)
    channel = WebhookChannel(WebhookConfig(LOOPBACK))
    prepared = channel.prepare(CONTENT)
    flying = asyncio.create_task(channel.send(envelope(web_sink.url()), prepared))
    await wait_until(lambda: web_sink.requests)
    await channel.close()
    with pytest.raises(Unknown):
        await asyncio.wait_for(flying, 10)
    with pytest.raises(NotStarted):
        await channel.send(envelope(web_sink.url()), prepared)
    await channel.close()


def test_it_runs_on_uvloop() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(OK)

    async def main() -> None:
        async with raw_peer(serve) as peer, opened(WebhookConfig(LOOPBACK)) as channel:
            for _ in range(3):
                assert (await channel.send(envelope(peer.url()), channel.prepare(CONTENT))).delivered
            assert peer.connections == 1
        with pytest.raises(NotStarted):
            await channel.send(envelope(peer.url()), channel.prepare(CONTENT))

    uvloop.run(main())
