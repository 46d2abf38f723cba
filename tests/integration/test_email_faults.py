"""The EMAIL channel against servers that refuse, fall silent, hang up, or talk nonsense: a table of outcomes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import pytest

from channels.contract import Content
from channels.email import EmailChannel
from channels.errors import Misconfigured, Permanent, Transient, Unknown
from channels.smtp_session import Timeouts
from models.vocabulary import FailureReason
from tests.integration.test_email import OFFERS, channel_to, envelope
from tests.support import smtp_sink
from tests.support.smtp_sink import Command, Drop, SmtpSink

# No line is trusted: envelope and content part, and a line that dies between them blames no mail.
HASTY = Timeouts(connect_s=0.3, command_s=0.3, block_s=0.3, final_dot_s=0.3, trusted_s=0)
PATIENT = Timeouts(connect_s=20, command_s=20, block_s=20, final_dot_s=20, trusted_s=0)
# Only what is to be waited for in vain is short: a busy machine does not answer all the rest in that time.
HASTY_DOT = Timeouts(connect_s=20, command_s=20, block_s=20, final_dot_s=0.3, trusted_s=0)
HASTY_BLOCK = Timeouts(connect_s=20, command_s=20, block_s=0.3, final_dot_s=20, trusted_s=0)

SAID: Final = [(offers, command) for offers in OFFERS for command in ("MAIL", "RCPT", "DATA")]
"""What each kind of server is told before the content; BDAT needs no DATA."""

before_the_content = pytest.mark.parametrize(
    ("mail_sink", "command"),
    [said for said in SAID if not ("CHUNKING" in said[0] and said[1] == "DATA")],
    indirect=["mail_sink"],
)


@pytest.fixture(params=[(), ("PIPELINING",), ("PIPELINING", "CHUNKING")], ids=["plain", "pipelining", "both"])
async def mail_sink(request: pytest.FixtureRequest) -> AsyncIterator[SmtpSink]:
    """Each test runs against a server that offers nothing, one that offers PIPELINING, and one that offers all."""
    async with smtp_sink.running(offers=request.param) as sink:
        yield sink


@pytest.fixture
async def channel(mail_sink: SmtpSink) -> AsyncIterator[EmailChannel]:
    async with channel_to(f"smtp+plain://127.0.0.1:{mail_sink.port}", connections=1, timeouts=PATIENT) as opened:
        yield opened


@pytest.mark.parametrize("warm", [False, True], ids=["fresh", "kept"])
@pytest.mark.parametrize(
    ("command", "reply", "expected"),
    [
        ("CONNECT", "554 5.7.1 go away", Misconfigured),
        ("CONNECT", "421 4.3.2 later", Transient),
        ("MAIL", "451 4.3.0 later", Transient),
        ("MAIL", "550 5.7.1 sender not allowed", Misconfigured),
        ("RCPT", "450 4.2.1 greylisted", Transient),
        ("RCPT", "550 5.1.1 user unknown", Permanent),
        ("DOT", "451 4.7.1 later", Transient),
        ("DOT", "552 5.3.4 too big", Permanent),
        ("DOT", "554 5.7.1 spam", Permanent),
    ],
)
async def test_a_refusal_is_read_and_spoils_no_later_mail(
    mail_sink: SmtpSink, channel: EmailChannel, command: Command, reply: str, expected: type[Exception], warm: bool
) -> None:
    mail = channel.prepare(Content(body="Hi"))
    if warm and command != "CONNECT":
        await channel.send(envelope("first@example.net"), mail)
    mail_sink.script(command, reply, times=1)
    with pytest.raises(expected) as refused:
        await channel.send(envelope("ann@example.net"), mail)
    assert type(refused.value) is expected
    assert getattr(refused.value, "code", None) == reply[:9]
    assert mail_sink.received_by("ann@example.net") == []
    await channel.send(envelope("bob@example.net"), mail)
    assert len(mail_sink.received_by("bob@example.net")) == 1


@pytest.mark.parametrize("mail_sink", [(), ("PIPELINING",)], ids=["plain", "pipelining"], indirect=True)
@pytest.mark.parametrize(
    ("reply", "expected"), [("452 4.3.1 disk full", Transient), ("554 5.5.1 no valid recipients", Permanent)]
)
async def test_data_itself_can_be_refused(
    mail_sink: SmtpSink, channel: EmailChannel, reply: str, expected: type[Exception]
) -> None:
    mail = channel.prepare(Content(body="Hi"))
    mail_sink.script("DATA", reply, times=1)
    with pytest.raises(expected) as refused:
        await channel.send(envelope("ann@example.net"), mail)
    assert (type(refused.value), getattr(refused.value, "code", None)) == (expected, reply[:9])
    await channel.send(envelope("bob@example.net"), mail)
    assert [each.recipients for each in mail_sink.mails] == [("bob@example.net",)]
    assert mail_sink.connections == 1


async def test_a_refused_mail_keeps_its_connection(mail_sink: SmtpSink, channel: EmailChannel) -> None:
    mail = channel.prepare(Content(body="Hi"))
    mail_sink.script("RCPT", "550 5.1.1 <ann@example.net> unknown", recipient="ann@example.net")
    for _ in range(3):
        with pytest.raises(Permanent) as refused:
            await channel.send(envelope("ann@example.net"), mail)
        assert (refused.value.reason, refused.value.hard) == (FailureReason.ADDRESS_DEAD, True)
        assert refused.value.detail == "5.1.1 <***@example.net> unknown"
        await channel.send(envelope("bob@example.net"), mail)
    assert mail_sink.connections == 1


async def test_a_reply_that_names_the_sender_is_not_held_against_the_recipient(
    mail_sink: SmtpSink, channel: EmailChannel
) -> None:
    mail = channel.prepare(Content(body="Hi"))
    mail_sink.script("RCPT", "550 5.1.1 <news@example.org> unknown", times=1)
    with pytest.raises(Misconfigured):
        await channel.send(envelope("ann@example.net"), mail)
    await channel.send(envelope("ann@example.net"), mail)
    assert len(mail_sink.received_by("ann@example.net")) == 1


@before_the_content
@pytest.mark.parametrize("drop", [True, False], ids=["hang up", "421"])
async def test_a_kept_connection_that_dies_costs_the_next_mail_nothing(
    mail_sink: SmtpSink, channel: EmailChannel, command: Command, drop: bool
) -> None:
    mail = channel.prepare(Content(body="Hi"))
    await channel.send(envelope("ann@example.net"), mail)
    mail_sink.script(command, None if drop else "421 4.4.2 idle too long", drop="before" if drop else None, times=1)
    await channel.send(envelope("bob@example.net"), mail)
    assert len(mail_sink.received_by("bob@example.net")) == 1
    assert mail_sink.connections == 2


@before_the_content
@pytest.mark.parametrize("reply", [None, "421 4.3.2 shutting down"], ids=["hang up", "421"])
async def test_a_fresh_connection_that_dies_is_transient(
    mail_sink: SmtpSink, channel: EmailChannel, command: Command, reply: str | None
) -> None:
    mail_sink.script(command, reply, drop=None if reply else "before")
    with pytest.raises(Transient) as refused:
        await channel.send(envelope(), channel.prepare(Content(body="Hi")))
    assert refused.value.code == (reply and "421 4.3.2")
    assert mail_sink.connections == 1


@pytest.mark.parametrize("warm", [False, True], ids=["fresh", "kept"])
@pytest.mark.parametrize(("drop", "kept"), [("before", 0), ("after", 1)])
async def test_a_line_cut_after_the_final_dot_is_unknown_and_never_repeated(
    mail_sink: SmtpSink, channel: EmailChannel, drop: Drop, kept: int, warm: bool
) -> None:
    mail = channel.prepare(Content(body="Hi"))
    if warm:
        await channel.send(envelope("first@example.net"), mail)
    mail_sink.script("DOT", drop=drop)
    with pytest.raises(Unknown):
        await channel.send(envelope("ann@example.net"), mail)
    assert len(mail_sink.received_by("ann@example.net")) == kept
    assert mail_sink.commands.count("DOT") == 1 + warm


@before_the_content
async def test_silence_before_the_content_is_transient(mail_sink: SmtpSink, command: Command) -> None:
    mail_sink.script(command, delay_s=60)
    async with channel_to(f"smtp+plain://127.0.0.1:{mail_sink.port}", timeouts=HASTY) as channel:
        with pytest.raises(Transient):
            await channel.send(envelope(), channel.prepare(Content(body="Hi")))
    assert mail_sink.mails == []


@pytest.mark.parametrize(
    ("command", "timeouts", "expected"), [("CONNECT", HASTY, Transient), ("DOT", HASTY_DOT, Unknown)]
)
async def test_silence_is_unknown_only_after_the_final_dot(
    mail_sink: SmtpSink, command: Command, timeouts: Timeouts, expected: type[Exception]
) -> None:
    mail_sink.script(command, delay_s=60)
    async with channel_to(f"smtp+plain://127.0.0.1:{mail_sink.port}", timeouts=timeouts) as channel:
        with pytest.raises(expected):
            await channel.send(envelope(), channel.prepare(Content(body="Hi")))
    assert mail_sink.mails == []


async def test_a_server_that_takes_few_connections_gets_all_mails_over_those(mail_sink: SmtpSink) -> None:
    mail_sink.script("CONNECT", "421 4.7.0 too many connections")
    mail_sink.script("CONNECT", times=2)
    async with channel_to(f"smtp+plain://127.0.0.1:{mail_sink.port}", connections=8) as channel:
        mail = channel.prepare(Content(body="Hi"))
        await channel.send(envelope("first@example.net"), mail)
        people = [f"p{number}@example.net" for number in range(40)]
        await asyncio.gather(*[channel.send(envelope(person), mail) for person in people])
    assert sorted(mail.recipients[0] for mail in mail_sink.mails) == sorted([*people, "first@example.net"])


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def read_content(reader: asyncio.StreamReader) -> None:
    await reader.readuntil(b"\r\n.\r\n")


async def read_nothing(reader: asyncio.StreamReader) -> None:
    await asyncio.Event().wait()


async def hang_up_early(reader: asyncio.StreamReader) -> None:
    await reader.readexactly(1000)
    raise ConnectionResetError


@dataclass
class Scripted:
    """A server that says given bytes after each command, whatever it is; ``final`` after the content."""

    replies: dict[bytes, bytes] = field(default_factory=dict)
    final: bytes = b"250 2.0.0 OK\r\n"
    on_content: Callable[[asyncio.StreamReader], Awaitable[object]] = read_content

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self.replies.get(b"", b"220 scripted.test\r\n"))
        while line := await reader.readline():
            command = line[:4].strip().upper()
            if command == b"DATA" and b"DATA" not in self.replies:
                writer.write(b"354 go on\r\n")
                await self.on_content(reader)
                writer.write(self.final)
            else:
                writer.write(self.replies.get(command, b"250 OK\r\n"))


@contextlib.asynccontextmanager
async def talking_to(talk: Talk, timeouts: Timeouts = PATIENT) -> AsyncIterator[EmailChannel]:
    talks: list[asyncio.Task[None]] = []
    writers: list[asyncio.StreamWriter] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def talk_and_hang_up() -> None:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await talk(reader, writer)
            writer.close()

        writers.append(writer)
        talks.append(asyncio.create_task(talk_and_hang_up()))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        async with channel_to(f"smtp+plain://127.0.0.1:{server.sockets[0].getsockname()[1]}", 1, timeouts) as channel:
            yield channel
    finally:
        server.close()
        for begun in talks:
            begun.cancel()
        for writer in writers:
            writer.close()
        await asyncio.gather(*talks, *[writer.wait_closed() for writer in writers], return_exceptions=True)
        await server.wait_closed()


@pytest.mark.parametrize(
    ("script", "expected", "code"),
    [
        (Scripted({b"": b"hello there\r\n"}), Transient, "-1"),
        (Scripted({b"MAIL": b"what?\r\n"}), Transient, None),
        (Scripted({b"RCPT": b"250-never\r\n" * 10_000}), Transient, None),
        (Scripted({b"RCPT": b"299 odd but fine\r\n", b"MAIL": b"250-a\r\n250 b\r\n"}), None, "250 2.0.0"),
        (Scripted({b"RCPT": b"550-5.1.1 caf\xc3\xa9\r\n550 5.1.1 \xff\xfe\r\n"}), Permanent, "550 5.1.1"),
        (Scripted({b"DATA": b"250 no content, thank you\r\n"}), Transient, "250"),
        (Scripted(final=b"\xff\xfe\xfd\r\n"), Unknown, None),
        (Scripted(final=b"354 more?\r\n"), Unknown, "354"),
        (Scripted(final=b"250" + b"x" * 40_000), Unknown, None),
        (Scripted(final=b"250-one\r\n250-two\r\n250 2.0.0 queued as X1\r\n"), None, "250"),
        (Scripted({b"EHLO": b"502 what is EHLO\r\n"}), Misconfigured, "502"),
    ],
)
async def test_nonsense_is_transient_before_the_final_dot_and_unknown_after(
    script: Scripted, expected: type[Exception] | None, code: str | None
) -> None:
    async with talking_to(script.talk) as channel:
        mail = channel.prepare(Content(body="Hi"))
        if expected is None:
            assert (await channel.send(envelope(), mail)).code == code
            return
        with pytest.raises(expected) as ended:
            await channel.send(envelope(), mail)
        assert type(ended.value) is expected or isinstance(ended.value, Transient)
        assert getattr(ended.value, "code", None) == code


@pytest.mark.parametrize("on_content", [read_nothing, hang_up_early])
async def test_a_server_that_does_not_read_a_long_mail_to_its_end_is_transient(
    on_content: Callable[[asyncio.StreamReader], Awaitable[None]],
) -> None:
    async with talking_to(Scripted(on_content=on_content).talk, HASTY_BLOCK) as channel:
        with pytest.raises(Transient, match="before the final dot"):
            await channel.send(envelope(), channel.prepare(Content(body="x" * 20_000_000)))
