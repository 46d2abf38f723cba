"""A content goes along with the envelope of the mail that waits behind it (RFC 2920): each keeps its own answers."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from channels.contract import Content, Receipt
from channels.email import EmailChannel
from channels.errors import Permanent, Transient, Unknown
from channels.smtp_session import Timeouts
from tests.integration.test_email import channel_to, envelope
from tests.integration.test_email_faults import talking_to
from tests.integration.test_smtp_pipelining import PIPELINED, group, speak
from tests.support import delay_proxy, smtp_sink
from tests.support.smtp_sink import Mail, SmtpSink
from tests.support.waiting import wait_until

ALL = Timeouts(quick_s=60, bound_s=60)
"""However slow the machine is, envelopes go ahead, and stay where they went."""


@pytest.fixture
async def sink() -> AsyncIterator[SmtpSink]:
    async with smtp_sink.running(offers=("PIPELINING",)) as running:
        yield running


def sending(channel: EmailChannel, *names: str) -> "list[asyncio.Task[Receipt]]":
    """A send to each, in this order; where there is one connection, the first has it and the others wait."""
    mail = channel.prepare(Content(body="Hi\n.\n"))
    return [asyncio.create_task(channel.send(envelope(f"{name}@example.net"), mail)) for name in names]


class Gate:
    """Holds the answer to one recipient's content back."""

    def __init__(self, sink: SmtpSink, name: str) -> None:
        self._address = f"{name}@example.net"
        self._sink = sink
        self.open = asyncio.Event()
        sink.before_answer = self._wait

    async def reached(self) -> None:
        """Its content has come."""
        await wait_until(lambda: bool(self._sink.received_by(self._address)))

    async def _wait(self, mail: Mail) -> None:
        if self._address in mail.recipients:
            await self.open.wait()


async def test_mails_that_wait_take_one_round_trip_each(sink: SmtpSink) -> None:
    async with (
        delay_proxy.running(sink.port, 0.005) as link,
        channel_to(f"smtp+plain://127.0.0.1:{link.port}", 1, ALL) as channel,
    ):
        await asyncio.gather(*sending(channel, "first"))
        turns = link.turns
        await asyncio.gather(*sending(channel, *(f"p{number}" for number in range(10))))
        assert link.turns - turns == 11  # the envelope of the first of them goes alone
    assert [mail.recipients for mail in sink.mails[1:]] == [(f"p{number}@example.net",) for number in range(10)]
    assert {mail.parsed().get_content() for mail in sink.mails} == {"Hi\r\n.\r\n"}


async def test_a_refusal_is_its_own_mails_alone(sink: SmtpSink) -> None:
    ends: dict[str, Callable[[object], bool]] = {
        "good": lambda end: isinstance(end, Receipt),
        "gone": lambda end: type(end) is Permanent,
        "later": lambda end: type(end) is Transient,
        "data": lambda end: type(end) is Transient,
        "spam": lambda end: type(end) is Permanent,
    }
    people = [(kind, f"{kind}{number}") for number in range(20) for kind in (*ends, "good")]
    for kind, name in people:
        address = f"{name}@example.net"
        match kind:
            case "gone":
                sink.script("RCPT", "550 5.1.1 unknown", recipient=address)
            case "later":
                sink.script("RCPT", "450 4.2.1 greylisted", recipient=address)
            case "data":
                sink.script("DATA", "452 4.3.1 disk full", recipient=address)
            case "spam":
                sink.script("DOT", "554 5.7.1 spam", recipient=address)
    async with channel_to(f"smtp+plain://127.0.0.1:{sink.port}", 2, ALL) as channel:
        found = await asyncio.gather(*sending(channel, *(name for _, name in people)), return_exceptions=True)
    assert [name for (kind, name), end in zip(people, found, strict=True) if not ends[kind](end)] == []
    assert sorted(each.recipients[0] for each in sink.mails) == sorted(
        f"{name}@example.net" for kind, name in people if kind == "good"
    )


