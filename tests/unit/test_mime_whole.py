"""A mail compiled once and filled for a recipient reads as one that was written for that recipient alone."""

import html
from collections.abc import Sequence
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from typing import Any, Final, NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st

from channels.contract import Attachment, Content
from channels.mime import Mail

DATE: Final = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)

any_text: Final = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="{}"), max_size=200)
line_text: Final = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="{}"), max_size=200
)
files: Final = st.lists(
    st.builds(
        Attachment,
        st.sampled_from(["a.bin", "Rechnung für März.pdf", 'x";y.png', "日本" * 30]),
        st.sampled_from(["image/png", "application/pdf", "text/plain; charset=utf-8", "text/html"]),
        st.binary(max_size=300),
        st.sampled_from([None, "logo@acme", "b"]),
    ),
    max_size=4,
)


class Part(NamedTuple):
    """Everything that a reader gets of one leaf of a mail."""

    content_type: str
    disposition: str | None
    filename: str | None
    content_id: str | None
    content: bytes


def read(content: Content, variables: dict[str, Any]) -> tuple[list[tuple[str, str]], list[Part]]:
    """Headers and leaves, as the standard library's email package reads them."""
    mail = Mail(content, sender_name="Acme", sender="news@example.org", domain="example.org")
    raw = mail.fill(message_id="msg_1", run=1, recipient="ann@example.net", variables=variables, date=DATE)
    message = message_from_bytes(raw, policy=policy.default)
    assert isinstance(message, EmailMessage)
    assert [part.defects for part in message.walk() if part.defects] == []
    return [(name, value) for name, value in message.items() if name != "Content-Transfer-Encoding"], [
        Part(
            part.get_content_type(),
            part.get_content_disposition(),
            part.get_filename(),
            part["Content-ID"],
            payload(part),
        )
        for part in message.walk()
        if not part.is_multipart()
    ]


def payload(part: Message) -> bytes:
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content


@settings(max_examples=150)
@given(
    subject=st.tuples(line_text, line_text, line_text),
    body=st.lists(any_text, min_size=2, max_size=5),
    value=any_text,
    form=st.sampled_from(["text", "html"]),
    attached=files,
)
@example(subject=("", " ", ""), body=["", ""], value="", form="html", attached=[])
@example(subject=("é" * 70, "日", " "), body=["=", "\n", " "], value=" =\r\n", form="text", attached=[])
@example(subject=("a", "b", "c"), body=["x" * 75, "=_mixed", "."], value="--=_related--", form="text", attached=[])
def test_filling_is_the_same_as_writing_anew(
    subject: tuple[str, str, str], body: Sequence[str], value: str, form: str, attached: Sequence[Attachment]
) -> None:
    first, middle, last = subject
    variables = {"s": middle, "v": value}
    pieces = tuple(attached)
    template = Content(subject=f"{first}{{{{s}}}}{last}", body="{{ v }}".join(body), format=form, attachments=pieces)
    shown = html.escape(value) if form == "html" else value
    written = Content(subject=first + middle + last, body=shown.join(body), format=form, attachments=pieces)
    headers, leaves = read(template, variables)
    wanted_headers, wanted = read(written, {})
    assert headers == wanted_headers
    if form == "html":  # the text part is made before it is filled, so that no value is taken for markup
        leaves, wanted = leaves[1:], wanted[1:]
    # A line end that a piece begins or ends with is a line end of its own.
    assert [leaf._replace(content=words(leaf)) for leaf in leaves] == [
        leaf._replace(content=words(leaf)) for leaf in wanted
    ]
    assert sorted(leaf.content for leaf in leaves[1:]) == sorted(file.content for file in attached)


def words(leaf: Part) -> bytes:
    return b"".join(leaf.content.split()) if leaf.filename is None else leaf.content
