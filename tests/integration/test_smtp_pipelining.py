"""How few round trips a mail takes (RFC 2920, RFC 3030); every answer still goes to the mail that it is about."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from channels.contract import Content
from channels.email import EmailChannel
from channels.errors import Misconfigured, NotStarted, Permanent, SendError, Transient, Unknown
from channels.smtp_pool import SmtpPool
from channels.smtp_session import Timeouts, Transaction
from channels.smtp_url import parse_smtp_url
from models.vocabulary import FailureReason
from tests.integration.test_email import OFFERS, SHOWN, channel_to, envelope
from tests.integration.test_email_faults import Scripted, talking_to
from tests.support import delay_proxy, smtp_sink
from tests.support.envelopes import go_on
from tests.support.smtp_sink import Drop, SmtpSink
from tests.support.waiting import wait_until

BOTH = ("PIPELINING", "CHUNKING")
UNTRUSTED = Timeouts(trusted_s=0)
TRUSTED = Timeouts(trusted_s=3600)
ROUND_TRIPS = dict(zip(OFFERS, (4, 2, 3, 1), strict=True))


@pytest.fixture
async def both() -> AsyncIterator[SmtpSink]:
    """A server that offers PIPELINING and CHUNKING."""
    async with smtp_sink.running(offers=BOTH) as sink:
        yield sink


@pytest.fixture
async def channel(both: SmtpSink) -> AsyncIterator[EmailChannel]:
    async with channel_to(f"smtp+plain://127.0.0.1:{both.port}", connections=1, timeouts=TRUSTED) as opened:
        yield opened


@pytest.mark.parametrize("offers", OFFERS, ids=SHOWN)
@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "untrusted"])
async def test_a_mail_takes_no_more_round_trips_than_its_server_asks_for(offers: Sequence[str], trusted: bool) -> None:
    async with (
        smtp_sink.running(offers=offers) as sink,
        delay_proxy.running(sink.port, 0.005) as link,
        channel_to(f"smtp+plain://127.0.0.1:{link.port}", 1, TRUSTED if trusted else UNTRUSTED) as channel,
    ):
        mail = channel.prepare(Content(body="Hi"))
        await channel.send(envelope("first@example.net"), mail)
        turns = link.turns
        for number in range(10):
            await channel.send(envelope(f"p{number}@example.net"), mail)
        each = 2 if offers == BOTH and not trusted else ROUND_TRIPS[tuple(offers)]
        assert link.turns - turns == 10 * each
        assert len(sink.mails) == 11


async def test_a_long_mail_waits_until_its_recipient_is_accepted(both: SmtpSink, channel: EmailChannel) -> None:
    both.script("RCPT", "550 5.1.1 no such user", recipient="ann@example.net")
    asked: list[int] = []
    long = channel.prepare(Content(body="Hi\n" * 100_000))
    with pytest.raises(Permanent):
        await channel.send(envelope("ann@example.net", proceed=lambda: asked.append(1)), long)
    assert (asked, both.commands.count("DOT")) == ([], 0)
    await channel.send(envelope("bob@example.net", proceed=lambda: asked.append(2)), long)
    assert (asked, both.received_by("bob@example.net")[0].data.count(b"Hi\r\n")) == ([2], 100_000)
    assert both.connections == 1


@pytest.mark.parametrize("warm", [False, True], ids=["fresh", "kept"])
@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("550 5.1.1 <ann@example.net> unknown", Permanent),
        ("450 4.2.1 greylisted", Transient),
    ],
)
async def test_a_refused_recipient_decides_though_the_content_was_written(
    both: SmtpSink, channel: EmailChannel, reply: str, expected: type[Exception], warm: bool
) -> None:
    mail = channel.prepare(Content(body="Hi"))
    if warm:
        await channel.send(envelope("first@example.net"), mail)
    both.script("RCPT", reply, recipient="ann@example.net")
    with pytest.raises(expected) as refused:
        await channel.send(envelope("ann@example.net"), mail)
    assert type(refused.value) is expected
    assert getattr(refused.value, "code", None) == reply[:9]
    await channel.send(envelope("bob@example.net"), mail)
    await channel.send(envelope("eve@example.net"), mail)
    assert [each.recipients[0] for each in both.mails[warm:]] == ["bob@example.net", "eve@example.net"]
    assert both.connections == 1


async def test_a_refused_sender_decides_over_all_that_follows(both: SmtpSink, channel: EmailChannel) -> None:
    both.script("MAIL", "550 5.7.1 sender not allowed", times=1)
    with pytest.raises(Misconfigured):
        await channel.send(envelope(), channel.prepare(Content(body="Hi")))
    await channel.send(envelope("bob@example.net"), channel.prepare(Content(body="Hi")))
    assert [each.recipients for each in both.mails] == [("bob@example.net",)]


async def test_no_byte_is_written_before_a_worker_may_proceed(both: SmtpSink, channel: EmailChannel) -> None:
    def stop() -> None:
        raise NotStarted("the lease ran low")

    with pytest.raises(NotStarted, match="lease"):
        await channel.send(envelope(proceed=stop), channel.prepare(Content(body="Hi")))
    assert both.commands == ["CONNECT", "EHLO"]


@pytest.mark.parametrize(("drop", "kept"), [("before", 0), ("after", 1)])
async def test_a_trusted_line_that_is_cut_is_unknown_and_never_repeated(
    both: SmtpSink, channel: EmailChannel, drop: Drop, kept: int
) -> None:
    mail = channel.prepare(Content(body="Hi"))
    await channel.send(envelope("first@example.net"), mail)
    both.script("DOT", drop=drop)
    with pytest.raises(Unknown):
        await channel.send(envelope("ann@example.net"), mail)
    assert len(both.received_by("ann@example.net")) == kept
    assert both.commands.count("DOT") == 2


@pytest.mark.parametrize("command", ["MAIL", "RCPT"])
async def test_a_421_before_the_content_is_answered_means_another_connection(
    both: SmtpSink, channel: EmailChannel, command: smtp_sink.Command
) -> None:
    mail = channel.prepare(Content(body="Hi"))
    await channel.send(envelope("first@example.net"), mail)
    both.script(command, "421 4.7.0 enough for one connection", times=1)
    await channel.send(envelope("ann@example.net"), mail)
    assert len(both.received_by("ann@example.net")) == 1
    assert both.connections == 2


async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, offers: bytes) -> None:
    writer.write(b"220 scripted.test\r\n")
    await reader.readline()
    writer.write(b"250-scripted.test\r\n" + offers + b"250 OK\r\n")


async def chunk(reader: asyncio.StreamReader) -> None:
    """Read one content that came by BDAT."""
    command = (await reader.readline()).split()
    assert command[0] == b"BDAT"
    await reader.readexactly(int(command[1]))


PIPELINED = b"250-PIPELINING\r\n"
CHUNKED = PIPELINED + b"250-CHUNKING\r\n"


async def group(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, commands: int, answers: bytes) -> None:
    for _ in range(commands):
        await reader.readline()
    writer.write(answers)


async def test_data_accepted_without_a_recipient_is_ended_by_a_lone_dot() -> None:
    read: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await speak(reader, writer, PIPELINED)
        await group(reader, writer, 3, b"250 OK\r\n550 5.1.1 unknown\r\n354 go on\r\n")
        read.append(await reader.readline())
        writer.write(b"554 5.5.1 no valid recipients\r\n")
        read.append(await reader.readline())
        await group(reader, writer, 3, b"250 reset\r\n250 OK\r\n250 OK\r\n354 go on\r\n")
        read.append(await reader.readuntil(b"\r\n.\r\n"))
        writer.write(b"250 2.0.0 OK\r\n")

    async with talking_to(talk, TRUSTED) as channel:
        mail = channel.prepare(Content(body="Hi"))
        with pytest.raises(Permanent) as refused:
            await channel.send(envelope(), mail)
        assert refused.value.reason is FailureReason.ADDRESS_DEAD
        await channel.send(envelope("bob@example.net"), mail)
    assert read[:2] == [b".\r\n", b"RSET\r\n"]
    assert b"To: bob@example.net" in read[2]


async def test_data_accepted_for_a_recipient_without_a_sender_is_never_ended() -> None:
    read: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await speak(reader, writer, PIPELINED)
        await group(reader, writer, 3, b"451 4.3.0 later\r\n250 OK\r\n354 go on\r\n")
        read.append(await reader.read())

    async with talking_to(talk, TRUSTED) as channel:
        with pytest.raises(Transient) as refused:
            await channel.send(envelope(), channel.prepare(Content(body="Hi")))
        assert refused.value.code == "451 4.3.0"
        await wait_until(lambda: bool(read))
    assert read == [b""]


@pytest.mark.parametrize(
    ("answers", "expected", "code"),
    [
        (b"250 OK\r\n550 5.1.1 unknown\r\n503 5.5.1 no recipient\r\n", Permanent, "550 5.1.1"),
        (b"250 OK\r\n550 5.1.1 unknown\r\n250 2.0.0 for nobody\r\n", Permanent, "550 5.1.1"),
        (b"250 OK\r\n550 5.1.1 unknown\r\n", Permanent, "550 5.1.1"),
        (b"250 OK\r\n450 4.2.1 later\r\nnonsense\r\n", Transient, "450 4.2.1"),
        (b"250 OK\r\n250 OK\r\n", Unknown, None),
        (b"250 OK\r\n250 OK\r\nnonsense\r\n", Unknown, None),
        (b"nonsense\r\n", Unknown, None),
        (b"", Unknown, None),
        (b"250 OK\r\n250 OK\r\n451 4.3.0 disk full\r\n", Transient, "451 4.3.0"),
        (b"250 OK\r\n250 OK\r\n250 2.0.0 queued\r\n421 4.3.2 and goodbye\r\n", None, "250 2.0.0"),
        (b"250-a\r\n250 b\r\n250 OK\r\n250-2.0.0 c\r\n250 2.0.0 d\r\n", None, "250 2.0.0"),
        (b"250 OK\r\n250 OK\r\n" + b"250-c\r\n" * 300 + b"250 d\r\n", Unknown, None),
        (b"250 OK\r\n250 OK\r\n250 " + b"c" * 9_000 + b"\r\n", Unknown, None),
    ],
)
async def test_what_the_answers_to_one_write_mean(
    answers: bytes, expected: type[SendError] | None, code: str | None
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await speak(reader, writer, CHUNKED)
        await reader.readline()
        await reader.readline()
        await chunk(reader)
        writer.write(answers)

    async with talking_to(talk, TRUSTED) as channel:
        mail = channel.prepare(Content(body="Hi"))
        if expected is None:
            assert (await channel.send(envelope(), mail)).code == code
            return
        with pytest.raises(expected) as ended:
            await channel.send(envelope(), mail)
        assert (type(ended.value), ended.value.code) == (expected, code)


async def test_no_content_goes_out_before_a_given_up_transaction_is_reset() -> None:
    contents: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await speak(reader, writer, CHUNKED)
        await reader.readline()
        await reader.readline()
        await chunk(reader)
        writer.write(b"250 OK\r\n250 OK\r\n451 4.3.0 later\r\n")
        await group(reader, writer, 3, b"502 5.5.1 no RSET here\r\n250 OK\r\n250 OK\r\n")
        contents.append(await reader.read())

    async with talking_to(talk, TRUSTED) as channel:
        mail = channel.prepare(Content(body="Hi"))
        with pytest.raises(Transient, match="later"):
            await channel.send(envelope(), mail)
        with pytest.raises(Transient):
            await channel.send(envelope("bob@example.net"), mail)
        await wait_until(lambda: bool(contents))
    assert contents[0] == b""


@pytest.mark.parametrize(
    "unasked", [b"421 4.4.2 idle too long\r\n", b"250 hello?\r\n", b"x"], ids=["421", "250", "garbage"]
)
async def test_what_comes_unasked_ends_the_connection_and_blames_no_mail(unasked: bytes) -> None:
    writers: list[asyncio.StreamWriter] = []
    ended: list[bool] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            await Scripted({b"EHLO": b"250-a\r\n" + PIPELINED + b"250 OK\r\n"}).talk(reader, writer)
        finally:
            ended.append(True)

    async with talking_to(talk, TRUSTED) as channel:
        mail = channel.prepare(Content(body="Hi"))
        # "Scripted" answers each command by itself, as a server does that reads line by line.
        await channel.send(envelope(), mail)
        writers[0].write(unasked)
        await wait_until(lambda: bool(ended))
        await channel.send(envelope("bob@example.net"), mail)
    assert len(writers) == 2


@pytest.mark.parametrize("reply", [b"552 5.3.4 too big\r\n", b"451 4.3.0 disk full\r\n"])
async def test_a_content_refused_half_way_is_read_as_refused(reply: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await speak(reader, writer, PIPELINED)
        await group(reader, writer, 3, b"250 OK\r\n250 OK\r\n354 go on\r\n")
        await reader.readexactly(100_000)
        writer.write(reply)
        while await reader.read(1 << 16):
            pass

    async with talking_to(talk, TRUSTED) as channel:
        with pytest.raises(SendError) as ended:
            await channel.send(envelope(), channel.prepare(Content(body="x" * 30_000_000)))
    assert ended.value.code == reply[:9].decode()


async def test_mails_side_by_side_each_have_their_own_answer(both: SmtpSink) -> None:
    ends: dict[str, Callable[[object], bool]] = {
        "good": lambda end: not isinstance(end, Exception),
        "gone": lambda end: type(end) is Permanent,
        "later": lambda end: type(end) is Transient,
        "spam": lambda end: type(end) is Permanent,
    }
    for number in range(50):
        both.script("RCPT", "550 5.1.1 unknown", recipient=f"gone-{number}@example.net")
        both.script("RCPT", "450 4.2.1 greylisted", recipient=f"later-{number}@example.net")
        both.script("DOT", "554 5.7.1 spam", recipient=f"spam-{number}@example.net")
    async with channel_to(f"smtp+plain://127.0.0.1:{both.port}", connections=3) as channel:
        mail = channel.prepare(Content(body="Hi"))
        people = [(kind, f"{kind}-{number}@example.net") for number in range(50) for kind in ends]
        sends = [channel.send(envelope(address), mail) for _, address in people]
        found = await asyncio.gather(*sends, return_exceptions=True)
    assert [kind for (kind, _), end in zip(people, found, strict=True) if not ends[kind](end)] == []
    assert sorted(each.recipients[0] for each in both.mails) == sorted(a for kind, a in people if kind == "good")
    assert both.connections == 3


@pytest.mark.parametrize("offers", OFFERS, ids=SHOWN)
async def test_an_address_beyond_ascii_goes_only_to_a_server_that_takes_it(offers: Sequence[str]) -> None:
    mail = Transaction("news@example.org", "zoë@example.net", b"To: zo\xc3\xab@example.net\r\n\r\nHi\r\n", go_on)
    async with smtp_sink.running(offers=offers) as sink:
        await _deliver(sink.port, mail)
    (arrived,) = sink.mails
    assert arrived.recipients == ("zoë@example.net",)
    assert "SMTPUTF8" in arrived.options

    async with smtp_sink.running(offers=offers, utf8=False) as sink:
        with pytest.raises(Permanent) as refused:
            await _deliver(sink.port, mail)
    assert refused.value.reason is FailureReason.INVALID_ADDRESS
    assert "MAIL" not in sink.commands


async def _deliver(port: int, mail: Transaction) -> None:
    pool = SmtpPool(parse_smtp_url(f"smtp+plain://127.0.0.1:{port}"), None, lambda: 1, TRUSTED)
    try:
        await pool.deliver(mail)
    finally:
        await pool.close()