async def test_a_server_that_wants_a_reset_first_is_asked_anew() -> None:
    read: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await speak(reader, writer, PIPELINED)
        for final in (b"250 2.0.0 OK\r\n", b"554 5.7.1 spam\r\n"):
            await group(reader, writer, 3, b"250 OK\r\n250 OK\r\n354 go on\r\n")
            await reader.readuntil(b"\r\n.\r\n")
            writer.write(final)
        await group(reader, writer, 3, b"503 5.5.1 nested MAIL\r\n503 5.5.1 no MAIL\r\n503 5.5.1 no RCPT\r\n")
        read.append(await reader.readline())
        await group(reader, writer, 3, b"250 reset\r\n250 OK\r\n250 OK\r\n354 go on\r\n")
        read.append(await reader.readuntil(b"\r\n.\r\n"))
        writer.write(b"250 2.0.0 OK\r\n")

    async with talking_to(talk, ALL) as channel:
        _, refused, sent = await asyncio.gather(*sending(channel, "first", "ann", "bob"), return_exceptions=True)
    assert isinstance(refused, Permanent)
    assert isinstance(sent, Receipt)
    assert read[0] == b"RSET\r\n"
    assert b"To: bob@example.net" in read[1]


async def test_a_line_that_dies_leaves_one_mail_unknown_and_the_other_goes_by_a_new_one(sink: SmtpSink) -> None:
    sink.script("DOT", drop="after", recipient="ann@example.net")
    async with channel_to(f"smtp+plain://127.0.0.1:{sink.port}", 1, ALL) as channel:
        await asyncio.gather(*sending(channel, "first"))
        cut, sent = await asyncio.gather(*sending(channel, "ann", "bob"), return_exceptions=True)
    assert isinstance(cut, Unknown)
    assert isinstance(sent, Receipt)
    assert [mail.recipients[0] for mail in sink.mails] == [f"{name}@example.net" for name in ("first", "ann", "bob")]
    assert sink.connections == 2


async def test_who_gives_up_leaves_the_slot_to_the_next(sink: SmtpSink) -> None:
    gate = Gate(sink, "ann")
    async with channel_to(f"smtp+plain://127.0.0.1:{sink.port}", 1, ALL) as channel:
        await asyncio.gather(*sending(channel, "first"))
        ann, bob, eve = sending(channel, "ann", "bob", "eve")
        await gate.reached()
        bob.cancel()  # its envelope is under way
        await asyncio.wait([bob])
        gate.open.set()
        await asyncio.gather(ann, eve)
    assert sink.received_by("bob@example.net") == []
    assert len(sink.received_by("eve@example.net")) == 1


async def test_nobody_waits_for_long_behind_a_content_that_is_not_answered(sink: SmtpSink) -> None:
    gate = Gate(sink, "slow")
    timeouts = Timeouts(quick_s=60, bound_s=0.01)
    async with channel_to(f"smtp+plain://127.0.0.1:{sink.port}", 2, timeouts) as channel:
        await asyncio.gather(*sending(channel, "first"))
        slow, *others = sending(channel, "slow", *(f"p{number}" for number in range(6)))
        await gate.reached()
        await asyncio.gather(*others)
        assert not slow.done()
        gate.open.set()
        await slow
        await asyncio.gather(*sending(channel, "last"))
    assert len({mail.recipients for mail in sink.mails}) == len(sink.mails) == 9


async def test_a_slow_server_is_told_nothing_ahead(sink: SmtpSink) -> None:
    gate = Gate(sink, "ann")
    async with channel_to(f"smtp+plain://127.0.0.1:{sink.port}", 1, Timeouts(quick_s=0)) as channel:
        await asyncio.gather(*sending(channel, "first"))
        ann, bob = sending(channel, "ann", "bob")
        await gate.reached()
        bob.cancel()
        gate.open.set()
        await ann
        await asyncio.gather(*sending(channel, "eve"))
    assert sink.connections == 1  # nothing of the one that gave up was on the line
