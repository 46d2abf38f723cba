"""What we sign is what dkimpy verifies, and no longer verifies once anything that counts was changed."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email import message_from_bytes
from pathlib import Path
from typing import Any, Final

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from channels import registry
from channels.contract import Attachment, Content
from channels.dkim import DkimKey, Signer, body_hash, check_selectors, read_keys
from channels.errors import Permanent
from channels.mime import Mail, Tracking
from channels.settings import ChannelSettings
from models.errors import InvalidSetting
from models.ids import new_id
from models.tokens import Links
from models.vocabulary import Channel
from tests.support.envelopes import PUBLIC_URL, TOKENS

DATE: Final = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
RSA: Final = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ED25519: Final = ed25519.Ed25519PrivateKey.generate()
SIGNER: Final = Signer("example.org", [DkimKey("r1", RSA), DkimKey("e1", ED25519)])
NO_ENCRYPTION: Final = serialization.NoEncryption()

any_text = st.text(st.characters(exclude_categories=["Cs"]))
line_text = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]))
spaced = st.text(" \t\r\n.a=ü", max_size=300)


def dns_of(signer: Signer) -> Callable[..., bytes | None]:
    """The records that a signer's owner has to publish."""
    records = {f"{key.selector}._domainkey.{signer.domain}.": key.record().encode() for key in signer.keys}
    return lambda name, **_: records.get(name.decode() if isinstance(name, bytes) else name)


def verdicts(raw: bytes, signer: Signer = SIGNER) -> list[bool]:
    """Whether each signature of the mail holds."""
    signatures = len(re.findall(rb"^dkim-signature:", raw.partition(b"\r\n\r\n")[0], re.MULTILINE | re.IGNORECASE))
    mail = dkim.DKIM(raw)
    verdicts = []
    for number in range(signatures):
        try:
            verdicts.append(bool(mail.verify(number, dnsfunc=dns_of(signer))))
        except dkim.ValidationError:
            verdicts.append(False)
    return verdicts


def signed(content: Content, variables: Mapping[str, Any] | None = None, **fields: Any) -> bytes:
    given: dict[str, Any] = {"recipient": "ann@example.net", "opt_out_url": "https://example.org/u/t"}
    mail = Mail(content, sender_name="Acme", sender="news@example.org", domain="example.org", signer=SIGNER)
    return mail.fill(message_id="msg_1", run=1, variables=variables or {}, date=DATE, **(given | fields))


@pytest.mark.parametrize("body", ["<a href='https://a.example'>x</a>", "<a href='https://a.example'>{{n}}</a>"])
def test_a_tracked_mail_is_signed_with_its_own_links(body: str) -> None:
    links = Links(TOKENS, PUBLIC_URL, new_id(), 1)
    raw = signed(Content(body=body, format="html"), tracking=Tracking(links, opens=True, clicks=True))
    assert f"{PUBLIC_URL}/t/c/".encode() in raw.replace(b"=\r\n", b"")
    assert verdicts(raw) == [True, True]
    assert verdicts(raw.replace(b"/t/c/", b"/t/d/")) == [False, False]


def pem(key: Any) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return bytes(key.private_bytes(serialization.Encoding.PEM, form, NO_ENCRYPTION))


@settings(max_examples=60)
@given(
    subject=line_text,
    body=any_text | spaced,
    value=any_text | spaced,
    form=st.sampled_from(["text", "html"]),
    header=line_text | st.text(" \ta", max_size=200),
    file=st.binary(max_size=200),
)
@example(subject="", body="", value="", form="text", header="", file=b"")
@example(subject="a" * 2000, body=" \r\n \t \r\n\r\n", value="x" * 5000, form="html", header="b " * 400, file=b"x")
@example(subject="  Grüße  an   alle ", body="{{v}}\n \n\n", value="   \t ", form="text", header=" é  é ", file=b"")
def test_whatever_a_mail_says_its_signatures_hold(
    subject: str, body: str, value: str, form: str, header: str, file: bytes
) -> None:
    body = body.replace("{", "(")
    try:
        raw = signed(
            Content(
                subject=subject.replace("{", "("),
                body=f"{body}{{{{v}}}}",
                format=form,
                headers={"Reply-To": "Zoë <zoe@example.org>", "X-Note": header},
                attachments=(Attachment("a.bin", "application/octet-stream", file),) if file else (),
            ),
            {"v": value},
        )
    except Permanent:
        return
    assert verdicts(raw) == [True, True]


