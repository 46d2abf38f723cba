"""EMAIL against Debian's Postfix, which is not ours: what it takes in how few round trips, and what it delivers."""

import asyncio
from collections.abc import Iterator

import pytest

from channels.contract import Attachment, Content
from channels.errors import Permanent
from models.vocabulary import FailureReason
from tests.integration.test_email import channel_to, envelope
from tests.support import postfix, smtp_sink
from tests.support.postfix import Postfix
from tests.support.smtp_rates import measure
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def server() -> Iterator[Postfix]:
    if (reason := postfix.why_not()) is not None:
        pytest.skip(reason)
    with postfix.running() as started:
        yield started


async def test_chunking_takes_a_quarter_of_the_round_trips(server: Postfix) -> None:
    rates = await measure(server.port, 8)
    assert (rates.ours.round_trips, rates.aiosmtplib.round_trips) == (1, 4)


async def test_pipelining_takes_half_of_the_round_trips() -> None:
    async with smtp_sink.running(offers=("PIPELINING",)) as sink:
        rates = await measure(sink.port, 8)
    assert (rates.ours.round_trips, rates.aiosmtplib.round_trips) == (2, 4)


async def test_postfix_delivers_what_was_said(server: Postfix) -> None:
    report = Attachment("a.bin", "application/octet-stream", bytes(range(256)) * 2048)
    async with channel_to(f"smtp+plain://127.0.0.1:{server.port}", connections=2) as channel:
        short = channel.prepare(Content(subject="Für {{n}}", body=".\n..{{n}}\n.\n"))
        long = channel.prepare(Content(subject="long", body="Hi", attachments=(report,)))
        people = [f"p{number}@example.net" for number in range(10)]
        receipts = await asyncio.gather(*[channel.send(envelope(each, {"n": each}), short) for each in people])
        assert all(receipt.provider_id for receipt in receipts)
        await channel.send(envelope("long@example.net"), long)
    await wait_until(lambda: {*people, "long@example.net"} <= {mail["To"] for mail in server.mails()})
    mails = {mail["To"]: mail for mail in server.mails()}
    for each in people:
        body = mails[each].get_body()
        assert body is not None
        assert (mails[each]["Subject"], body.get_content()) == (f"Für {each}", f".\n..{each}\n.\n")
    (attached,) = mails["long@example.net"].iter_attachments()
    assert attached.get_payload(decode=True) == report.content


async def test_postfix_refuses_and_the_connection_goes_on(server: Postfix) -> None:
    async with channel_to(f"smtp+plain://127.0.0.1:{server.port}", connections=1) as channel:
        mail = channel.prepare(Content(body="Hi"))
        for _ in range(2):
            with pytest.raises(Permanent) as refused:
                await channel.send(envelope("bouncing@example.net"), mail)
            assert refused.value.reason is FailureReason.ADDRESS_DEAD
            await channel.send(envelope("ann@example.net"), mail)
        with pytest.raises(Permanent) as refused:
            await channel.send(envelope("ann@example.net"), channel.prepare(Content(body="x" * 21_000_000)))
        assert refused.value.reason is FailureReason.TOO_LARGE
        await channel.send(envelope("bob@example.net"), mail)
        assert len(channel._pool._open) == 1
