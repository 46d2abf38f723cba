"""What we write is what the standard library's parser reads."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.parser import BytesParser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from channels.addresses import check_address
from channels.contract import Attachment, Content
from channels.errors import Permanent
from channels.mail_headers import check_headers
from channels.mime import Mail
from channels.mime_encoding import holds_fields
from models.vocabulary import FailureReason

DATE = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)

any_text = st.text(st.characters(exclude_categories=["Cs"]))
line_text = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]))
words = st.lists(
    st.sampled_from(["a", "Grüße", "日本語", "=?utf-8?q?x?=", "=", "  ", ".", "From ", "👩‍👩‍👧", "x" * 90])
)


def compiled(content: Content, name: str = "") -> Mail:
    return Mail(content, sender_name=name, sender="news@example.org", domain="mail.example.org")


def filled(content: Content, variables: Mapping[str, str] | None = None, name: str = "") -> bytes:
    return compiled(content, name).fill(
        message_id="msg_1", run=1, recipient="ann@example.net", variables=variables or {}, date=DATE
    )


def parsed(content: Content, variables: Mapping[str, str] | None = None, name: str = "") -> EmailMessage:
    raw = filled(content, variables, name)
    assert_well_formed(raw)
    return message_from_bytes(raw, policy=policy.default)


def assert_well_formed(raw: bytes) -> None:
    """7-bit lines ended by CRLF, none longer than RFC 5322 and RFC 2047 let it be, no NUL."""
    assert raw.endswith(b"\r\n")
    assert raw.isascii()
    assert b"\0" not in raw
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", raw)
    lines = raw.split(b"\r\n")
    assert max(map(len, lines)) <= 998
    assert [line for line in lines if b"=?utf-8?b?" in line and len(line) > 76] == []


def text_of(message: EmailMessage, kind: str = "plain") -> str:
    part = message.get_body((kind,))
    assert part is not None
    assert not part.defects
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode("utf-8")


def lines(*pieces: str) -> str:
    """Pieces of text as a body holds them: each with CRLF for every line end, and one at the end."""
    text = "".join([re.sub("\r\n?", "\n", piece) for piece in pieces])
    last_is_open = not re.sub("\r\n?", "\n", pieces[-1]).endswith("\n")
    return (text + "\n" * last_is_open).replace("\n", "\r\n")


def test_a_text_mail_has_exactly_the_headers_that_were_set() -> None:
    message = parsed(Content(subject="Hello", body="Hi"), name="Acme")
    assert message.items() == [
        ("Message-ID", "<msg_1.1@mail.example.org>"),
        ("Date", "Sat, 21 Nov 2026 12:00:00 +0000"),
        ("To", "ann@example.net"),
        ("X-Wireroom-Message", "msg_1; run=1"),
        ("Subject", "Hello"),
        ("From", "Acme <news@example.org>"),
        ("MIME-Version", "1.0"),
        ("Content-Type", 'text/plain; charset="utf-8"'),
        ("Content-Transfer-Encoding", "quoted-printable"),
    ]
    assert text_of(message) == "Hi\r\n"


@given(before=line_text | words.map("".join), value=line_text, after=line_text)
@example(before="a" * 500, value="b" * 600, after="c" * 700)
@example(before="a" * 70, value=" " * 100, after="c")
@example(before="", value="ü" * 300, after="")
def test_any_subject_is_read_back(before: str, value: str, after: str) -> None:
    before, after = before.replace("{", "("), after.replace("{", "(")
    message = parsed(Content(subject=before + "{{ x }}" + after), {"x": value})
    whole = (before + value + after).strip(" ")
    assert message["Subject"] == (whole or None)
    assert len(message.items()) == 8 + bool(whole)


@given(name=line_text | words.map("".join))
@example(name='Müller, "Zoë" <x@example.com>')
@example(name='Smith, "Bob" \\ <x@example.com>')
@example(name="a" * 200)
def test_any_sender_name_is_read_back(name: str) -> None:
    name = " ".join(name.split())
    if len(name.encode()) < 40 or (name.isascii() and "=?" not in name):
        sender = parsed(Content(), name=name)["From"].addresses
        assert [(address.display_name, address.addr_spec) for address in sender] == [(name, "news@example.org")]
    else:
        # The modern parser leaves a space between two encoded words of a name, against RFC 2047, section 6.2.
        field = message_from_bytes(filled(Content(), name=name))["From"]
        assert str(make_header(decode_header(field))) == f"{name} <news@example.org>"


@given(before=any_text, value=any_text, after=any_text)
@example(before="x" * 75, value="y" * 76, after="z" * 77)
@example(before="x" * 76, value="", after="z" * 76)
@example(before="line \n", value=" \t", after=".\n.\r\n..\n")
@example(before="=", value="=3D", after="=\n")
@example(before="\n", value="\r\n", after="\r")
@example(before="ü" * 100, value="日本", after="\n")
@example(before="--=_mixed", value="--=_alternative--\n", after="From me")
def test_any_text_body_is_read_back(before: str, value: str, after: str) -> None:
    before, after = before.replace("{", "("), after.replace("{", "(")
    message = parsed(Content(body=before + "{{x}}" + after), {"x": value})
    assert text_of(message) == lines(before, value, after)


@given(value=any_text)
@example(value="<script>alert('x')</script> & \"ü\"")
@example(value="&#123;&#123;name}}")
def test_values_are_escaped_in_the_html_part_alone(value: str) -> None:
    message = parsed(Content(body="<p>Dear {{x}},</p>", format="html"), {"x": value})
    escaped = (
        value.replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace('"', "&quot;")
        .replace("'", "&#x27;")
    )
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert text_of(message, "html") == lines("<p>Dear ", escaped, ",</p>")
    assert text_of(message, "plain") == lines("Dear ", value, ",")


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        ("Hello", "quoted-printable"),
        ("Mit den besten Grüßen, Ihr Team", "quoted-printable"),
        ("こんにちは", "base64"),
        ("Привет", "base64"),
    ],
)
def test_the_shorter_encoding_is_taken(body: str, encoding: str) -> None:
    message = parsed(Content(body=(body + " {{x}}\n") * 40), {"x": "日本 and more"})
    assert message["Content-Transfer-Encoding"] == encoding
    assert text_of(message) == lines((body + " 日本 and more\n") * 40)


def test_a_name_without_a_value_is_empty() -> None:
    message = parsed(Content(subject="Hi {{ firstName }}!", body="{{a}}{{b}}"))
    assert message["Subject"] == "Hi !"
    assert text_of(message) == "\r\n"


def test_encoded_lines_keep_to_76_characters() -> None:
    body = "".join(["x" * length + "{{v}}" + "y" * length + "ü\n" for length in range(60, 90)])
    raw = filled(Content(body=body), {"v": "z" * 200})
    assert max(map(len, raw.partition(b"\r\n\r\n")[2].split(b"\r\n"))) <= 76


@given(st.sampled_from("\r\n\0\t\x0b\x1f\x7f\x80\x85\x9f\u2028\u2029\ud800"))
def test_no_control_character_gets_into_a_header(control: str) -> None:
    bad = f"a{control}Bcc: eve@example.org"
    mail = compiled(Content(subject="Hi {{x}}"))
    with pytest.raises(Permanent) as refused:
        mail.fill(message_id="msg_1", run=1, recipient="ann@example.net", variables={"x": bad}, date=DATE)
    assert refused.value.reason is FailureReason.HEADER_INJECTION
    assert "eve" not in refused.value.detail
    for content in (
        Content(subject=bad),
        Content(headers={"X-Note": bad}),
        Content(headers={bad: "x"}),
        Content(attachments=(Attachment(bad, "text/plain", b""),)),
        Content(attachments=(Attachment("a", f"text/plain; x={bad}", b""),)),
        Content(attachments=(Attachment("a", "image/png", b"", content_id=bad),)),
    ):
        with pytest.raises(Permanent) as refused:
            compiled(content)
        assert refused.value.reason is FailureReason.HEADER_INJECTION
        assert "eve" not in refused.value.detail


def test_own_headers_are_carried_and_folded() -> None:
    headers = {
        "Reply-To": "Zoë <zoe@example.org>",
        "List-Help": "<https://example.org/help/"
        + "t" * 300
        + ">, <mailto:leave@example.org?subject="
        + "u" * 60
        + ">",
        "X-Campaign": "Frühling",
    }
    message = parsed(Content(headers=headers))
    assert message["Reply-To"].addresses[0].display_name == "Zoë"
    assert message["List-Help"] == headers["List-Help"]
    assert message["X-Campaign"] == "Frühling"


@pytest.mark.parametrize(
    "name",
    [
        *("To", "bcc", "Subject", "DATE", "Message-Id", "Content-Type", "Resent-To", "X-Wireroom-Message", "Received"),
        *("List-Unsubscribe", "list-unsubscribe-post", "DKIM-Signature", "ARC-Seal", "Authentication-Results"),
        *("", "X Y", "X:Y", "Ü", "X" * 77),
    ],
)
def test_reserved_and_malformed_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="header"):
        check_headers([name])
    with pytest.raises(Permanent):
        compiled(Content(headers={name: "x"}))


INJECTIONS = [
    "é=?utf-8?q?=0D=0ABcc:_evil=40x.example=0D=0A=0D=0Abody?=",
    "=?utf-8?q?=0D=0ABcc:_evil=40x.example?=",
    "=?utf-8?b?DQpCY2M6IGV2aWxAeC5leGFtcGxl?=",
    "=?",
]


@pytest.mark.parametrize("value", INJECTIONS)
@pytest.mark.parametrize("name", ["X-A", "Reply-To", "References", "List-Help"])
def test_a_header_that_a_reader_would_decode_is_refused(name: str, value: str) -> None:
    with pytest.raises(Permanent) as refused:
        compiled(Content(headers={name: value}))
    assert refused.value.reason is FailureReason.HEADER_INJECTION
    assert "evil" not in refused.value.detail


@pytest.mark.parametrize("value", INJECTIONS)
def test_encoded_words_are_taken_as_they_are_written(value: str) -> None:
    file = Attachment(value, f'text/plain; name="{value}"', b"x")
    message = parsed(Content(subject=value, body=value, attachments=(file,)), name=value)
    assert message["Subject"] == value
    assert message["Bcc"] is None
    (attached,) = message.iter_attachments()
    assert (attached.get_filename(), attached.get_content_type()) == (value, "application/octet-stream")
    with pytest.raises(Permanent):
        compiled(Content(attachments=(Attachment("a", "image/png", b"", content_id=value.replace(" ", "")),)))


@pytest.mark.parametrize(
    "value",
    ['é: a@b, c@d;;;"', "", "Zoë", "a@b,", "a@b c@d", "<a@b", '"a <a@b.example>', "x: a@b.example;", "a@b (note)"],
)
def test_what_is_no_list_of_addresses_is_refused(value: str) -> None:
    with pytest.raises(Permanent) as refused:
        compiled(Content(headers={"Reply-To": value}))
    assert refused.value.reason is FailureReason.INVALID_ADDRESS


def test_a_list_of_addresses_is_carried() -> None:
    people = [("", "ann@example.org"), ("Zoë, 日本", "zoe@example.org"), ('Bob "B" \\', "b@xn--bcher-kva.example")]
    value = 'ann@Example.org, "Zoë, 日本" <zoe@example.org>,"Bob \\"B\\" \\\\" <b@bücher.example>'
    field = parsed(Content(headers={"Reply-To": value}))["Reply-To"]
    assert [(address.display_name, address.addr_spec) for address in field.addresses] == people


ascii_names = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=":"), min_size=1)
some_values = st.one_of(
    st.text(),
    line_text,
    words.map("".join),
    st.text('é=?utf-8qb0DA:_@<>,;"\\() \r\n', max_size=60),
    st.sampled_from([*INJECTIONS, "Zoë <zoe@example.org>, bob@example.org"]),
)


@settings(max_examples=300)
@given(
    headers=st.dictionaries(
        st.sampled_from(["Reply-To", "References", "List-Id", "x" * 76]) | ascii_names, some_values
    ),
    subject=some_values,
    filename=some_values,
    content_type=some_values | st.sampled_from(["image/png", 'text/x; a=b;c="d e"']),
    recipient=st.sampled_from(["ann@example.net", '"a b@c"@example.net', "a?=b@example.net"]),
)
def test_whatever_is_asked_for_a_mail_has_the_headers_that_were_set_and_no_other(
    headers: dict[str, str], subject: str, filename: str, content_type: str, recipient: str
) -> None:
    file = Attachment(filename, content_type, b"x" * 100, content_id=None)
    try:
        mail = compiled(Content(subject="{{s}}", body="Hi", headers=headers, attachments=(file,)))
        raw = mail.fill(
            message_id="msg_1", run=1, recipient=check_address(recipient), variables={"s": subject}, date=DATE
        )
    except Permanent:
        return
    set_by_us = [
        *("Message-ID", "Date", "To", "X-Wireroom-Message"),
        *(["Subject"] if subject.strip(" ") else []),
        *("From", "MIME-Version", *headers, "Content-Type"),
    ]
    assert_well_formed(raw)
    head, _, body = raw.partition(b"\r\n\r\n")
    lines_of_head = [line for line in head.split(b"\r\n") if not line.startswith(b" ")]
    assert [line.partition(b":")[0].decode() for line in lines_of_head] == set_by_us
    message = BytesParser(policy=policy.compat32).parsebytes(raw)
    assert message.keys() == set_by_us
    assert [part.get_content_type() for part in message.walk()][:2] == ["multipart/mixed", "text/plain"]
    _, text, attached = message.walk()
    assert text.get_payload(decode=True) == b"Hi\r\n"
    assert attached.keys() == ["Content-Type", "Content-Transfer-Encoding", "Content-Disposition"]
    assert attached.get_payload(decode=True) == file.content
    assert attached.get_filename() == filename.strip()  # its reader drops spaces at the ends
    assert body.count(b"--=_mixed") == 3
    for name, value in headers.items():
        if name.lower() not in ("reply-to", "errors-to"):
            unfolded = str(make_header(decode_header(message[name])))
            assert unfolded.replace("\r\n", "") == value.strip(" ")


@pytest.mark.parametrize(
    ("block", "count"),
    [(b"A: b\r\n", 1), (b"A: b\r\n c\r\n d\r\nE:\r\n f\r\n", 2), (b"A: \r\n", 1)],
)
def test_blocks_of_headers_that_hold_what_was_set(block: bytes, count: int) -> None:
    assert holds_fields(block, count)
    assert not holds_fields(block, count - 1)
    assert not holds_fields(block + b"\r\n", count)


@pytest.mark.parametrize(
    "block",
    [
        *(b"A: b\r\nBcc: c\r\n", b"A: b\r\n\r\n", b"A: b\nBcc: c\r\n", b"A: b\rBcc: c\r\n", b"A: b\n", b"A: b\r\nc"),
        *(b"A", b"A: b\n\r\r\n", b"A: b\r\n c\n\r\n", b"\r\nA: b\r\n", b""),
    ],
)
def test_blocks_of_headers_that_hold_more_or_less(block: bytes) -> None:
    assert not holds_fields(block, 1)


def test_the_net_lets_no_line_through_that_nobody_set() -> None:
    mail = compiled(Content(subject="Hi"))
    for recipient in ("a@example.net\r\nBcc: evil@x.example", "a@example.net\r\n\r\nbody", "a@example.net\nX: y"):
        with pytest.raises(Permanent) as refused:
            mail.fill(message_id="msg_1", run=1, recipient=recipient, variables={}, date=DATE)
        assert refused.value.reason is FailureReason.HEADER_INJECTION


def test_a_header_given_twice_is_refused() -> None:
    with pytest.raises(Permanent):
        compiled(Content(headers={"X-A": "1", "x-a": "2"}))


def test_a_header_that_cannot_be_folded_is_refused() -> None:
    with pytest.raises(Permanent) as refused:
        compiled(Content(headers={"X-Long": "x" * 999}))
    assert refused.value.reason is FailureReason.RENDER_ERROR


@pytest.mark.parametrize(
    "content", [Content(body="{{"), Content(subject="{{ a b }}"), Content(body="<p>{% if %}", format="html")]
)
def test_braces_that_are_no_name_are_refused(content: Content) -> None:
    with pytest.raises(Permanent) as refused:
        compiled(content)
    assert refused.value.reason is FailureReason.RENDER_ERROR


def test_files_and_inline_images_are_where_readers_look_for_them() -> None:
    logo = Attachment("logo.png", "image/png", b"\x89PNG\r\n\x1a\n" * 50, content_id="logo@example.org")
    report = Attachment("Bericht für März.pdf", "application/pdf", bytes(range(256)) * 20)
    invite = Attachment("invite.ics", "text/calendar; method=REQUEST; charset=utf-8", b"BEGIN:VCALENDAR\r\n")
    nested = Attachment("old.eml", "message/rfc822", b"Subject: x\r\n\r\n.")
    odd = Attachment("x", "no media type", b"")
    files = (logo, report, invite, nested, odd)
    message = parsed(Content(body='<img src="cid:logo@example.org">ü', format="html", attachments=files))

    assert message.get_content_type() == "multipart/mixed"
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "application/pdf",
        "text/calendar",
        "application/octet-stream",
        "application/octet-stream",
    ]
    assert [defect for part in message.walk() for defect in part.defects] == []
    attached = list(message.iter_attachments())
    assert [part.get_filename() for part in attached] == [file.filename for file in files[1:]]
    assert [part.get_payload(decode=True) for part in attached] == [file.content for file in files[1:]]
    assert attached[1].get_param("method") == "REQUEST"
    (inline,) = [part for part in message.walk() if part["Content-ID"]]
    assert (inline["Content-ID"], inline.get_content_disposition()) == ("<logo@example.org>", "inline")
    assert inline.get_payload(decode=True) == logo.content


def test_a_text_mail_attaches_its_inline_files() -> None:
    message = parsed(Content(body="Hi", attachments=(Attachment("a.png", "image/png", b"1", content_id="a"),)))
    assert [part.get_content_type() for part in message.walk()] == ["multipart/mixed", "text/plain", "image/png"]
    assert text_of(message) == "Hi\r\n"


def test_every_attempt_has_the_same_message_id_and_each_run_its_own() -> None:
    mail = compiled(Content(subject="Hi"))

    def message_id(run: int, date: datetime) -> str:
        raw = mail.fill(message_id="msg_1", run=run, recipient="ann@example.net", variables={}, date=date)
        return str(message_from_bytes(raw, policy=policy.default)["Message-ID"])

    assert message_id(1, DATE) == message_id(1, datetime(2027, 1, 1, tzinfo=UTC))
    assert message_id(1, DATE) != message_id(2, DATE)


def test_one_compiled_mail_is_filled_for_many_without_mixing_them_up() -> None:
    mail = compiled(Content(subject="For {{n}}", body="<b>{{n}}</b> {{n}}", format="html"))
    for name in ("Ann", "Zoë", "", "日本"):
        raw = mail.fill(message_id="msg_1", run=1, recipient="ann@example.net", variables={"n": name}, date=DATE)
        message = message_from_bytes(raw, policy=policy.default)
        assert message["Subject"] == f"For {name}".strip()
        assert text_of(message, "html") == f"<b>{name}</b> {name}\r\n"
        assert text_of(message) == f"{name} {name}\r\n"


def test_liquid_is_filled_before_it_is_encoded() -> None:
    inline = Attachment(filename="a.png", content_type="image/png", content=b"png", content_id="a@example.org")
    content = Content(
        subject="{{ items | size }} für {{ name }}",
        body="<ul>{% for item in items %}<li>{{ item.n }}</li>{% endfor %}</ul>{{ name }}",
        format="html",
        attachments=(inline,),
    )
    raw = compiled(content).fill(
        message_id="msg_1",
        run=1,
        recipient="ann@example.net",
        variables={"items": [{"n": "Ä"}, {"n": "<b>"}], "name": "A & B"},
        date=DATE,
    )
    assert_well_formed(raw)
    message = message_from_bytes(raw, policy=policy.default)
    assert message["Subject"] == "2 für A & B"
    assert text_of(message, "html").strip() == "<ul><li>Ä</li><li>&lt;b&gt;</li></ul>A &amp; B"
    assert text_of(message).split() == ["-", "Ä", "-", "<b>", "A", "&", "B"]
    assert b"Content-ID: <a@example.org>" in raw


def test_liquid_that_cannot_be_filled_is_refused_for_good() -> None:
    mail = compiled(Content(subject="a", body="{% for i in (1..9999) %}{{ x | upcase }}{% endfor %}"))
    with pytest.raises(Permanent) as caught:
        mail.fill(message_id="msg_1", run=1, recipient="ann@example.net", variables={"x": "secret"}, date=DATE)
    assert caught.value.reason is FailureReason.RENDER_ERROR
    assert "secret" not in caught.value.detail


def test_no_value_of_a_liquid_subject_writes_a_header() -> None:
    mail = compiled(Content(subject="{{ x | default: 'a' }}", body="b"))
    with pytest.raises(Permanent) as caught:
        mail.fill(
            message_id="msg_1",
            run=1,
            recipient="ann@example.net",
            variables={"x": "a\r\nBcc: eve@example.org"},
            date=DATE,
        )
    assert caught.value.reason is FailureReason.HEADER_INJECTION
