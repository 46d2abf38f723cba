import asyncio
import signal
import socket
import sys
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import text

from models import migrate
from models.session import Database
from tests.support import commands
from tests.support.commands import Up, lives, wireroom
from tests.support.http_sink import HttpSink
from tests.support.no_tls import NO_TLS
from tests.support.waiting import wait_until
from wireroom.ports import free_port
from worker import queues

LOOPBACK = {"WIREROOM_WEBHOOK_ALLOW_NETS": "127.0.0.0/8"}
PARTS = ("api_shim.app", "dramatiq", "worker.keeper", "valkey-server")


async def send_webhook(up: Up, sink: HttpSink, workspace: str, token: str, lane: str = "transactional") -> str:
    """Accept one message for ``sink``; its id."""
    base = f"{up.url}/api/workspaces/{workspace}"
    async with httpx.AsyncClient(
        trust_env=False, verify=NO_TLS, headers={"Authorization": f"Bearer {token}"}
    ) as client:
        contact = await client.post(f"{base}/contacts", json={"webhookUrl": sink.url("/in")})
        assert contact.status_code == 201, contact.text
        message = {"contactId": contact.json()["id"], "channel": "WEBHOOK", "body": "hello", "lane": lane}
        accepted = await client.post(f"{base}/messages", json=message)
        assert accepted.status_code == 200, accepted.text
        return str(accepted.json()["id"])


async def kill_and_await_successor(up: Up, part: str) -> None:
    killed = up.named(part)
    assert killed, part
    for process in killed:
        process.kill()
    await wait_until(lambda: set(up.named(part)) - set(killed))


def tell_apart(up: Up) -> None:
    """Two workers and that of bulk, known by their command lines, and an API that cannot be taken for one."""
    lines = [" ".join(commands.command_of(child)) for child in psutil.Process(up.process.pid).children()]
    workers = [line for line in lines if "dramatiq" in line]
    assert sorted(f" {' '.join(queues.BULK)}" in line for line in workers) == [False, False, True]
    apis = [line for line in lines if "api_shim" in line]
    assert len(apis) == 1
    assert not any(word in apis[0].removeprefix(sys.executable) for word in ("dramatiq", "worker"))


async def test_up_carries_a_message_alone_in_its_folder_and_ends_in_order(tmp_path: Path, web_sink: HttpSink) -> None:
    async with commands.running(tmp_path / "data", "--workers", "2", **LOOPBACK) as up:
        tell_apart(up)
        await is_refused_a_second_time(up)
        workspace, token = await commands.tenant_of(up)
        message_id = await send_webhook(up, web_sink, workspace, token)
        await wait_until(lambda: web_sink.requests)
        assert [request.headers["webhook-id"] for request in web_sink.requests] == [message_id]
        in_bulk = await send_webhook(up, web_sink, workspace, token, lane="bulk")
        await wait_until(lambda: in_bulk in [request.headers["webhook-id"] for request in web_sink.requests])
        children = up.children()
        await stops_api_workers_keeper_broker(up)
        assert not any(lives(child) for child in children)


async def is_refused_a_second_time(up: Up) -> None:
    bind = f"127.0.0.1:{free_port()}"
    answer = await wireroom("up", **(up.settings | {"WIREROOM_BIND": bind}))
    assert answer.code == 1
    assert "already runs" in answer.err
    assert await up.ready()


async def stops_api_workers_keeper_broker(up: Up) -> None:
    workers = up.named("dramatiq")
    for worker in workers:
        worker.suspend()
    up.process.send_signal(signal.SIGTERM)
    await wait_until(lambda: not up.named("api_shim.app"))
    assert up.named("worker.keeper")
    assert up.named("valkey-server")
    for worker in workers:
        worker.resume()
    assert await up.process.wait() == 0


async def test_every_part_that_dies_is_started_again_and_none_outlives_up(tmp_path: Path, web_sink: HttpSink) -> None:
    async with commands.running(tmp_path / "data", **LOOPBACK) as up:
        workspace, token = await commands.tenant_of(up)
        for part in PARTS:
            await kill_and_await_successor(up, part)
        await commands.until_ready(up)
        message_id = await send_webhook(up, web_sink, workspace, token)
        await wait_until(lambda: web_sink.requests)
        assert web_sink.requests[0].headers["webhook-id"] == message_id
        children = up.children()
        up.process.kill()
        await up.process.wait()
        await wait_until(lambda: not any(lives(child) for child in children), timeout=40)


async def greeting(port: int) -> bytes:
    """What an LMTP server says first; raises OSError where there is none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await reader.readline()
    finally:
        writer.close()


async def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    lmtp = free_port()
    async with commands.running(tmp_path / "data", WIREROOM_LMTP_BIND=f"127.0.0.1:{lmtp}") as up:
        assert (await greeting(lmtp)).startswith(b"220 ")
        children = up.children()
        for worker in up.named("dramatiq"):
            worker.suspend()  # it will not drain
        up.process.send_signal(signal.SIGINT)
        await wait_until(lambda: not up.named("api_shim.app"))
        with pytest.raises(ConnectionRefusedError):
            await greeting(lmtp)
        assert await up.stop(signal.SIGINT) == 1
        assert not any(lives(child) for child in children)


@pytest.mark.parametrize("variable", ["WIREROOM_BIND", "WIREROOM_LMTP_BIND"])
async def test_a_port_in_use_is_said_plainly(tmp_path: Path, variable: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        places = {"WIREROOM_BIND": f"127.0.0.1:{free_port()}"} | {variable: bind}
        answer = await wireroom("up", WIREROOM_DATA_DIR=str(tmp_path / "data"), **places)
    assert answer.code == 1
    assert bind in answer.err
    assert f"{variable}=" in answer.err
    assert "Traceback" not in answer.err


async def test_a_setting_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    answer = await wireroom("up", WIREROOM_DATA_DIR=str(tmp_path / "data"), WIREROOM_RATE_EMAIL="fast")
    assert answer.code == 1
    assert "WIREROOM_RATE_EMAIL" in answer.err


async def test_it_stops_while_its_migration_waits_for_another_one(tmp_path: Path, empty_postgres_url: str) -> None:
    database = Database.connect(empty_postgres_url)
    waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    settings = {
        "WIREROOM_DATA_DIR": str(tmp_path / "data"),
        "WIREROOM_DATABASE_URL": empty_postgres_url,
        "WIREROOM_BIND": f"127.0.0.1:{free_port()}",
    }

    async def waits() -> bool:
        async with database.read() as connection:
            return bool(await connection.scalar(waiting))

    async with database.write() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": migrate.LOCK})
        async with commands.started(tmp_path / "up.log", **settings):
            await wait_until(waits)
    await database.close()
