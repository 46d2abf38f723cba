"""The rig itself: what the fixtures promise."""

import asyncio
import ssl
from email.message import EmailMessage
from pathlib import Path

import aiohttp
import aiosmtplib
import pytest
import redis
from sqlalchemy import insert, select

from models.session import Database
from models.tables import channel_pauses
from tests.support import http_sink, smtp_sink
from tests.support.broker import ValkeyServer
from tests.support.http_sink import HttpSink
from tests.support.smtp_sink import SmtpSink
from tests.support.waiting import wait_until


def _mail(recipient: str = "ann@example.org") -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "us@example.org", recipient, "Grüße"
    mail.set_content(".\r\n..dots\r\n")
    return mail


@pytest.mark.parametrize("time", [1, 2])
async def test_every_test_has_a_database_of_its_own(database: Database, time: int) -> None:
    async with database.write() as connection:
        assert (await connection.execute(select(channel_pauses))).all() == []
        row = {"channel": "EMAIL", "until": time, "detail": ""}
        await connection.execute(insert(channel_pauses), row)


def test_redis_is_empty(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "over")


def test_redis_is_empty_again(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "over")


def test_a_killed_valkey_comes_back_empty(valkey: ValkeyServer) -> None:
    with redis.Redis.from_url(valkey.url, retry=None) as client:
        client.set("key", "value")
        valkey.kill()
        with pytest.raises(redis.ConnectionError):
            client.ping()
        valkey.start_empty()
        assert client.dbsize() == 0


async def test_mail_arrives_as_sent(mail_sink: SmtpSink) -> None:
    await aiosmtplib.send(_mail(), hostname=mail_sink.host, port=mail_sink.port, start_tls=False)
    (mail,) = mail_sink.received_by("ann@example.org")
    assert mail.sender == "us@example.org"
    assert mail.parsed()["Subject"] == "Grüße"
    assert mail.parsed().get_content() == ".\r\n..dots\r\n"
    assert not mail.tls


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA", "DOT"])
async def test_mail_sink_refuses_as_told(mail_sink: SmtpSink, command: smtp_sink.Command) -> None:
    mail_sink.script(command, "451 4.3.0 later", times=1)
    with pytest.raises(aiosmtplib.SMTPException):
        await aiosmtplib.send(_mail(), hostname=mail_sink.host, port=mail_sink.port, start_tls=False)
    assert mail_sink.mails == []
    await aiosmtplib.send(_mail(), hostname=mail_sink.host, port=mail_sink.port, start_tls=False)
    assert len(mail_sink.mails) == 1


@pytest.mark.parametrize("command", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "DOT"])
async def test_mail_sink_drops_as_told(mail_sink: SmtpSink, command: smtp_sink.Command) -> None:
    mail_sink.script(command, drop="before")
    with pytest.raises((aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPConnectError)):
        await aiosmtplib.send(_mail(), hostname=mail_sink.host, port=mail_sink.port, start_tls=False)
    assert mail_sink.mails == []


async def test_mail_sink_keeps_and_drops_as_told(mail_sink: SmtpSink) -> None:
    mail_sink.script("DOT", drop="after", recipient="ann@example.org")
    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await aiosmtplib.send(_mail(), hostname=mail_sink.host, port=mail_sink.port, start_tls=False)
    assert len(mail_sink.mails) == 1


async def test_mail_sink_with_starttls_and_login(server_tls: ssl.SSLContext, authority_file: Path) -> None:
    client_tls = ssl.create_default_context(cafile=str(authority_file))
    async with smtp_sink.running(tls=server_tls, username="user", password="pass") as sink:
        async with aiosmtplib.SMTP(
            hostname=sink.host, port=sink.port, start_tls=True, tls_context=client_tls
        ) as client:
            with pytest.raises(aiosmtplib.SMTPAuthenticationError):
                await client.login("user", "wrong")
            await client.login("user", "pass")
            await client.send_message(_mail())
        assert (sink.mails[0].tls, sink.mails[0].login) == (True, "user")
        with pytest.raises(aiosmtplib.SMTPException):
            await aiosmtplib.send(_mail(), hostname=sink.host, port=sink.port, start_tls=False)


async def test_mail_sink_with_tls_from_the_first_byte(server_tls: ssl.SSLContext, authority_file: Path) -> None:
    client_tls = ssl.create_default_context(cafile=str(authority_file))
    async with smtp_sink.running(tls=server_tls, implicit_tls=True, username="user", password="pass") as sink:
        await aiosmtplib.send(
            _mail(),
            hostname=sink.host,
            port=sink.port,
            use_tls=True,
            tls_context=client_tls,
            username="user",
            password="pass",
        )
        assert (sink.mails[0].tls, sink.mails[0].login) == (True, "user")


async def test_requests_arrive_as_sent(web_sink: HttpSink) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.post(web_sink.url("/a?b=c"), json={"x": "é"}) as response:
            assert response.status == 200
        web_sink.script(503, path="/a", headers={"Retry-After": "7"}, times=1)
        async with session.post(web_sink.url("/a")) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "7")
        web_sink.script(path="/a", drop="after", times=1)
        with pytest.raises(aiohttp.ClientError):
            await session.post(web_sink.url("/a"))
        web_sink.script(path="/a", drop="before", times=1)
        with pytest.raises(aiohttp.ClientError):
            await session.post(web_sink.url("/a"))
    first, *others = web_sink.received_at("/a")
    assert (first.method, first.query, first.json()) == ("POST", "b=c", {"x": "é"})
    assert len(others) == 2


async def test_web_sink_with_tls(server_tls: ssl.SSLContext, authority_file: Path) -> None:
    client_tls = ssl.create_default_context(cafile=str(authority_file))
    async with (
        http_sink.running(tls=server_tls) as sink,
        aiohttp.ClientSession() as session,
        session.get(sink.url(), ssl=client_tls) as response,
    ):
        assert response.status == 200


async def test_wait_until_gives_the_value_or_fails() -> None:
    values: list[int] = []
    asyncio.get_running_loop().call_later(0.02, values.append, 7)
    assert await wait_until(lambda: values) == [7]
    with pytest.raises(AssertionError, match="not true within"):
        await wait_until(lambda: len(values) > 1, timeout=0.02)