@given(
    fields=st.lists(
        st.tuples(st.sampled_from(["Subject", "To", "X-A", "References"]), st.text(" \ta:;=", max_size=60)), max_size=4
    ),
    body=st.lists(st.binary(max_size=120).map(lambda line: re.sub(rb"[\r\n\0]", b" ", line)), max_size=8),
)
@example(fields=[], body=[])
@example(fields=[], body=[b"dkim-signature:"])
@example(fields=[("Subject", " a  \t b ")], body=[b" \t ", b"a \t", b"", b"\t", b""])
def test_any_header_and_body_are_canonicalised_as_the_verifier_does(
    fields: Sequence[tuple[str, str]], body: Sequence[bytes]
) -> None:
    once = dict(fields)
    head = "From: a@example.org\r\n" + "".join([f"{name}:{text}\r\n\tfolded\r\n" for name, text in once.items()])
    text = b"".join([line + b"\r\n" for line in body])
    signature = SIGNER.sign(head.encode(), body_hash(text), 1_700_000_000)
    assert verdicts(signature + head.encode() + b"\r\n" + text) == [True, True]


def test_the_hash_of_an_empty_body_is_that_of_nothing() -> None:
    nothing = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="  # RFC 6376, section 3.4.4
    assert {body_hash(body) for body in (b"", b"\r\n", b"\r\n\r\n", b" \t\r\n \r\n")} == {nothing}
    assert body_hash(b" a\t b \r\n\r\n") == body_hash(b" a b\r\n")
    assert body_hash(b" a b\r\n") != body_hash(b"a b\r\n")


def test_a_body_that_is_the_same_for_all_is_signed_as_one_that_is_not() -> None:
    for form in ("text", "html"):
        constant = signed(Content(subject="Hi", body="<p>for all</p>", format=form))
        filled = signed(Content(subject="Hi", body="<p>{{v}}</p>", format=form), {"v": "for all"})
        assert verdicts(constant) == verdicts(filled) == [True, True]
        assert constant.partition(b"\r\n\r\n")[0].count(b"bh=") == 2


def test_what_unsubscribes_is_inside_the_signature() -> None:
    raw = signed(Content(subject="Hi", body="Hi"))
    message = message_from_bytes(raw)
    assert message["List-Unsubscribe"] == "<https://example.org/u/t>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert verdicts(raw) == [True, True]
    assert verdicts(raw.replace(b"org/u/t", b"org/u/x")) == [False, False]
    assert verdicts(raw.replace(b"List-Unsubscribe-Post: ", b"X-Nothing: ")) == [False, False]


def test_one_click_needs_https_and_without_a_link_nothing_is_said() -> None:
    plain = message_from_bytes(signed(Content(body="Hi"), opt_out_url="http://127.0.0.1:8080/u/t"))
    assert plain["List-Unsubscribe"] == "<http://127.0.0.1:8080/u/t>"
    assert plain["List-Unsubscribe-Post"] is None
    essential = message_from_bytes(signed(Content(body="Hi"), opt_out_url=None))
    assert essential["List-Unsubscribe"] is None


@pytest.mark.parametrize("name", ["From", "To", "Subject", "Date", "Message-ID", "Reply-To", "Content-Type"])
def test_no_header_can_be_added_or_changed(name: str) -> None:
    raw = signed(Content(subject="Hi", body="Hi", headers={"Reply-To": "zoe@example.org"}))
    added = f"{name}: eve@example.com\r\n".encode()
    assert verdicts(added + raw) == [False, False]
    assert verdicts(raw.replace(f"\n{name}: ".encode(), f"\n{name}: eve ".encode())) == [False, False]
    assert verdicts(b"X-Spam: no\r\n" + raw) == [True, True]


def test_a_mail_without_a_subject_cannot_be_given_one() -> None:
    raw = signed(Content(body="Hi"))
    assert verdicts(raw) == [True, True]
    assert verdicts(b"Subject: Win\r\n" + raw) == [False, False]


@pytest.mark.parametrize(
    "field",
    [
        "Reply-To: eve@example.com",
        "Cc: eve@example.com",
        "Sender: eve@example.com",
        "List-Unsubscribe: <https://example.com/eve>",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
    ],
)
@pytest.mark.parametrize("bare", [True, False], ids=["bare", "all that ours have"])
def test_what_a_mail_lacks_cannot_be_added_to_mislead(field: str, bare: bool) -> None:
    if bare:
        raw = signed(Content(subject="Hi", body="Hi"), opt_out_url=None)
    else:
        raw = signed(Content(subject="Hi", body="Hi", headers={"Reply-To": "zoe@example.org"}))
    assert verdicts(raw) == [True, True]
    assert verdicts(field.encode() + b"\r\n" + raw) == [False, False]
    assert verdicts(raw.replace(b"\r\nMIME-Version", f"\r\n{field}\r\nMIME-Version".encode(), 1)) == [False, False]


@pytest.mark.parametrize("opt_out_url", [None, "https://example.org/u/t"])
def test_what_servers_add_on_the_way_breaks_nothing(opt_out_url: str | None) -> None:
    raw = signed(Content(subject="Hi", body="Hi"), opt_out_url=opt_out_url)
    added = (
        b"Return-Path: <b+1@bounces.example.org>\r\n"
        b"Delivered-To: ann@example.net\r\n"
        b"Received: from a.example by b.example; Sat, 21 Nov 2026 12:00:00 +0000\r\n"
        b"Authentication-Results: b.example; dkim=pass\r\n"
        b"List-Id: <all.example.net>\r\n"
        b"List-Post: <mailto:all@example.net>\r\n"
        b"Precedence: list\r\n"
    )
    assert verdicts(added + raw) == [True, True]


