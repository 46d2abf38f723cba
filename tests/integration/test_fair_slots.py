"""What hangs in one workspace leaves slots to the others, through a worker's whole process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from models.session import Database
from models.vocabulary import Channel
from tests.support import scene as scenes
from tests.support import smtp_sink
from tests.support.broker import ValkeyServer
from tests.support.house import House
from tests.support.http_sink import HttpSink
from tests.support.scene import Scene
from tests.support.sending import mail_credentials, mail_sender
from tests.support.smtp_sink import SmtpSink
from tests.support.waiting import wait_until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SLOTS = 40
SOON_S = 10.0  # less than an endpoint that hangs keeps its slot


@pytest.fixture
async def post(tmp_path: Path, database: Database, valkey: ValkeyServer, mail_sink: SmtpSink) -> AsyncIterator[Scene]:
    async with scenes.opened(tmp_path, database, valkey.url, scenes.channel_settings(mail_sink.port)) as opened:
        yield opened


@pytest.fixture
async def house(tmp_path: Path, database_url: str, valkey: ValkeyServer, mail_sink: SmtpSink) -> AsyncIterator[House]:
    house = House(tmp_path, database_url=database_url, redis_url=valkey.url, smtp_port=mail_sink.port)
    house.start_worker(WIREROOM_MAX_INFLIGHT_EMAIL=str(SLOTS), WIREROOM_MAX_INFLIGHT_WEBHOOK=str(SLOTS))
    house.start_keeper()
    yield house
    await asyncio.to_thread(house.close)


async def arrive(send: Callable[[], Awaitable[object]], arrived: Sequence[object]) -> None:
    """Each of some messages of another workspace arrives soon, one after the other."""
    before = len(arrived)
    for number in range(1, 6):
        await send()
        await wait_until(partial(_has, arrived, before + number), timeout=SOON_S)


def _has(arrived: Sequence[object], count: int) -> bool:
    return len(arrived) >= count


async def test_a_workspaces_mail_server_that_hangs_delays_only_itself(
    post: Scene, house: House, mail_sink: SmtpSink
) -> None:
    contact = await post.contact()
    async with smtp_sink.running() as hanging:
        hanging.script("DOT", delay_s=600)
        theirs = await post.workspace()
        await mail_sender(post, mail_credentials(hanging.port), workspace_id=theirs)
        theirs_contact = await post.contact(workspace_id=theirs)
        await post.intake.submit_many([post.draft(theirs_contact, workspace_id=theirs) for _ in range(200)])
        await wait_until(lambda: hanging.commands.count("DOT") >= 10)
        await arrive(lambda: post.send(contact), mail_sink.mails)
        await asyncio.to_thread(house.kill)


async def test_endpoints_that_hang_delay_only_their_workspace(post: Scene, house: House, web_sink: HttpSink) -> None:
    """More of them than there are slots, each new to us: none is known to hang."""
    asked: list[str] = []

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readline()).decode())
        await reader.read()  # until the other side hangs up
        writer.close()

    server = await asyncio.start_server(hang, [f"127.0.0.{number}" for number in range(2, 2 + 2 * SLOTS)], 0)
    async with server:
        theirs = await post.workspace()
        drafts = []
        for socket in server.sockets:
            host, port = socket.getsockname()
            contact_id = await post.contact(
                workspace_id=theirs, webhook_url=f"http://{host}:{port}/", webhook_secret=SECRET
            )
            drafts.append(post.draft(contact_id, workspace_id=theirs, channel=Channel.WEBHOOK))
        await post.intake.submit_many(drafts)
        await wait_until(lambda: len(asked) >= SLOTS // 2)
        contact = await post.contact(webhook_url=web_sink.url(), webhook_secret=SECRET)
        await arrive(lambda: post.send(contact, channel=Channel.WEBHOOK), web_sink.requests)
        await asyncio.to_thread(house.kill)
