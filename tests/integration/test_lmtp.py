"""Bounce mail by LMTP (RFC 2033): an answer for each recipient, and none that is not true."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Self

import pytest

from api_shim import lmtp
from channels.bounces.events import event_of
from channels.bounces.reading import parse
from models import ids
from models.evidence import Provider
from models.ids import Kind
from models.session import Database
from models.store import events
from models.tokens import Ref
from tests.support.api import Api, Tenant, serving
from tests.support.bounces import delivery_report, return_path
from tests.support.waiting import wait_until
from wireroom.ports import free_port
from worker.tracker import Tracker

NOBODY: Final = "news@bounces.example.org"


class Line:
    """A mail server's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def answer(self) -> str:
        """The next reply, its last line."""
        while True:
            line = (await asyncio.wait_for(self.reader.readline(), 20)).decode()
            if line[3:4] != "-":
                return line.strip()

    async def say(self, *commands: str) -> list[str]:
        """The replies to commands, one after another."""
        said = []
        for command in commands:
            self.writer.write(f"{command}\r\n".encode())
            said.append(await self.answer())
        return said

    async def deliver(self, raw: bytes, *to: str) -> list[str]:
        """A transaction: the replies to each RCPT, then those to the content."""
        assert (await self.say("MAIL FROM:<>"))[0][:3] == "250"
        taken = await self.say(*[f"RCPT TO:<{each}>" for each in to])
        count = sum(each.startswith("250") for each in taken)
        (go_on,) = await self.say("DATA")
        assert go_on.startswith("354") == (count > 0)
        if count:
            self.writer.write(raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") + b"\r\n.\r\n")
            taken += [await self.answer() for _ in range(count)]
        return taken

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()


@asynccontextmanager
async def line_to(port: int) -> AsyncIterator[Line]:
    async with Line(*await asyncio.open_connection("127.0.0.1", port)) as line:
        assert (await line.answer()).startswith("220")
        assert (await line.say("LHLO mx.example.net")) == ["250 HELP"]
        yield line


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
async def api(tmp_path: Path, database_url: str, redis_url: str, port: int) -> AsyncIterator[Api]:
    async with serving(tmp_path, database_url, redis_url, WIREROOM_LMTP_BIND=f"127.0.0.1:{port}") as running:
        yield running


async def test_a_report_bounces_its_message(tenant: Tenant, port: int, database: Database) -> None:
    message = await tenant.send(await tenant.contact())
    to = return_path(message)
    raw = delivery_report("someone@example.org")  # the envelope is what counts
    async with line_to(port) as line:
        assert await line.deliver(raw, to) == ["250 2.1.5 taken"] * 2
        assert await line.deliver(raw, to) == ["250 2.1.5 taken"] * 2
        assert (await line.say("QUIT"))[0].startswith("221")
    await Tracker(database).pull()
    assert (await tenant.get(f"/messages/{message['id']}"))["status"] == "BOUNCED"
    (event,) = (await tenant.get("/events"))["data"]
    assert (event["type"], event["provider"], event["hookId"]) == ("bounced", "bounce-mail", None)
    (entry,) = (await tenant.get("/suppressions"))["data"]
    assert entry["messageId"] == message["id"]


async def test_commands_may_come_without_waiting_for_replies(tenant: Tenant, port: int) -> None:
    to = return_path(await tenant.send(await tenant.contact()))
    async with Line(*await asyncio.open_connection("127.0.0.1", port)) as line:
        assert (await line.answer()).startswith("220")
        line.writer.write(b"LHLO mx.example.net\r\n")
        greeting = [await asyncio.wait_for(line.reader.readline(), 20) for _ in range(7)]
        assert {b"250-PIPELINING\r\n", b"250-ENHANCEDSTATUSCODES\r\n"} < set(greeting)
        assert greeting[-1] == b"250 HELP\r\n"
        # RFC 2920: all of them at once, DATA the last.
        commands = ("MAIL FROM:<>", f"RCPT TO:<{to}>", f"RCPT TO:<{NOBODY}>", "DATA")
        line.writer.write("".join(f"{each}\r\n" for each in commands).encode())
        assert [(await line.answer())[:3] for _ in commands] == ["250", "250", "550", "354"]
        line.writer.write(b"Subject: x\r\n\r\nx\r\n.\r\nQUIT\r\n")
        assert [(await line.answer())[:3] for _ in range(2)] == ["250", "221"]


async def test_each_recipient_has_its_own_answer(api: Api, tenant: Tenant, port: int, database: Database) -> None:
    other = await api.tenant()
    message, theirs = await tenant.send(await tenant.contact()), await other.send(await other.contact())
    soft = delivery_report(NOBODY, status="5.2.2", said="552 5.2.2 full")
    forged = "b-" + "a" * 52 + "@bounces.example.org"
    async with line_to(port) as line:
        answers = await line.deliver(soft, return_path(message), NOBODY, forged, return_path(theirs).upper())
    assert [each[:9] for each in answers] == [
        "250 2.1.5",
        "550 5.1.1",
        "550 5.1.1",
        "250 2.1.5",
        "250 2.1.5",
        "250 2.1.5",
    ]
    await Tracker(database).pull()
    for owner, each in ((tenant, message), (other, theirs)):
        read = await owner.get(f"/messages/{each['id']}")
        assert (read["status"], read["bounceType"]) == ("BOUNCED", "soft")
        assert (await owner.get("/suppressions"))["data"] == []
        assert len((await owner.get("/events"))["data"]) == 1


async def test_who_is_nobody_is_told_so_before_the_content(tenant: Tenant, port: int) -> None:
    async with line_to(port) as line:
        assert await line.deliver(b"x", NOBODY) == ["550 5.1.1 no return path of ours"]
        assert (await line.say("EHLO x"))[0].startswith("500")
    assert (await tenant.get("/events"))["data"] == []


async def test_who_writes_without_end_to_a_return_path_fills_no_table(
    tenant: Tenant, port: int, database: Database
) -> None:
    message, other = (
        await tenant.send(await tenant.contact()),
        await tenant.send(await tenant.contact(email="bob@example.org")),
    )
    message_id = ids.parse(Kind.MESSAGE, message["id"])
    workspace_id = ids.parse(Kind.WORKSPACE, tenant.workspace)
    assert message_id is not None
    assert workspace_id is not None
    mails = [
        event_of(parse(raw), raw, Ref(message_id, 1)) for number in range(199) for raw in [b"Subject: %d\n\n" % number]
    ]
    async with database.write() as connection:
        await events.insert(
            connection,
            workspace_id=workspace_id,
            source_id=workspace_id,
            provider=Provider.BOUNCE_MAIL.value,
            events_=mails,
        )
    await Tracker(database).pull()
    async with line_to(port) as line:
        assert [each[:3] for each in await line.deliver(b"the last", return_path(message))] == ["250", "250"]
        await Tracker(database).pull()
        answers = await line.deliver(b"one more", return_path(message), return_path(other))
        assert [each[:9] for each in answers] == ["552 5.2.2", "250 2.1.5", "250 2.1.5"]
    assert (await tenant.get("/events", messageId=message["id"]))["pagination"]["total"] == 200


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_what_is_too_large_is_refused_to_each(tenant: Tenant, port: int) -> None:
    message = await tenant.send(await tenant.contact())
    to = [return_path(message), return_path(message, run=2)]
    async with line_to(port) as line:
        answers = await line.deliver(b"x" * 70 + b"\n" + (b"y" * 70 + b"\n") * 80_000, *to)
        assert [each[:3] for each in answers] == ["250", "250", "552", "552"]
        answers = await line.deliver(b"z" * 100_000, *to)  # a line that no mail may have
        assert [each[:3] for each in answers] == ["250", "250", "500", "500"]
        assert [each[:3] for each in await line.deliver(delivery_report(to[0]), *to)] == ["250"] * 4
        (declared,) = await line.say(f"MAIL FROM:<> SIZE={6 << 20}")
        assert declared.startswith("552")
    assert len((await tenant.get("/events"))["data"]) == 2


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_content_without_end_is_cut_off(tenant: Tenant, port: int) -> None:
    to = return_path(await tenant.send(await tenant.contact()))
    async with line_to(port) as line:
        await line.say("MAIL FROM:<>", f"RCPT TO:<{to}>", "DATA")
        with pytest.raises(ConnectionError):
            await flood(line.writer)


async def flood(writer: asyncio.StreamWriter) -> None:
    for _ in range(64):
        writer.write(b"x" * (1 << 20))
        await writer.drain()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_only_so_many_connect_at_once(tenant: Tenant, port: int) -> None:
    lines = [Line(*await asyncio.open_connection("127.0.0.1", port)) for _ in range(lmtp.MOST_CONNECTIONS)]
    assert {(await line.answer())[:3] for line in lines} == {"220"}
    async with Line(*await asyncio.open_connection("127.0.0.1", port)) as one_more:
        assert (await one_more.answer())[:3] == "421"
        assert await one_more.reader.read() == b""
    for line in lines:
        line.writer.close()

    async def has_room() -> bool:
        async with Line(*await asyncio.open_connection("127.0.0.1", port)) as again:
            return (await again.answer()).startswith("220")

    await wait_until(has_room)


async def test_without_a_database_it_is_later(tmp_path: Path, redis_url: str, port: int) -> None:
    nowhere = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    async with (
        serving(tmp_path, nowhere, redis_url, WIREROOM_LMTP_BIND=f"127.0.0.1:{port}"),
        line_to(port) as line,
    ):
        token = "b-" + "a" * 52 + "@bounces.example.org"
        assert await line.deliver(b"x", token) == ["451 4.3.0 the database cannot be reached now"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_what_cannot_be_stored_now_is_later_and_then_taken(tenant: Tenant, port: int, tmp_path: Path) -> None:
    to = return_path(await tenant.send(await tenant.contact()))
    raw = delivery_report(to)
    async with line_to(port) as line:
        with contextlib.closing(sqlite3.connect(tmp_path / "wireroom.db", isolation_level=None)) as busy:
            busy.execute("BEGIN IMMEDIATE")  # another writer that does not end
            assert await line.deliver(raw, to) == ["250 2.1.5 taken", "451 4.3.0 the database cannot be reached now"]
        assert (await line.deliver(raw, to))[1] == "250 2.1.5 taken"
    assert len((await tenant.get("/events"))["data"]) == 1


async def test_it_ends_with_the_api(tmp_path: Path, sqlite_url: str, redis_url: str, port: int) -> None:
    async with serving(tmp_path, sqlite_url, redis_url, WIREROOM_LMTP_BIND=f"127.0.0.1:{port}"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        line = Line(reader, writer)
        assert (await line.answer()).startswith("220")
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
