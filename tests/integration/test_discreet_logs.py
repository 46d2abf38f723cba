"""What a house logs, at every level, while its peers and its database say whom they are talking about.

That no canary is in it, ``tests.support.leak_check`` sees: these tests make sure that there is something to be said.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from models.session import Database
from models.vocabulary import Channel, Outcome
from tests.support import bot_api, leaks
from tests.support import scene as scenes
from tests.support.bot_api import BotApi
from tests.support.house import House
from tests.support.http_sink import HttpSink
from tests.support.scene import Scene
from tests.support.smtp_sink import SmtpSink
from tests.support.waiting import wait_until

TO = "ann@example.org"


@pytest.fixture
async def bot() -> AsyncIterator[BotApi]:
    async with bot_api.running() as running:
        yield running


async def outcomes(scene: Scene) -> dict[str, str]:
    """By channel, how the first attempt ended."""
    async with scene.database.read() as connection:
        rows = await connection.execute(
            text("SELECT m.channel, a.outcome FROM attempts a JOIN messages m ON m.id = a.message_id")
        )
        return {row[0]: row[1] for row in rows}


async def test_peers_that_name_the_recipient_are_not_repeated(
    tmp_path: Path, sqlite_url: str, redis_url: str, mail_sink: SmtpSink, web_sink: HttpSink, bot: BotApi
) -> None:
    """A mail is refused by its address; the bot's token is in a URL whose request fails; an endpoint quotes its key."""
    mail_sink.script("RCPT", f"550 5.1.1 <{TO}>: no such user, Good morning", recipient=TO)
    bot.cut(leaks.CHAT)
    web_sink.script(500, body=f"no {TO} at {web_sink.url('/hook')}".encode())
    settings = scenes.channel_settings(mail_sink.port, bot.url)
    house = House(tmp_path, database_url=sqlite_url, redis_url=redis_url, smtp_port=mail_sink.port)
    noisy = {"WIREROOM_LOG_LEVEL": "debug", "WIREROOM_TELEGRAM_BOT_TOKEN": bot_api.TOKEN}
    noisy |= {"WIREROOM_TELEGRAM_API_URL": bot.url}
    database = Database.connect(sqlite_url)
    try:
        async with scenes.opened(tmp_path, database, redis_url, settings) as scene:
            secret: dict[str, Any] = {"webhook_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
            contact = await scene.contact(telegram_chat_id=leaks.CHAT, webhook_url=web_sink.url("/hook"), **secret)
            channels = (Channel.EMAIL, Channel.TELEGRAM, Channel.WEBHOOK)
            for channel in channels:
                await scene.send(contact, channel=channel)
            house.start_keeper(**noisy)
            house.start_worker(**noisy)

            async def tried() -> bool:
                return len(await outcomes(scene)) == len(channels)

            await wait_until(tried, timeout=40)
            assert await outcomes(scene) == {
                "EMAIL": Outcome.PERMANENT,
                "TELEGRAM": Outcome.UNKNOWN,
                "WEBHOOK": Outcome.TRANSIENT,
            }
    finally:
        await asyncio.to_thread(house.close)
        await database.close()
    told = house.log("worker")
    assert told.count("send.ended") >= len(channels)


async def test_a_database_that_quotes_what_it_refuses_is_not_repeated(
    scene: Scene, capfd: pytest.CaptureFixture[str]
) -> None:
    """PostgreSQL's DETAIL has the whole row, SQLAlchemy's error the parameters, and a trigger says what it likes."""
    is_sqlite = scene.database.engine.dialect.name == "sqlite"
    refuses = (
        f"CREATE TRIGGER no BEFORE INSERT ON message_details BEGIN SELECT RAISE(ABORT, 'no {TO}'); END"
        if is_sqlite
        else f"ALTER TABLE message_details ADD CONSTRAINT no CHECK (address <> '{TO}')"
    )
    async with scene.database.write() as connection:
        await connection.execute(text(refuses))
    contact = await scene.contact(email=TO)
    with pytest.raises(IntegrityError) as raised:
        await scene.intake.submit_many([scene.draft(contact), scene.draft(contact)])
    of_driver = raised.value.orig
    assert of_driver is not None
    assert TO in str(of_driver if is_sqlite else getattr(of_driver.__cause__, "detail", ""))
    told = "".join(capfd.readouterr())
    assert "intake.chunk_broke" in told
    assert "IntegrityError" in told
