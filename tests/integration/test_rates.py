"""Rates of a sender and of an endpoint, and a mail server's connections, kept by two worker processes together."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from msgspec.structs import replace
from redis import Redis

from channels.contract import Content
from channels.email import EmailChannel, EmailConfig
from models.session import Database
from models.store import settings
from models.vocabulary import Channel, Status
from tests.support import scene as scenes
from tests.support.broker import ValkeyServer
from tests.support.envelopes import envelope
from tests.support.house import House
from tests.support.http_sink import HttpSink
from tests.support.scene import Scene
from tests.support.sending import mail_credentials, mail_sender
from tests.support.smtp_sink import SmtpSink
from tests.support.waiting import wait_until
from worker.redis_keys import LIMITERS

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGES = 60
RATE = 20.0


@pytest.fixture
async def post(tmp_path: Path, database: Database, valkey: ValkeyServer, mail_sink: SmtpSink) -> AsyncIterator[Scene]:
    async with scenes.opened(tmp_path, database, valkey.url, scenes.channel_settings(mail_sink.port)) as opened:
        yield opened


@pytest.fixture
async def house(tmp_path: Path, database_url: str, valkey: ValkeyServer, mail_sink: SmtpSink) -> AsyncIterator[House]:
    """Two workers and a keeper."""
    house = House(tmp_path, database_url=database_url, redis_url=valkey.url, smtp_port=mail_sink.port)
    for _ in range(2):
        house.start_worker()
    house.start_keeper()
    await wait_until(lambda: len(re.findall("worker.started", house.log("worker"))) == 2, timeout=30)
    yield house
    await asyncio.to_thread(house.close)


def at_the_rate(times: Sequence[float], began: float) -> bool:
    """A quarter of a second's at once, then one by one: however late some are, no other comes too early for it."""
    return all(each >= began + (number - RATE / 4) / RATE for number, each in enumerate(sorted(times), start=1))


async def all_sent(scene: Scene) -> bool:
    """Every message is sent, and no try was burnt."""
    rows = await scene.rows()
    tries = {await scene.column(row.id, "tries") for row in rows}
    return len(rows) == MESSAGES and all(row.status in (Status.SENT, Status.DELIVERED) for row in rows) and tries == {0}


def has_all(arrived: Sequence[object]) -> bool:
    return len(arrived) >= MESSAGES


async def test_a_sender_keeps_to_its_rate_over_all_workers(post: Scene, house: House, mail_sink: SmtpSink) -> None:
    await mail_sender(post, mail_credentials(mail_sink.port), per_second=RATE)
    contact = await post.contact()
    began = time.monotonic()
    await post.intake.submit_many([post.draft(contact) for _ in range(MESSAGES)])
    await wait_until(partial(has_all, mail_sink.mails), timeout=40)
    assert at_the_rate([mail.at for mail in mail_sink.mails], began)
    await wait_until(partial(all_sent, post))
    assert len(mail_sink.mails) == MESSAGES


async def test_an_endpoint_gets_no_more_than_its_rate_over_all_workers(
    post: Scene, house: House, web_sink: HttpSink
) -> None:
    async with post.database.write() as connection:
        await settings.change(connection, post.workspace_id, lambda old: replace(old, endpoint_rate=RATE))
    contacts = [
        await post.contact(webhook_url=web_sink.url(f"/{number}"), webhook_secret=SECRET) for number in range(2)
    ]
    drafts = [post.draft(contacts[number % 2], channel=Channel.WEBHOOK) for number in range(MESSAGES)]
    began = time.monotonic()
    await post.intake.submit_many(drafts)
    await wait_until(partial(has_all, web_sink.requests), timeout=40)
    assert at_the_rate([request.at for request in web_sink.requests], began)
    await wait_until(partial(all_sent, post))
    assert len(web_sink.requests) == MESSAGES


async def test_a_workspace_without_a_rate_is_not_held_up(post: Scene, house: House, web_sink: HttpSink) -> None:
    other = await post.workspace()
    async with post.database.write() as connection:
        await settings.change(connection, other, lambda old: replace(old, endpoint_rate=0.1))
    contact = await post.contact(webhook_url=web_sink.url(), webhook_secret=SECRET)
    await post.intake.submit_many([post.draft(contact, channel=Channel.WEBHOOK) for _ in range(MESSAGES)])
    await wait_until(partial(has_all, web_sink.requests), timeout=60)


async def test_a_mail_server_gets_no_more_connections_than_its_url_says(mail_sink: SmtpSink) -> None:
    processes = 1
    url = f"smtp+plain://127.0.0.1:{mail_sink.port}?connections=4"
    channel = EmailChannel(EmailConfig(url, "shop@example.org", processes=lambda: processes))
    prepared = channel.prepare(Content(subject="Hi", body="Hi"))

    async def send(count: int) -> None:
        await asyncio.gather(*(channel.send(envelope("ann@example.org"), prepared) for _ in range(count)))

    mail_sink.script("DOT", delay_s=0.02)
    await send(40)
    assert mail_sink.most_open == 4
    processes = 2
    await send(40)
    await wait_until(lambda: mail_sink.open_now == 2)
    processes = 5  # fewer than one each is none at all
    await send(2)
    await wait_until(lambda: mail_sink.open_now == 1)
    processes = 1
    await send(40)
    assert mail_sink.open_now == mail_sink.most_open == 4
    await channel.close()
    assert len(mail_sink.mails) == 122


async def know_of_each_other(valkey: ValkeyServer) -> None:
    """Return once each of the two workers has counted itself after both were there, as it does every few seconds."""

    def seen_at() -> dict[bytes, float]:
        with Redis.from_url(valkey.url) as client:
            found = cast("list[tuple[bytes, float]]", client.zrange(LIMITERS, 0, -1, withscores=True))
        return dict(found) if len(found) == 2 else {}

    both = await wait_until(seen_at)
    await wait_until(lambda: min(seen_at().values(), default=0.0) > max(both.values()))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_workers_share_a_senders_connections(
    post: Scene, house: House, mail_sink: SmtpSink, valkey: ValkeyServer
) -> None:
    await know_of_each_other(valkey)
    credentials = mail_credentials(mail_sink.port)
    await mail_sender(post, replace(credentials, smtp_url=f"{credentials.smtp_url}?connections=2"))
    mail_sink.script("DOT", delay_s=0.05)
    contact = await post.contact()
    await post.intake.submit_many([post.draft(contact) for _ in range(MESSAGES)])
    await wait_until(partial(has_all, mail_sink.mails), timeout=40)
    assert mail_sink.most_open <= 2
