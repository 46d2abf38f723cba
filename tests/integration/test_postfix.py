"""EMAIL's content after a mail server that is not ours took it, and delivered it: byte for byte what was set.

Left out, with the reason, where Debian's Postfix is not installed or the tests do not run as root.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from channels.contract import Attachment, Content
from channels.dkim import DkimKey, Signer
from channels.email import EmailChannel, EmailConfig
from models.tokens import Purpose
from tests.support import envelopes, postfix
from tests.support.envelopes import TOKENS
from tests.support.postfix import Postfix, read
from tests.support.waiting import wait_until

SIGNER: Final = Signer(
    "example.org",
    [
        DkimKey("r1", rsa.generate_private_key(public_exponent=65537, key_size=2048)),
        DkimKey("e1", ed25519.Ed25519PrivateKey.generate()),
    ],
)
RECORDS: Final = {f"{key.selector}._domainkey.example.org.": key.record().encode() for key in SIGNER.keys}


@pytest.fixture(scope="module")
def server() -> Iterator[Postfix]:
    if (reason := postfix.why_not()) is not None:
        pytest.skip(reason)
    with postfix.running() as started:
        yield started


@pytest.fixture
async def channel(server: Postfix) -> AsyncIterator[EmailChannel]:
    config = EmailConfig(
        f"smtp+plain://127.0.0.1:{server.port}",
        '"Grüße, Acme" <news@example.org>',
        signer=SIGNER,
        bounce_domain="bounces.example.org",
    )
    channel = EmailChannel(config)
    yield channel
    await channel.close()


async def delivered(server: Postfix, channel: EmailChannel, content: Content, to: str, **fields: Any) -> bytes:
    """Send, and read back what landed in the mailbox, without what Postfix put before it."""
    envelope = envelopes.envelope(to, **fields)
    await channel.send(envelope, channel.prepare(content))

    def found() -> list[bytes]:
        return [raw for raw in server.raw_mails() if envelope.message_id.encode() in raw]

    (raw,) = await wait_until(found)
    return raw


def signatures_hold(raw: bytes) -> list[bool]:
    mail = dkim.DKIM(raw.replace(b"\n", b"\r\n"))
    return [bool(mail.verify(number, dnsfunc=lambda name, **_: RECORDS.get(name.decode()))) for number in (0, 1)]


async def test_what_was_set_is_what_lies_in_the_mailbox(server: Postfix, channel: EmailChannel) -> None:
    logo = Attachment("logo.png", "image/png", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40, content_id="logo@acme")
    bill = Attachment("Rechnung für März.pdf", "application/pdf", bytes(reversed(range(256))) * 300)
    body = (
        "<p>.\n..Hallo {{name}},</p><p>From here: <img src='cid:logo@acme'> 日本 "
        + "x" * 1500
        + " <a href='{{url}}'>x</a></p>"
    )
    raw = await delivered(
        server,
        channel,
        Content(
            subject="Ihre Rechnung, {{name}}: {{name}} " + "lang " * 30,
            body=body,
            format="html",
            headers={"Reply-To": "Zoë <zoe@example.org>", "X-Campaign": "Frühling"},
            attachments=(logo, bill),
        ),
        "Ann.Smith@example.net",
        variables={"name": "Zoë <b>", "url": "https://example.org/?a=1&b=2"},
        run=3,
    )
    mail = read(raw)
    assert [part.defects for part in mail.walk() if part.defects] == []
    assert mail["Return-Path"].strip("<>").endswith("@bounces.example.org")
    local = mail["Return-Path"].strip("<>").partition("@")[0]
    assert (ref := TOKENS.read_return_path(local)) is not None
    assert ref.run == 3
    assert mail["Delivered-To"] == mail["To"] == "Ann.Smith@example.net"
    assert mail["Subject"] == ("Ihre Rechnung, Zoë <b>: Zoë <b> " + "lang " * 30).strip()
    sender = mail["From"].addresses[0]
    assert (sender.display_name, sender.addr_spec) == ("Grüße, Acme", "news@example.org")
    assert mail["Reply-To"].addresses[0].display_name == "Zoë"
    assert mail["X-Campaign"] == "Frühling"
    link = mail["List-Unsubscribe"].strip("<>")
    assert TOKENS.read(Purpose.OPT_OUT, link.rpartition("/")[2]) == ref
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    html, plain = mail.get_body(("html",)), mail.get_body(("plain",))
    assert html is not None
    assert plain is not None
    filled = body.replace("{{name}}", "Zoë &lt;b&gt;").replace("{{url}}", "https://example.org/?a=1&amp;b=2")
    assert html.get_content().removesuffix("\n") == filled
    assert "Hallo Zoë <b>," in plain.get_content()
    (inline,) = [part for part in mail.walk() if part["Content-ID"]]
    assert (inline["Content-ID"], inline.get_payload(decode=True)) == ("<logo@acme>", logo.content)
    (attached,) = mail.iter_attachments()
    assert (attached.get_filename(), attached.get_payload(decode=True)) == (bill.filename, bill.content)
    assert signatures_hold(raw) == [True, True]


@pytest.mark.parametrize(
    "content",
    [
        Content(),
        Content(subject="", body="\n\n \t\n"),
        Content(subject="a  b\t".strip(), body="From me\n.\n..\n" + " trailing \t \n" * 3),
        Content(subject="ü" * 200, body="日本" * 3000),
        Content(subject="x" * 900, body="y" * 20_000),
        Content(body="<p> </p>", format="html", attachments=(Attachment("empty", "text/plain", b""),)),
    ],
    ids=["nothing", "blank", "dots", "international", "long lines", "empty file"],
)
async def test_signatures_hold_whatever_a_mail_says(server: Postfix, channel: EmailChannel, content: Content) -> None:
    raw = await delivered(server, channel, content, "ann@example.net")
    assert signatures_hold(raw) == [True, True]
    assert read(raw)["Subject"] == (content.subject or None)


async def test_an_international_address_is_written_to(server: Postfix, channel: EmailChannel) -> None:
    raw = await delivered(server, channel, Content(subject="Für dich", body="Hi"), "zoë.日本@example.net")
    assert "To: zoë.日本@example.net\n".encode() in raw
    mail = read(raw)
    assert mail["Subject"] == "Für dich"
    assert b"with UTF8SMTP" in raw
    assert signatures_hold(raw) == [True, True]


async def test_many_at_once_are_each_their_own(server: Postfix, channel: EmailChannel) -> None:
    prepared = channel.prepare(Content(subject="For {{n}}", body="{{n}} and no other"))
    sent = [envelopes.envelope(f"p{number}@example.net", variables={"n": f"P{number}"}) for number in range(40)]
    await asyncio.gather(*[channel.send(each, prepared) for each in sent])
    wanted = {each.message_id: each for each in sent}

    def arrived() -> dict[str, bytes]:
        found = {str(read(raw)["X-Wireroom-Message"]).partition(";")[0]: raw for raw in server.raw_mails()}
        return {message_id: raw for message_id, raw in found.items() if message_id in wanted}

    await wait_until(lambda: len(arrived()) == len(sent))
    for message_id, raw in arrived().items():
        mail, name = read(raw), wanted[message_id].variables["n"]
        assert (mail["Subject"], mail["To"]) == (f"For {name}", wanted[message_id].address)
        assert mail.get_content() == f"{name} and no other\n"
    assert signatures_hold(next(iter(arrived().values()))) == [True, True]
