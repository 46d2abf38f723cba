"""Redis behind TLS, and behind a sentinel whose master dies: messages flow."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import redis

from models.session import Database
from tests.support import scene as scenes
from tests.support import sentinel, tls_front
from tests.support.broker import ValkeyServer
from tests.support.commands import wireroom
from tests.support.house import House
from tests.support.scene import Scene
from tests.support.sentinel import Sentinel
from tests.support.smtp_sink import SmtpSink
from tests.support.waiting import wait_until
from worker.redis_client import connect
from worker.wakeups import Wakeups

pytestmark = pytest.mark.timeout(180)


@asynccontextmanager
async def house_at(folder: Path, database: Database, url: str, sink: SmtpSink) -> AsyncIterator[tuple[Scene, House]]:
    """A scene and the processes on a Redis at ``url``."""
    settings = scenes.channel_settings(sink.port)
    async with scenes.opened(folder, database, url, settings) as opened:
        house = House(folder, database_url=str(database.engine.url), redis_url=url, smtp_port=sink.port)
        try:
            yield opened, house
        finally:
            await asyncio.to_thread(house.close)


@pytest.fixture
def watched() -> Iterator[Sentinel]:
    with sentinel.running() as running:
        yield running


@pytest.fixture
async def tls_url(valkey: ValkeyServer, server_tls: ssl.SSLContext, authority_file: Path) -> AsyncIterator[str]:
    async with tls_front.running(server_tls, str(valkey.socket_path)) as port:
        yield f"rediss://localhost:{port}/0?ssl_ca_certs={authority_file}"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_messages_flow_through_tls(tmp_path: Path, database: Database, tls_url: str, mail_sink: SmtpSink) -> None:
    async with house_at(tmp_path, database, tls_url, mail_sink) as (scene, house):
        house.start_worker()  # and no keeper: only a wake-up brings a message to it
        contact = await scene.contact()

        def arrived(number: int) -> bool:
            scene.wakeups.poke("email", "transactional")  # one that did not come through in time is not repeated
            return len(mail_sink.mails) == number

        for number in (1, 2):
            await scene.send(contact)
            await wait_until(partial(arrived, number))


async def test_a_certificate_of_a_stranger_is_refused(tls_url: str) -> None:
    def ping() -> None:
        with (
            connect(tls_url.partition("?")[0], connections=1) as client,
            pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"),
        ):
            client.ping()

    await asyncio.to_thread(ping)


async def test_doctor_takes_both_addresses(tmp_path: Path, tls_url: str, watched: Sentinel) -> None:
    for url in (tls_url, watched.url):
        answer = await wireroom("doctor", "--json", WIREROOM_DATA_DIR=str(tmp_path / "data"), WIREROOM_REDIS_URL=url)
        (broker,) = (each for each in answer.json()["findings"] if each["part"] == "broker")
        assert (broker["ok"], broker["detail"]) == (True, "answers, no limit of memory")


async def test_doctor_says_of_a_replica_that_it_cannot_be_used(tmp_path: Path, valkey: ValkeyServer) -> None:
    with redis.Redis.from_url(valkey.url) as client:
        client.replicaof("127.0.0.1", 1)
    answer = await wireroom("doctor", "--json", WIREROOM_DATA_DIR=str(tmp_path / "data"), WIREROOM_REDIS_URL=valkey.url)
    (broker,) = (each for each in answer.json()["findings"] if each["part"] == "broker")
    assert (broker["ok"], broker["detail"]) == (False, "cannot be used (ReadOnlyError)")


async def test_doctor_names_the_keys_that_somebody_else_uses(tmp_path: Path, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set("wireroom:push", "another program's")
    answer = await wireroom("doctor", "--json", WIREROOM_DATA_DIR=str(tmp_path / "data"), WIREROOM_REDIS_URL=redis_url)
    (broker,) = (each for each in answer.json()["findings"] if each["part"] == "broker")
    assert (broker["ok"], broker["detail"]) == (
        False,
        "somebody else writes there: wireroom:push is a string, not a list",
    )
    assert "a database of its own" in broker["mend"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_messages_flow_on_when_the_master_dies(
    tmp_path: Path, database: Database, watched: Sentinel, mail_sink: SmtpSink
) -> None:
    async with house_at(tmp_path, database, watched.url, mail_sink) as (scene, house):
        house.start_worker()
        house.start_keeper()
        contact = await scene.contact()
        await scene.send(contact)
        await wait_until(lambda: len(mail_sink.mails) == 1, timeout=30)
        dead = await asyncio.to_thread(watched.kill_master)
        await scene.send(contact)
        await wait_until(lambda: watched.master() != dead, timeout=30)
        await wait_until(lambda: len(mail_sink.mails) == 2, timeout=30)
        await wait_until(scene.wakeups.reachable, timeout=30)
        await scene.send(contact)
        await wait_until(lambda: len(mail_sink.mails) == 3, timeout=30)


async def test_wakeups_find_the_new_master_by_themselves(watched: Sentinel) -> None:
    wakeups = Wakeups(watched.url)
    try:
        await wait_until(wakeups.reachable)
        await wakeups.top_up("email", "bulk")
        assert await wakeups.depth("email", "bulk") == 1
        await asyncio.to_thread(watched.kill_master)
        assert not await wakeups.reachable()
        await wait_until(wakeups.reachable, timeout=30)
        await wakeups.top_up("email", "transactional")
        assert await wakeups.depth("email", "transactional")
    finally:
        await asyncio.to_thread(wakeups.close)
