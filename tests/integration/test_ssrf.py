"""No webhook leads inside: a canary sees no connection, and the message is failed at once."""

import asyncio
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, ip_network
from pathlib import Path

import pytest

from channels.contract import Content
from channels.errors import Permanent, Transient
from channels.webhook import WebhookConfig
from models.session import Database
from models.vocabulary import Channel, FailureReason, State, Status
from tests.support import canary, forbidden
from tests.support import scene as scenes
from tests.support.broker import ValkeyServer
from tests.support.envelopes import envelope
from tests.support.house import House
from tests.support.http_sink import HttpSink
from tests.support.scene import Scene
from tests.support.waiting import wait_until
from tests.support.webhooks import LOOPBACK, NameServer, opened, raw_peer, read_request

ONE = (ip_network("127.0.0.1/32"),)
CONTENT = Content(body="b")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
async def post(tmp_path: Path, database: Database, valkey: ValkeyServer) -> AsyncIterator[Scene]:
    async with scenes.opened(tmp_path, database, valkey.url) as opened_:
        yield opened_


@pytest.fixture
async def house(tmp_path: Path, database_url: str, valkey: ValkeyServer) -> AsyncIterator[House]:
    house = House(tmp_path, database_url=database_url, redis_url=valkey.url, smtp_port=25)
    yield house
    await asyncio.to_thread(house.close)


async def _ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.skipif(not canary.is_possible(), reason="needs a network namespace")
async def test_where_every_address_is_ours_none_that_is_forbidden_is_dialled() -> None:
    report = await canary.run()
    assert set(report.control) == {"10.1.2.3", "169.254.169.254", "fd00:ec2::254", "127.0.0.1"}
    assert report.seen == []
    assert len(report.ends) > 700
    allowed = {url: end for url, end in report.ends.items() if "forbidden_destination" not in end}
    # What names a user is no address at all; some of it a client would take for another host.
    assert set(allowed.values()) == {f"Permanent {FailureReason.INVALID_ADDRESS}"}
    assert all("@" in url for url in allowed)
    assert report.rebound == [canary.PUBLIC]
    assert report.then == f"Permanent {FailureReason.FORBIDDEN_DESTINATION}"


@pytest.mark.parametrize("host", forbidden.other_spellings(IPv4Address("127.0.0.1")))
async def test_this_machine_is_not_reached_by_another_spelling(host: str) -> None:
    async with raw_peer(_ignore) as peer, opened(WebhookConfig()) as channel:
        with pytest.raises(Permanent) as caught:
            await channel.send(envelope(peer.url(host)), channel.prepare(CONTENT))
        assert peer.connections == 0
    assert caught.value.reason is FailureReason.FORBIDDEN_DESTINATION


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location",
    ["http://169.254.169.254/latest/meta-data/", "https://[fd00:ec2::254]/", "//10.0.0.1/", "http://0x7f.2/"],
)
async def test_a_redirect_inside_ends_the_message(web_sink: HttpSink, status: int, location: str) -> None:
    web_sink.script(status, headers={"Location": location})
    async with opened(WebhookConfig(ONE)) as channel:
        with pytest.raises((Permanent, Transient)) as caught:
            await channel.send(envelope(web_sink.url()), channel.prepare(CONTENT))
    assert isinstance(caught.value, Permanent)
    assert (caught.value.reason, caught.value.code) == (FailureReason.FORBIDDEN_DESTINATION, str(status))
    assert not caught.value.bounced


@pytest.mark.parametrize("location", ["", "/elsewhere", "http://[", "ftp://127.0.0.1/", "https://hooks.example/"])
async def test_another_redirect_is_one_more_answer_that_is_not_2xx(web_sink: HttpSink, location: str) -> None:
    web_sink.script(308, headers={"Location": location})
    names = NameServer([["127.0.0.1"]])
    async with opened(WebhookConfig(LOOPBACK), resolver=names) as channel:
        with pytest.raises(Transient):
            await channel.send(envelope(web_sink.url()), channel.prepare(CONTENT))
    assert len(web_sink.requests) == 1
    assert names.asked == []


async def test_the_house_fails_it_at_once(post: Scene, house: House, web_sink: HttpSink) -> None:
    """Through intake, worker and store."""
    house.start_worker(WIREROOM_WEBHOOK_ALLOW_NETS="")
    house.start_keeper()
    hosts = [
        "127.0.0.1",
        "localhost",
        "127.255.255.255",
        "169.254.169.254",
        "10.0.0.0",
        "192.168.255.255",
        "[::1]",
        "[fd00:ec2::254]",
        *(f"[{each}]" for each in forbidden.carrying(IPv4Address("127.0.0.1"))),
        *forbidden.other_spellings(IPv4Address("127.0.0.1")),
    ]
    sent = {}
    for host in hosts:
        for scheme in ("http", "https"):
            url = f"{scheme}://{host}:{web_sink.port}/hook"
            contact = await post.contact(webhook_url=url, webhook_secret=SECRET)
            sent[(await post.send(contact, channel=Channel.WEBHOOK)).id] = url

    async def over() -> bool:
        return all(row.state in (State.DONE, State.FAILED) for row in await post.rows())

    await wait_until(over, timeout=30, interval=0.2)
    ends = {sent[row.id]: (row.status, row.failure_reason) for row in await post.rows()}
    assert set(ends.values()) == {(Status.FAILED, FailureReason.FORBIDDEN_DESTINATION)}, ends
    assert len(ends) == 2 * len(hosts)
    assert web_sink.requests == []


async def test_the_house_follows_no_redirect(post: Scene, house: House, web_sink: HttpSink) -> None:
    house.start_worker()
    house.start_keeper()
    for status in (301, 302, 303, 307, 308):
        web_sink.script(status, path=f"/{status}", headers={"Location": "http://169.254.169.254/latest/meta-data/"})
        contact = await post.contact(webhook_url=web_sink.url(f"/{status}"), webhook_secret=SECRET)
        await post.send(contact, channel=Channel.WEBHOOK)

    async def over() -> bool:
        return all(row.state is State.FAILED for row in await post.rows())

    await wait_until(over, timeout=30, interval=0.2)
    assert {row.failure_reason for row in await post.rows()} == {FailureReason.FORBIDDEN_DESTINATION}
    assert len(web_sink.requests) == 5
