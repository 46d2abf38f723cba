"""The EMAIL channel against a real SMTP server: what arrives, over which line, and over how many."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from channels.contract import Attachment, Content, Envelope
from channels.email import EmailChannel, EmailConfig
from channels.errors import Misconfigured, NotStarted, Permanent, Transient, Unknown
from channels.smtp_session import Timeouts
from models.errors import InvalidSetting
from models.vocabulary import FailureReason
from tests.support import envelopes, smtp_sink
from tests.support.envelopes import go_on
from tests.support.smtp_sink import SmtpSink
from tests.support.waiting import wait_until

OFFERS: Final = ((), ("PIPELINING",), ("CHUNKING",), ("PIPELINING", "CHUNKING"))
SHOWN: Final = ("plain", "pipelining", "chunking", "both")


def envelope(
    address: str = "ann@example.net",
    variables: Mapping[str, str] | None = None,
    proceed: Callable[[], None] = go_on,
) -> Envelope:
    return envelopes.envelope(address, variables=variables, secrets=(), proceed=proceed)


@contextlib.asynccontextmanager
async def channel_to(url: str, connections: int = 10, timeouts: Timeouts | None = None) -> AsyncIterator[EmailChannel]:
    config = EmailConfig(url, "Acme <news@example.org>", connections=connections, timeouts=timeouts or Timeouts())
    channel = EmailChannel(config)
    try:
        yield channel
    finally:
        await channel.close()


@pytest.fixture(params=[(), ("PIPELINING", "CHUNKING")], ids=["plain", "both"])
async def mail_sink(request: pytest.FixtureRequest) -> AsyncIterator[SmtpSink]:
    """Each test runs once against a server that offers nothing, and once against one that offers all."""
    async with smtp_sink.running(offers=request.param) as sink:
        yield sink


@pytest.fixture
async def channel(mail_sink: SmtpSink) -> AsyncIterator[EmailChannel]:
    async with channel_to(f"smtp+plain://127.0.0.1:{mail_sink.port}") as opened:
        yield opened


async def test_what_arrives_is_what_was_said(mail_sink: SmtpSink, channel: EmailChannel) -> None:
    logo = Attachment("logo.png", "image/png", b"\x89PNG", content_id="logo")
    report = Attachment("März.pdf", "application/pdf", bytes(range(256)))
    content = Content(
        subject="Für {{name}}",
        body="<p>.\n.. {{name}} & <img src='cid:logo'></p>",
        format="html",
        attachments=(logo, report),
    )
    sent = envelope("Ann@EXAMPLE.net", {"name": "Zoë <3"})
    receipt = await channel.send(sent, channel.prepare(content))

    assert (receipt.code, receipt.provider_id, receipt.delivered) == ("250 2.0.0", "00000001", False)
    (mail,) = mail_sink.mails
    assert (mail.sender, mail.recipients) == ("news@example.org", ("Ann@example.net",))
    message = mail.parsed()
    assert message["Subject"] == "Für Zoë <3"
    assert message["To"] == "Ann@example.net"
    assert message["From"] == "Acme <news@example.org>"
    assert message["Message-ID"] == f"<{sent.message_id}.1@example.org>"
    assert message["X-Wireroom-Message"] == f"{sent.message_id}; run=1"
    html = message.get_body(("html",))
    assert html is not None
    assert html.get_content() == "<p>.\r\n.. Zoë &lt;3 & <img src='cid:logo'></p>\r\n"
    assert [part.get_payload(decode=True) for part in message.iter_attachments()] == [report.content]


async def test_a_long_mail_arrives_whole(mail_sink: SmtpSink, channel: EmailChannel) -> None:
    report = Attachment("a.bin", "application/octet-stream", bytes(range(256)) * 4096)
    text = "".join([f".{number}\n" for number in range(20_000)])
    calls: list[int] = []
    sent = envelope(proceed=lambda: calls.append(len(mail_sink.mails)))
    await channel.send(sent, channel.prepare(Content(body=text, attachments=(report,))))
    message = mail_sink.mails[0].parsed()
    (attached,) = message.iter_attachments()
    assert attached.get_payload(decode=True) == report.content
    body = message.get_body()
    assert body is not None
    assert body.get_content() == text.replace("\n", "\r\n")
    assert calls == [0]


async def test_connections_are_kept_and_no_more_are_made_than_allowed(mail_sink: SmtpSink) -> None:
    async with channel_to(f"smtp+plain://127.0.0.1:{mail_sink.port}", connections=3) as channel:
        mail = channel.prepare(Content(subject="Hi {{n}}", body="{{n}}"))
        people = [f"p{number}@example.net" for number in range(60)]
        await asyncio.gather(*[channel.send(envelope(person, {"n": person}), mail) for person in people])
        assert mail_sink.connections == 3
        await channel.send(envelope("last@example.net"), mail)
        assert mail_sink.connections == 3
    assert sorted(mail.recipients[0] for mail in mail_sink.mails) == sorted([*people, "last@example.net"])
    for arrived in mail_sink.mails[:60]:
        message = arrived.parsed()
        body = message.get_body()
        assert body is not None
        assert arrived.recipients == (message["To"],)
        assert message["Subject"] == f"Hi {message['To']}"
        assert body.get_content() == f"{message['To']}\r\n"


async def test_idle_connections_are_dropped(mail_sink: SmtpSink) -> None:
    url = f"smtp+plain://127.0.0.1:{mail_sink.port}"
    async with channel_to(url, timeouts=Timeouts(idle_s=0.05)) as channel:
        mail = channel.prepare(Content(body="Hi"))
        await channel.send(envelope(), mail)
        await wait_until(lambda: not channel._pool._open)
        await channel.send(envelope(), mail)
    assert mail_sink.connections == 2


@pytest.mark.parametrize("offers", OFFERS, ids=SHOWN)
async def test_starttls_and_login(server_tls: ssl.SSLContext, authority_file: Path, offers: Sequence[str]) -> None:
    async with (
        smtp_sink.running(tls=server_tls, username="us@er", password="pä:ss/", offers=offers) as sink,
        channel_to(f"smtp://us%40er:p%C3%A4%3Ass%2F@localhost:{sink.port}?ca={authority_file}") as channel,
    ):
        await channel.send(envelope(), channel.prepare(Content(subject="Hi", body="There")))
    assert [(mail.tls, mail.login) for mail in sink.mails] == [(True, "us@er")]


@pytest.mark.parametrize("offers", OFFERS, ids=SHOWN)
async def test_tls_from_the_first_byte_and_login(
    server_tls: ssl.SSLContext, authority_file: Path, offers: Sequence[str]
) -> None:
    report = Attachment("a.bin", "application/octet-stream", b"\x00\xff" * 100_000)
    async with (
        smtp_sink.running(tls=server_tls, implicit_tls=True, username="user", password="pass", offers=offers) as sink,
        channel_to(f"smtps://user:pass@localhost:{sink.port}?ca={authority_file}") as channel,
    ):
        await channel.send(envelope(), channel.prepare(Content(subject="Hi", body="There", attachments=(report,))))
    assert [(mail.tls, mail.login) for mail in sink.mails] == [(True, "user")]
    (attached,) = sink.mails[0].parsed().iter_attachments()
    assert attached.get_payload(decode=True) == report.content


async def test_login_over_a_plain_line_to_loopback() -> None:
    async with (
        smtp_sink.running(username="user", password="pass", auth_over_plain=True) as sink,
        channel_to(f"smtp+plain://user:pass@127.0.0.1:{sink.port}") as channel,
    ):
        await channel.send(envelope(), channel.prepare(Content(body="Hi")))
    assert [mail.login for mail in sink.mails] == ["user"]


async def test_a_wrong_password_is_ours_and_tried_once_for_all_who_wait(
    server_tls: ssl.SSLContext, authority_file: Path
) -> None:
    async with (
        smtp_sink.running(tls=server_tls, username="user", password="right") as sink,
        channel_to(f"smtp://user:wrong@localhost:{sink.port}?ca={authority_file}", connections=2) as channel,
    ):
        mail = channel.prepare(Content(body="Hi"))
        ends = await asyncio.gather(*[channel.send(envelope(), mail) for _ in range(20)], return_exceptions=True)
        assert {type(end) for end in ends} == {Misconfigured}
        assert sink.connections == 2
        with pytest.raises(Misconfigured) as refused:
            await channel.send(envelope(), mail)
        assert refused.value.code == "535 5.7.8"
        assert sink.mails == []


async def test_a_server_without_starttls_gets_nothing(mail_sink: SmtpSink) -> None:
    async with channel_to(f"smtp://user:pass@localhost:{mail_sink.port}") as channel:
        with pytest.raises(Misconfigured, match="STARTTLS"):
            await channel.send(envelope(), channel.prepare(Content(body="Hi")))
    assert mail_sink.mails == []
    assert "MAIL" not in mail_sink.commands


async def test_a_server_without_auth_gets_nothing(mail_sink: SmtpSink) -> None:
    async with channel_to(f"smtp+plain://user:pass@localhost:{mail_sink.port}") as channel:
        with pytest.raises(Misconfigured, match="AUTH"):
            await channel.send(envelope(), channel.prepare(Content(body="Hi")))
    assert "MAIL" not in mail_sink.commands


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_an_untrusted_certificate_is_refused(scheme: str, server_tls: ssl.SSLContext) -> None:
    async with (
        smtp_sink.running(tls=server_tls, implicit_tls=scheme == "smtps") as sink,
        channel_to(f"{scheme}://localhost:{sink.port}") as channel,
    ):
        with pytest.raises(Misconfigured, match="certificate"):
            await channel.send(envelope(), channel.prepare(Content(body="Hi")))
    assert "MAIL" not in sink.commands


async def test_tls_to_a_port_without_it_is_ours(mail_sink: SmtpSink) -> None:
    async with channel_to(f"smtps://localhost:{mail_sink.port}") as channel:
        with pytest.raises(Misconfigured, match="TLS"):
            await channel.send(envelope(), channel.prepare(Content(body="Hi")))


async def test_a_missing_file_of_authorities_is_named() -> None:
    with pytest.raises(InvalidSetting, match=r"^WIREROOM_SMTP_URL: .*CA"):
        EmailChannel(EmailConfig("smtp://localhost?ca=/nonexistent/ca.pem", "news@example.org"))


async def test_a_closed_port_is_transient() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        async with channel_to(f"smtp+plain://127.0.0.1:{deaf.getsockname()[1]}") as channel:
            with pytest.raises(Transient, match="Connection refused"):
                await channel.send(envelope(), channel.prepare(Content(body="Hi")))


async def test_a_malformed_address_meets_no_server(mail_sink: SmtpSink, channel: EmailChannel) -> None:
    mail = channel.prepare(Content(body="Hi"))
    for address in ("ann", "ann@example.net\r\nRCPT TO:<eve@example.net>", "ann@example.net> X=<eve@example.net"):
        with pytest.raises(Permanent) as refused:
            await channel.send(envelope(address), mail)
        assert refused.value.reason is FailureReason.INVALID_ADDRESS
        assert "eve" not in refused.value.detail
    assert mail_sink.connections == 0


async def test_a_worker_that_may_not_proceed_leaves_nothing_behind(mail_sink: SmtpSink, channel: EmailChannel) -> None:
    def stop() -> None:
        raise NotStarted("the lease ran low")

    long = channel.prepare(Content(body="Hi\n" * 100_000))
    for mail in (channel.prepare(Content(body="Hi")), long):
        with pytest.raises(NotStarted, match="lease"):
            await channel.send(envelope(proceed=stop), mail)
    await channel.send(envelope("bob@example.net"), long)
    assert [mail.recipients for mail in mail_sink.mails] == [("bob@example.net",)]


async def test_closing_ends_what_is_under_way(mail_sink: SmtpSink) -> None:
    mail_sink.script("RCPT", delay_s=60)
    async with channel_to(f"smtp+plain://127.0.0.1:{mail_sink.port}", timeouts=Timeouts(trusted_s=0)) as channel:
        mail = channel.prepare(Content(body="Hi"))
        begun = asyncio.create_task(channel.send(envelope(), mail))
        await wait_until(lambda: "RCPT" in mail_sink.commands)
        await channel.close()
        with pytest.raises(NotStarted):
            await begun
        with pytest.raises(NotStarted):
            await channel.send(envelope(), mail)


async def test_closing_after_the_final_dot_is_unknown(mail_sink: SmtpSink, channel: EmailChannel) -> None:
    mail_sink.script("DOT", delay_s=60)
    begun = asyncio.create_task(channel.send(envelope(), channel.prepare(Content(body="Hi"))))
    await wait_until(lambda: "DOT" in mail_sink.commands)
    await channel.close()
    with pytest.raises(Unknown):
        await begun


async def test_a_cancelled_send_spoils_no_connection(mail_sink: SmtpSink) -> None:
    async with channel_to(f"smtp+plain://127.0.0.1:{mail_sink.port}", connections=1) as channel:
        mail = channel.prepare(Content(body="Hi"))
        mail_sink.script("RCPT", delay_s=60, times=1)
        begun = asyncio.create_task(channel.send(envelope("ann@example.net"), mail))
        await wait_until(lambda: "RCPT" in mail_sink.commands)
        begun.cancel()
        with pytest.raises(asyncio.CancelledError):
            await begun
        await channel.send(envelope("bob@example.net"), mail)
    assert [mail.recipients for mail in mail_sink.mails] == [("bob@example.net",)]