def test_a_changed_body_is_seen() -> None:
    raw = signed(Content(subject="Hi", body="Pay to Ann"))
    assert verdicts(raw.replace(b"to Ann", b"to Eve")) == [False, False]
    assert verdicts(raw + b"\r\n\r\n") == [True, True]  # empty lines at the end do not count
    assert verdicts(raw + b"P. S. Or to Eve\r\n") == [False, False]


def test_an_international_recipient_is_signed() -> None:
    raw = signed(Content(subject="Hi", body="Hi"), recipient="zoë@example.net")
    assert "To: zoë@example.net\r\n".encode() in raw
    assert verdicts(raw) == [True, True]


def test_signatures_keep_to_short_lines_of_ascii() -> None:
    raw = signed(Content(subject="Hi", body="Hi"))
    head = raw.partition(b"From:")[0]
    assert head.isascii()
    assert max(map(len, head.split(b"\r\n"))) <= 78
    assert [key.algorithm.encode() in head for key in SIGNER.keys] == [True, True]


def test_keys_are_read_in_the_order_of_their_selectors(tmp_path: Path) -> None:
    file = tmp_path / "dkim.pem"
    old_form = RSA.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, NO_ENCRYPTION
    )
    file.write_bytes(b"Notes of mine\n" + old_form + b"\n" + pem(ED25519))
    keys = read_keys(file, check_selectors("R1, e1.mail"))
    assert [(key.selector, key.algorithm) for key in keys] == [("r1", "rsa-sha256"), ("e1.mail", "ed25519-sha256")]
    assert [key.record() for key in keys] == [key.record() for key in SIGNER.keys]


@pytest.mark.parametrize(
    ("content", "selectors", "says"),
    [
        (None, "a", "cannot read"),
        (b"", "a", "no private key"),
        (pem(RSA).replace(b"MI", b"!!"), "a", "cannot be read"),
        (pem(RSA) + pem(ED25519), "a", "2 keys"),
        (pem(RSA), "a,b", "1 keys"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "a", "neither RSA nor Ed25519"),
        (
            RSA.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"secret"),
            ),
            "a",
            "encrypted",
        ),
    ],
    ids=["absent", "empty", "broken", "too few selectors", "too many", "neither", "encrypted"],
)
def test_files_that_cannot_be_used_are_named_and_not_shown(
    tmp_path: Path, content: bytes | None, selectors: str, says: str
) -> None:
    file = tmp_path / "dkim.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidSetting, match=says) as refused:
        read_keys(file, check_selectors(selectors))
    assert str(refused.value).startswith("WIREROOM_DKIM_")
    assert "BEGIN" not in str(refused.value)


@pytest.mark.parametrize("selectors", ["", "a b", "a,,b", "ä", "-a", "a;", "a,A"])
def test_selectors_that_no_dns_has_are_refused(selectors: str) -> None:
    with pytest.raises(InvalidSetting, match="WIREROOM_DKIM_SELECTOR"):
        check_selectors(selectors)


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ({"WIREROOM_DKIM_SELECTOR": "wr1"}, "WIREROOM_DKIM_KEY_FILE: "),
        ({"WIREROOM_DKIM_KEY_FILE": "/nonexistent/key.pem"}, "WIREROOM_DKIM_SELECTOR: "),
        ({"WIREROOM_DKIM_KEY_FILE": "/nonexistent/key.pem", "WIREROOM_DKIM_SELECTOR": "a"}, "No such file"),
        ({"WIREROOM_BOUNCE_DOMAIN": "bounces@example.org"}, "WIREROOM_BOUNCE_DOMAIN"),
    ],
)
def test_settings_that_do_not_go_together_are_said_at_the_start(extra: dict[str, str], says: str) -> None:
    environment = {"WIREROOM_SMTP_URL": "smtp://localhost", "WIREROOM_EMAIL_FROM": "news@example.org", **extra}
    with pytest.raises(InvalidSetting, match=says):
        registry.configured(ChannelSettings.read(environment))


def test_settings_make_a_signing_channel(tmp_path: Path) -> None:
    file = tmp_path / "dkim.pem"
    file.write_bytes(pem(ED25519))
    environment = {
        "WIREROOM_SMTP_URL": "smtp://localhost",
        "WIREROOM_EMAIL_FROM": "news@bücher.example",
        "WIREROOM_DKIM_KEY_FILE": str(file),
        "WIREROOM_DKIM_SELECTOR": "wr1",
        "WIREROOM_BOUNCE_DOMAIN": "Bounces.Example.org",
    }
    settings = ChannelSettings.read(environment)
    assert settings.bounce_domain == "bounces.example.org"
    assert Channel.EMAIL in registry.configured(settings)
